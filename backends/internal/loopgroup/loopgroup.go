// Package loopgroup is the state that the event loops of one room share: how many connections
// each loop has, so that an accepted socket goes to the loop with the fewest; how far each loop
// has written, so that none reads on while another is behind; and which loops have to be woken.
//
// # Waking
//
// A message to the room concerns all loops, and each loop that sleeps has to be woken, by a
// system call. A loop feeds many messages in a turn. So while a loop feeds the room, the wakes of
// the other loops are only marked as pending. It wakes those loops once, when it has stopped
// feeding and before it writes. Wakes by other goroutines are left to that loop too, because
// Wake cannot tell who calls it. The consequence: if the kernel preempts a loop that feeds,
// private frames for clients of a sleeping loop wait until the first loop has run on.
//
// # Who may call what
//
// A Member belongs to the goroutine of its loop. Any goroutine may call WakeRoom and
// Wake. In a group of one loop, all methods together cost a few comparisons.
//
// The package does not read, write or wait for sockets.
package loopgroup

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"chatbench/backends"
	"chatbench/backends/internal/socket"
	"chatbench/core"
	"chatbench/internal/tcp"
)

// Bell wakes a loop if it sleeps; otherwise it does nothing. Any goroutine may call it.
type Bell interface{ Ring() }

// Member is one loop of a group.
type Member struct {
	room   *core.Room
	bell   Bell
	others []*Member
	shared *shared

	// Read and set by any goroutine.
	grew        atomic.Bool   // the log has grown since the loop last began to write
	wakePending atomic.Bool   // the loop is to be woken when no loop feeds any more
	flushedAt   atomic.Uint64 // Room.Said when the loop last began to write
	writing     atomic.Bool   // is writing what the room has said; not set in a group of one
	load        atomic.Int64  // connections, including those that other loops have handed over
	pausing     atomic.Bool   // waits in Pace, or is about to
	resume      chan struct{} // ends a pause; has room for one

	mu       sync.Mutex // guards arrivals and ended
	arrivals []Arrival
	ended    bool

	// Used only by the loop's goroutine.
	feeding      bool
	pacedAt      uint64 // Room.Said when the loop last checked the others
	paceTimeouts int    // how often it gave up waiting for others
	timer        *time.Timer
}

// shared is the state of the group as a whole, on a cache line of its own.
type shared struct {
	_       [64]byte
	feeding atomic.Int32 // members that feed the room
	_       [60]byte
}

// New makes a group with one member for each bell.
func New(room *core.Room, bells ...Bell) []*Member {
	all, common := make([]*Member, len(bells)), new(shared)
	for i, b := range bells {
		all[i] = &Member{room: room, bell: b, shared: common, resume: make(chan struct{}, 1)}
	}
	for i, m := range all {
		for j, o := range all {
			if i != j {
				m.others = append(m.others, o)
			}
		}
	}
	return all
}

// SharePort returns a Config whose address several listeners can bind, with SO_REUSEPORT. It
// fails if the address is in use: with SO_REUSEPORT a later bind would not notice that.
func SharePort(cfg backends.Config) (backends.Config, error) {
	l, err := socket.Listen(cfg)
	if err != nil {
		return cfg, err
	}
	cfg.Listen = tcp.Bound(l).String()
	return cfg, l.Close()
}

// WakeRoom notes that the log has grown, and wakes the loop.
func (m *Member) WakeRoom() {
	if !m.grew.Load() && !m.grew.Swap(true) {
		m.Wake()
	}
}

// Wake wakes the loop. The caller has queued something for it before.
func (m *Member) Wake() {
	if len(m.others) == 0 {
		m.bell.Ring()
		return
	}
	m.endPause()
	m.wakePending.Store(true)
	if m.shared.feeding.Load() == 0 {
		m.ringIfPending()
	}
}

// ringIfPending wakes the loop if that was left to the loops that feed.
func (m *Member) ringIfPending() {
	if m.wakePending.Load() && m.wakePending.Swap(false) {
		m.bell.Ring()
	}
}

// BeginFeeding says that the loop is about to feed the room. It may be called again.
func (m *Member) BeginFeeding() {
	if len(m.others) > 0 && !m.feeding {
		m.feeding = true
		m.shared.feeding.Add(1)
	}
}

// EndFeeding says that the loop has stopped feeding, and wakes the loops whose wake is pending.
// It has to follow every BeginFeeding before the loop writes or waits. The loop itself need not
// be woken: it looks for work before it sleeps.
func (m *Member) EndFeeding() {
	if !m.feeding {
		return
	}
	m.feeding = false
	m.wakePending.Store(false)
	m.shared.feeding.Add(-1) // before the pending wakes are read: later ones ring at once
	for _, o := range m.others {
		o.ringIfPending()
	}
}

// Grew says whether the log has grown since the loop last began to write.
func (m *Member) Grew() bool { return m.grew.Load() }

// FlushedAt is what Room.Said was when the loop last began to write. Any goroutine may call it.
func (m *Member) FlushedAt() uint64 { return m.flushedAt.Load() }

// BeginWriting says that the loop is about to write what the room has said until now. It
// returns false if there is nothing to write; otherwise EndWriting has to follow. Both make
// loops that wait for this one check again.
func (m *Member) BeginWriting() bool {
	if !m.grew.Load() {
		return false
	}
	if len(m.others) > 0 {
		m.writing.Store(true)
	}
	m.grew.Store(false) // before the log is read: what comes later wakes again
	m.flushedAt.Store(m.room.Said())
	m.resumeOthers()
	return true
}

// EndWriting says that the loop has finished writing.
func (m *Member) EndWriting() {
	if len(m.others) > 0 {
		m.writing.Store(false)
		m.resumeOthers()
	}
}

// End says that the loop has ended. No loop waits for it after that.
func (m *Member) End() {
	m.EndFeeding()
	m.flushedAt.Store(math.MaxUint64)
	m.resumeOthers()
}
