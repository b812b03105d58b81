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

// Room is the chat room: everybody who is connected, and what is said.
type Room struct {
	cfg     Config
	began   time.Time
	resumed atomic.Int64 // octets said by input that had waited, since the last Tick
	clock   atomic.Int64 // nanoseconds from began to the last Tick, and 1

	mu        sync.Mutex // guards all below, and the parts of sessions that say so; see unlock
	log       *broadcastLog
	names     map[string]*Session // in the room, by folded name
	granted   sessionList
	pending   sessionList      // not logged in yet
	prefacing sessionList      // of whom a preface is required that has not come yet
	ending    sessionList      // closing, and not left yet
	silent    sessionList      // of them, given nothing more
	refusing  []*Session       // took less than they were offered when last looked at
	flooding  []*Session       // whose input waits for flood control
	deferred  []*Session       // whose input waits for the next Tick, as much was said by others that waited
	parting   []*Session       // have left, and their input is not all worked through
	spent     map[string]int64 // Session.in.fullAt of those who were in the room, by folded name
	spentMost int              // entries until those that are over are forgotten
	address   map[netip.Addr]int
	lagClock  int64       // the clock, but that a Tick adds a quarter of LagTime at the most
	wakers    []*wakerUse // replaced, not changed in place
	clients   int         // slots held
	draining  bool
	looked    uint64 // position in the log when endFarthest was last called
	lookEvery uint64 // octets of the log between two calls
	looking   bool   // endFarthest is at work
	stats     Stats
	news      announcements
	history   history

	// Of a room on several servers.
	outgoing outgoing
	sequence sequence
	again    []*Forward // whose addressees were busy

	// Who is to be told when the lock is released.
	grew  bool
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
	r.lookEvery = uint64(min(16<<10, r.cfg.LagMax/8))
	return r
}

// wake notes a session whose transport is told when the lock is released.
func (r *Room) wake(s *Session) {
	if n := len(r.woken); n == 0 || r.woken[n-1] != s {
		r.woken = append(r.woken, s)
	}
}

// unlock releases the lock, and then tells the wakers what was noted for them
// meanwhile: they may make system calls, which do not belong under the lock.
func (r *Room) unlock() {
	var few [4]*Session // mostly enough, so that nothing is allocated
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
// turned away gets a session that is Closing already and whose Next gives the
// denial; it holds no slot. w is told when the session has output, and tag is
// the transport's own, for it to find its connection again. Wake may be called
// for the session before Join has returned it, but not for one turned away.
func (r *Room) Join(peer netip.AddrPort, w Waker, tag any) *Session {
	s := &Session{room: r, waker: w, tag: tag, peer: peer}
	s.in.decoder.Max = r.cfg.MaxFrame
	s.position.Store(forever)
	if r.cfg.Preface != nil {
		if p := r.cfg.Preface(peer); p != nil {
			s.in.preface, s.unprefaced = &p, p.Required()
		}
	}
	banned := !s.unprefaced && r.cfg.Banned != nil && r.cfg.Banned(peer.Addr())
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
	case !s.unprefaced && r.crowded(peer.Addr()):
		r.deny(s, ReasonAddress, crowdedText)
	default:
		s.pooled = true
		s.deadline = r.in(r.cfg.LoginTimeout)
		if s.unprefaced {
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

// Origin is what the clients of one address are counted by. An IPv6 address
// counts as its /64: whoever has one address of that has all.
func Origin(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if addr.Is6() && !addr.IsLoopback() {
		prefix, _ := addr.Prefix(64) // every IPv6 address has one
		return prefix.Addr()
	}
	return addr
}

// use counts the sessions of a waker; one without sessions is forgotten.
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

// release gives a session's slot back.
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

// Tick carries the time in: deadlines, clients that are slow, input that waits for
// flood control, and input of those who have left. Call it every 100 ms or so.
// What it costs grows with the clients of whom one of these is true, not with all.
func (r *Room) Tick(now time.Time) {
	r.mu.Lock()
	before := r.clock.Load()
	r.clock.Store(max(before, int64(now.Sub(r.began))+1)) // it never goes back
	// While no Tick came, perhaps nobody could be written to: that is nobody's fault.
	r.lagClock += min(r.clock.Load()-before, int64(r.cfg.LagTime/4))
	r.endLate()
	r.checkRefusing()
	r.releaseFlooding()
	r.releaseDeferred()
	r.announceDue()
	r.unlock()
	r.resumeParting()
	r.forwardAgain()
}

// in is the time after d, by the room's clock.
func (r *Room) in(d time.Duration) int64 { return r.clock.Load() + int64(d) }

// late says whether a session's deadline is over.
func (r *Room) late(s *Session) bool { return r.clock.Load() > s.deadline }

// Drain sends Close to everyone, after all that was said before, and turns
// away whoever comes later. The pool is empty when every transport has closed.
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
	r.news.next = 0 // those on other servers hear now who has left
	r.announceDue()
}

// Said is how many octets were ever appended to the log. A loop that reads
// much in one turn flushes in mid-turn when this has grown by much.
func (r *Room) Said() uint64 { return r.log.end.Load() }

// say appends frames to the log, which have room in one chunk of it.
func (r *Room) say(frames []byte) {
	r.log.commit(append(r.log.reserve(len(frames)), frames...))
	r.grew = true
	if end := r.log.end.Load(); end-r.looked >= r.lookEvery {
		r.looked = end
		r.endFarthest()
	}
}

// grant lets a client in. What is said of it goes to those who are there
// already; saying it can end one who is slow, so it comes before they are listed.
func (r *Room) grant(s *Session) {
	r.announceJoin(s.name)
	here := r.whoIsHere()
	r.move(s, StateGrant)
	s.deadline = r.clock.Load()
	r.names[s.folded] = s
	r.recall(s)
	r.stats.Logins++
	r.observe(s, Event{Granted: true, Name: s.name, Folded: s.folded})
	if !s.deaf { // else nobody reads the log
		s.mail.start = r.log.openCursor()
		s.position.Store(s.mail.start.position())
	}
	r.post(s, wire.AppendGranted(nil))
	if r.cfg.Announce {
		r.notice(s, here)
	}
	r.tellHistory(s)
}

// whoIsHere is what a newcomer is told: a few names, so that it stays short.
func (r *Room) whoIsHere() string {
	const most = 20
	if !r.cfg.Announce {
		return "" // it is not told
	}
	elsewhere, n := r.elsewhere(most * (maxName + 2))
	n += r.granted.n
	if n == 0 {
		return "nobody else is here"
	}
	var names []string
	for s := r.granted.first; s != nil && len(names) < most; s = s.next {
		names = append(names, s.name)
	}
	names = append(names, elsewhere[:min(len(elsewhere), most-len(names))]...)
	slices.Sort(names)
	if more := n - len(names); more > 0 {
		names = append(names, "and others")
	}
	return "here: " + strings.Join(names, ", ")
}

// post gives a session frames of its own. Callers keep them bounded: see full.
func (r *Room) post(s *Session, frames []byte) {
	if len(frames) == 0 || s.closing.Load() != 0 || s.deaf {
		return // there is nobody to take them
	}
	if s.mail.private == nil {
		s.mail.private = privateBuffers.Get().(*privateFrames)
	}
	s.mail.private.frames = append(s.mail.private.frames, frames...)
	s.private.Add(int32(len(frames)))
	s.changed.Store(true)
	r.wake(s)
}

// notice tells one client something of the server's own.
func (r *Room) notice(s *Session, text string) {
	r.post(s, wire.AppendNotice(nil, text))
}
