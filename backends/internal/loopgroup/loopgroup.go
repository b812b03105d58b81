// Package loopgroup is what event loops that serve one room know of one another: how
// many connections each of them has, so that an accepted socket goes to the loop with
// the fewest; how far each is with its writing, so that none reads on while another is
// behind; and which of them have to be woken.
//
// # Waking
//
// What a loop says to the room concerns all loops, and each one that sleeps has to be
// woken, by a system call. A loop says many things in a turn. So while a loop feeds
// the room, the others are only noted, and it wakes them once, when it is done feeding
// and before it writes. Whoever is no loop, and says something meanwhile, leaves the
// waking to that loop too: nobody can tell who calls Wake. So if the kernel takes the
// processor from a loop that feeds, frames for one client of a loop that sleeps wait as well,
// until the one that feeds has run on to the end of its turn.
//
// # Who may call what
//
// A Member belongs to the goroutine of its loop. Any goroutine may call WakeRoom and
// Wake. For a loop that has no others, all of it costs a few comparisons.
//
// It refuses to read, to write and to wait for sockets.
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

// Bell wakes a loop if it sleeps; else it does nothing. Any goroutine calls it.
type Bell interface{ Ring() }

// Member is one loop of a group.
type Member struct {
	room   *core.Room
	bell   Bell
	others []*Member
	all    *shared

	// What other goroutines look at and set.
	grew    atomic.Bool   // the log has grown since the loop last began to write
	noted   atomic.Bool   // the loop is to be woken when those who feed are done
	flushed atomic.Uint64 // Room.Said when the loop last began to write
	writing atomic.Bool   // is writing what the room has said; not kept where there are no others
	load    atomic.Int64  // connections, those on their way from other loops included
	pausing atomic.Bool   // waits for others, or is about to
	note    chan struct{} // ends a pause; holds one

	mu       sync.Mutex // guards arrivals and ended
	arrivals []Arrival
	ended    bool

	// The loop's own.
	feeding bool
	paced   uint64 // Room.Said when the loop last looked at the others
	givenUp int    // times it waited for others and gave up
	timer   *time.Timer
}

// shared is what all members have in common, on a cache line of its own.
type shared struct {
	_       [64]byte
	feeding atomic.Int32 // members that feed the room
	_       [60]byte
}

// New makes a group: a member for each bell.
func New(room *core.Room, bells ...Bell) []*Member {
	all, common := make([]*Member, len(bells)), new(shared)
	for i, b := range bells {
		all[i] = &Member{room: room, bell: b, all: common, note: make(chan struct{}, 1)}
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

// SharePort gives a Config whose address several listeners can have together, with
// SO_REUSEPORT, and makes sure that nobody else has it: sharing a port would hide that.
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

// Wake wakes the loop for something that the caller has noted for it.
func (m *Member) Wake() {
	if len(m.others) == 0 {
		m.bell.Ring()
		return
	}
	m.endPause()
	m.noted.Store(true)
	if m.all.feeding.Load() == 0 {
		m.ringIfNoted()
	}
}

// ringIfNoted wakes the loop if that was left to those who feed.
func (m *Member) ringIfNoted() {
	if m.noted.Load() && m.noted.Swap(false) {
		m.bell.Ring()
	}
}

// Feeding says that the loop is about to feed the room. It may be called again.
func (m *Member) Feeding() {
	if len(m.others) > 0 && !m.feeding {
		m.feeding = true
		m.all.feeding.Add(1)
	}
}

// Fed says that the loop feeds no more for now, and wakes those that were noted
// meanwhile. Every Feeding is followed by it before the loop writes or waits. A loop that
// looks for work before it sleeps, as it does after this, need not be woken itself.
func (m *Member) Fed() {
	if !m.feeding {
		return
	}
	m.feeding = false
	m.noted.Store(false)
	m.all.feeding.Add(-1) // before looking who is noted: who comes later wakes by itself
	for _, o := range m.others {
		o.ringIfNoted()
	}
}

// Grew says whether the log has grown since the loop last began to write.
func (m *Member) Grew() bool { return m.grew.Load() }

// Began is what Room.Said was when the loop last began to write. Any goroutine may ask.
func (m *Member) Began() uint64 { return m.flushed.Load() }

// BeginWriting says that the loop is about to write what the room has said until now; it
// is false if there is nothing. Otherwise EndWriting follows. Loops that wait for this one
// look again at both: either may be what they wait for.
func (m *Member) BeginWriting() bool {
	if !m.grew.Load() {
		return false
	}
	if len(m.others) > 0 {
		m.writing.Store(true)
	}
	m.grew.Store(false) // before the log is read: what comes later wakes again
	m.flushed.Store(m.room.Said())
	m.tellOthers()
	return true
}

// EndWriting says that the loop has written.
func (m *Member) EndWriting() {
	if len(m.others) > 0 {
		m.writing.Store(false)
		m.tellOthers()
	}
}

// End says that the loop has ended: nobody waits for it any more.
func (m *Member) End() {
	m.Fed()
	m.flushed.Store(math.MaxUint64)
	m.tellOthers()
}
