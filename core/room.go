package core

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"chatbench/core/wire"
)

// Room is the chat room: the connected clients, and what is said.
type Room struct {
	cfg     Config
	began   time.Time
	resumed atomic.Int64 // octets said by waiting input since the last Tick
	clock   atomic.Int64 // 1 plus the nanoseconds from began to the last Tick

	mu            sync.Mutex // guards all below, and the parts of sessions that say so; see unlock
	log           *broadcastLog
	names         map[string]*Session // in the room, by folded name
	granted       sessionList
	pending       sessionList      // not logged in yet
	prefacing     sessionList      // a preface is required, and has not come yet
	ending        sessionList      // closing, and not left yet
	discarded     sessionList      // closing, not left yet, without output
	refusing      []*Session       // took less than they were offered when they were last checked
	flooding      []*Session       // input waits for flood control
	deferred      []*Session       // input waits for the next Tick, because waiting input of others has said much
	leaving       []*Session       // left, and not all their input is processed
	spent         map[string]int64 // Session.in.fullAt of clients that were in the room, by folded name
	maxSpent      int              // entries at which expired ones are deleted
	address       map[netip.Addr]int
	lagClock      int64       // like clock, but each Tick adds at most a quarter of LagTime
	wakers        []*wakerUse // replaced, not changed in place
	clients       int         // slots in use
	draining      bool
	lagChecked    uint64 // position in the log when enforceLagMax was last called
	lagCheckEvery uint64 // octets of the log between two calls
	checkingLag   bool   // enforceLagMax is running
	stats         Stats
	news          announcements
	history       history

	// Of a room on several servers.
	outgoing     outgoing
	sequence     sequence
	busyForwards []*Forward // to be sent again, because their addressees were busy

	// What unlock tells the wakers.
	grew  bool // the log has grown
	woken []*Session
}

// wakerUse is a Waker and how many sessions it has.
type wakerUse struct {
	waker    Waker
	sessions int
}

// NewRoom makes an empty room. It panics if cfg has no Authenticator or a
// MaxFrame over LargestFrame.
func NewRoom(cfg Config) *Room { return newRoom(cfg, chunkSize) }

func newRoom(cfg Config, chunkSize int) *Room {
	r := &Room{
		cfg:     cfg.withDefaults(),
		log:     newBroadcastLog(chunkSize),
		names:   make(map[string]*Session),
		address: make(map[netip.Addr]int),
		spent:   make(map[string]int64),
		began:   cfg.Now,
	}
	if cfg.History > 0 {
		r.history = newHistory(cfg.History, cfg.Before)
	}
	r.clock.Store(1)
	r.lagClock = 1
	r.outgoing.number = 1
	r.lagCheckEvery = uint64(min(16<<10, r.cfg.LagMax/8))
	return r
}

// wake makes unlock wake the transport of a session.
func (r *Room) wake(s *Session) {
	if n := len(r.woken); n == 0 || r.woken[n-1] != s {
		r.woken = append(r.woken, s)
	}
}

// unlock releases the lock, and then calls the wakers. They may make system calls, which
// must not be made under the lock.
func (r *Room) unlock() {
	var few [4]*Session // usually enough, so that nothing is allocated
	var woken []*Session
	wakers := r.wakers
	if len(r.woken) <= len(few) {
		woken = few[:copy(few[:], r.woken)]
		clear(r.woken)
		r.woken = r.woken[:0]
	} else {
		woken, r.woken = r.woken, nil
	}
	grew := r.grew
	r.grew = false
	r.mu.Unlock()
	for _, s := range woken {
		s.waker.Wake(s)
	}
	if grew {
		for _, u := range wakers {
			u.waker.WakeRoom()
		}
	}
}

// Join takes a new connection into the pool. It never fails: a client that is
// turned away gets a session that is Closing already and whose Next returns the
// denial; it has no slot. w is called when the session has output. tag is for the
// transport, to find its connection. Wake may be called for the session before
// Join has returned it, but not for one that is turned away.
func (r *Room) Join(peer netip.AddrPort, w Waker, tag any) *Session {
	s := &Session{room: r, waker: w, tag: tag, peer: peer}
	s.in.decoder.Max = r.cfg.MaxFrame
	s.position.Store(forever)
	if r.cfg.Preface != nil {
		if p := r.cfg.Preface(peer); p != nil {
			s.in.preface, s.needsPreface = &p, p.Required()
		}
	}
	banned := !s.needsPreface && r.cfg.Banned != nil && r.cfg.Banned(peer.Addr())
	r.mu.Lock()
	defer r.unlock()
	switch {
	case banned:
		r.deny(s, ReasonBanned, wire.Banned)
	case r.draining:
		r.deny(s, ReasonDrain, "server is going down")
	case r.clients >= r.cfg.MaxClients:
		r.deny(s, ReasonFull, fullText)
	case r.pending.n+r.prefacing.n >= r.cfg.MaxPending:
		r.deny(s, ReasonPending, "too many logins at once")
	case !s.needsPreface && r.crowded(peer.Addr()):
		r.deny(s, ReasonAddress, crowdedText)
	default:
		s.pooled = true
		s.deadline = r.in(r.cfg.LoginTimeout)
		if s.needsPreface {
			s.deadline = r.in(r.cfg.PrefaceTimeout)
		} else {
			r.enterAddress(s)
		}
		r.list(s).push(s)
		r.clients++
		r.use(w, +1)
	}
	return s
}

// Origin is the address by which clients are counted. An IPv6 address counts as its
// /64, because a client usually has all addresses of it.
func Origin(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if addr.Is6() && !addr.IsLoopback() {
		prefix, _ := addr.Prefix(64) // every IPv6 address has one
		return prefix.Addr()
	}
	return addr
}

// use adds n to the number of sessions of a waker, and removes it if it has none.
func (r *Room) use(w Waker, n int) {
	i := slices.IndexFunc(r.wakers, func(u *wakerUse) bool { return u.waker == w })
	if i < 0 {
		r.wakers = append(slices.Clip(r.wakers), &wakerUse{w, n})
		return
	}
	if r.wakers[i].sessions += n; r.wakers[i].sessions == 0 {
		r.wakers = slices.Concat(r.wakers[:i], r.wakers[i+1:])
	}
}

// release frees a session's slot, and counts its end.
func (r *Room) release(s *Session) {
	reason, _ := s.Closing()
	r.stats.Ends[reason]++
	if !s.pooled {
		return
	}
	r.list(s).remove(s)
	s.pooled = false
	r.clients--
	r.leaveAddress(s)
}

// Tick tells the room the time. It enforces deadlines, ends slow clients, and resumes
// input that waits for flood control and input of clients that have left. Call it about
// every 100 ms. Its cost depends on the number of clients in one of these cases, not on
// all clients.
func (r *Room) Tick(now time.Time) {
	r.mu.Lock()
	before := r.clock.Load()
	r.clock.Store(max(before, int64(now.Sub(r.began))+1)) // it never goes back
	// While no Tick came, perhaps no client could be written to, and none of them is to blame.
	r.lagClock += min(r.clock.Load()-before, int64(r.cfg.LagTime/4))
	r.endLate()
	r.checkRefusing()
	r.releaseFlooding()
	r.releaseDeferred()
	r.announceDue()
	r.unlock()
	r.resumeLeaving()
	r.retryForwards()
}

// in is the time after d, by the room's clock.
func (r *Room) in(d time.Duration) int64 { return r.clock.Load() + int64(d) }

// late says whether a session's deadline has passed.
func (r *Room) late(s *Session) bool { return r.clock.Load() > s.deadline }

// Drain sends Close to all clients, after all that was said before, and turns
// away clients that connect later. The pool is empty when the transports have closed
// all connections.
func (r *Room) Drain() {
	r.mu.Lock()
	defer r.unlock()
	r.draining = true
	for r.granted.n > 0 {
		r.end(r.granted.last, ReasonDrain, wire.AppendClose(nil))
	}
	for r.pending.n > 0 {
		r.end(r.pending.last, ReasonDrain, wire.AppendClose(nil))
	}
	for r.prefacing.n > 0 {
		r.end(r.prefacing.last, ReasonDrain, wire.AppendClose(nil))
	}
	r.news.next = 0 // announce now to other servers who has left
	r.announceDue()
}

// Said is how many octets were ever appended to the log. A loop that reads
// much in one turn writes to its clients in the middle of it when this has grown by much.
func (r *Room) Said() uint64 { return r.log.end.Load() }

// say appends frames to the log. They must fit into one chunk.
func (r *Room) say(frames []byte) {
	r.log.commit(append(r.log.reserve(len(frames)), frames...))
	r.grew = true
	if end := r.log.end.Load(); end-r.lagChecked >= r.lagCheckEvery {
		r.lagChecked = end
		r.enforceLagMax()
	}
}

// grant lets a client in. Its announcement goes to the clients that are in the room
// already. That can end a slow client, so it comes before the names are listed.
func (r *Room) grant(s *Session) {
	r.announceJoin(s.name)
	names := r.whoIsHere()
	r.move(s, StateGrant)
	s.deadline = r.clock.Load()
	r.names[s.folded] = s
	r.restoreAllowance(s)
	r.stats.Logins++
	r.observe(s, Event{Granted: true, Name: s.name, Folded: s.folded})
	if !s.unwritable { // otherwise nothing reads the log for it
		s.mail.start = r.log.openCursor()
		s.position.Store(s.mail.start.position())
	}
	r.post(s, wire.AppendGranted(nil))
	if r.cfg.Announce {
		r.notice(s, names)
	}
	r.tellHistory(s)
}

// whoIsHere is the notice for a new client of who is in the room, with at most 20 names.
func (r *Room) whoIsHere() string {
	const most = 20
	if !r.cfg.Announce {
		return "" // it is not sent
	}
	remote, n := r.remoteNames(most * (maxName + 2))
	n += r.granted.n
	if n == 0 {
		return "nobody else is here"
	}
	var names []string
	for s := r.granted.first; s != nil && len(names) < most; s = s.next {
		names = append(names, s.name)
	}
	names = append(names, remote[:min(len(remote), most-len(names))]...)
	slices.Sort(names)
	if more := n - len(names); more > 0 {
		names = append(names, "and others")
	}
	return "here: " + strings.Join(names, ", ")
}

// post queues private frames for a session. Callers keep the queue bounded: see full.
func (r *Room) post(s *Session, frames []byte) {
	if len(frames) == 0 || s.closing.Load() != 0 || s.unwritable {
		return // they could not be written
	}
	if s.mail.private == nil {
		s.mail.private = privateBuffers.Get().(*privateFrames)
	}
	s.mail.private.frames = append(s.mail.private.frames, frames...)
	s.private.Add(int32(len(frames)))
	s.changed.Store(true)
	r.wake(s)
}

// notice queues a notice of the server for one client.
func (r *Room) notice(s *Session, text string) {
	r.post(s, wire.AppendNotice(nil, text))
}
