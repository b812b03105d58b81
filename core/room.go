package core

import (
	"math"
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
	cfg   Config
	ticks atomic.Uint32 // Ticks until now, counted from firstTick

	mu       sync.Mutex // guards all below, and the parts of sessions that say so
	log      *broadcastLog
	names    map[string]*Session // in the room, by folded name
	granted  []*Session
	pending  []*Session // not logged in yet
	ending   []*Session // closing, and not left yet
	address  map[netip.Addr]int
	wakers   []wakerUse
	clients  int // slots held
	now      time.Time
	draining bool
	scratch  []byte // text being made safe
	stats    Stats
}

// firstTick is such that what is refused always lies long ago.
const firstTick = refused + 2

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
		now:     cfg.Now,
	}
	r.ticks.Store(firstTick)
	return r
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
	addr := peer.Addr().Unmap()
	r.mu.Lock()
	defer r.mu.Unlock()
	switch limit := r.cfg.MaxPerAddress; {
	case r.draining:
		r.deny(s, ReasonDrain, "server is going down")
	case r.clients >= r.cfg.MaxClients:
		r.deny(s, ReasonFull, "server is full")
	case len(r.pending) >= r.cfg.MaxPending:
		r.deny(s, ReasonPending, "too many logins at once")
	case limit > 0 && !addr.IsLoopback() && r.address[addr] >= limit:
		r.deny(s, ReasonAddress, "too many connections from your address")
	default:
		s.pooled = true
		s.deadline = r.now.Add(r.cfg.LoginTimeout)
		r.enlist(s, StateAuth)
		r.clients++
		if limit > 0 {
			r.address[addr]++
		}
		r.use(w, +1)
	}
	return s
}

// list is the one that sessions of a state are on.
func (r *Room) list(st State) *[]*Session {
	switch st {
	case StateAuth:
		return &r.pending
	case StateGrant:
		return &r.granted
	}
	return &r.ending
}

// enlist puts a session into a state, and on its list.
func (r *Room) enlist(s *Session, st State) {
	list := r.list(st)
	s.state, s.place = st, int32(len(*list))
	*list = append(*list, s)
}

// unlist takes a session off the list it is on.
func (r *Room) unlist(s *Session) {
	list := r.list(s.state)
	last := len(*list) - 1
	moved := (*list)[last]
	(*list)[s.place], moved.place = moved, s.place
	(*list)[last] = nil
	*list = (*list)[:last]
}

// use counts the sessions of a waker; one without sessions is forgotten.
func (r *Room) use(w Waker, n int) {
	i := slices.IndexFunc(r.wakers, func(u wakerUse) bool { return u.waker == w })
	if i < 0 {
		r.wakers = append(r.wakers, wakerUse{w, n})
		return
	}
	if r.wakers[i].sessions += n; r.wakers[i].sessions == 0 {
		r.wakers = slices.Delete(r.wakers, i, i+1)
	}
}

// release gives a session's slot back.
func (r *Room) release(s *Session) {
	reason, _ := s.Closing()
	r.stats.Ends[reason]++
	if !s.pooled {
		return
	}
	r.unlist(s)
	s.pooled = false
	r.clients--
	if addr := s.peer.Addr().Unmap(); r.cfg.MaxPerAddress > 0 {
		if r.address[addr]--; r.address[addr] == 0 {
			delete(r.address, addr)
		}
	}
}

// Tick carries the time in: login deadlines and clients too far behind. Call
// it every 100 ms or so.
func (r *Room) Tick(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = now
	r.ticks.Add(1)
	for i := len(r.pending) - 1; i >= 0; i-- {
		if s := r.pending[i]; now.After(s.deadline) {
			r.deny(s, ReasonLoginTimeout, "no login in time")
		}
	}
	r.endSlow()
}

// Drain sends Close to everyone, after all that was said before, and turns
// away whoever comes later. The pool is empty when every transport has closed.
func (r *Room) Drain() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.draining = true
	for len(r.granted) > 0 {
		r.end(r.granted[len(r.granted)-1], ReasonDrain, wire.AppendClose(nil))
	}
	for len(r.pending) > 0 {
		r.end(r.pending[len(r.pending)-1], ReasonDrain, wire.AppendClose(nil))
	}
}

// Said is how many octets were ever appended to the log. A loop that reads
// much in one turn flushes in mid-turn when this has grown by much.
func (r *Room) Said() uint64 { return r.log.end.Load() }

// wakeAll tells every waker that the log has grown.
func (r *Room) wakeAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wakeRoom()
}

func (r *Room) wakeRoom() {
	for i := range r.wakers {
		r.wakers[i].waker.WakeRoom()
	}
}

// chat says a client's text to the room. It reports whether the log has grown.
func (r *Room) chat(s *Session, text []byte) bool {
	safe := wire.IsSafe(text)
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.state != StateGrant {
		r.violate(s, ReasonNotLoggedIn)
		return false
	}
	if !safe {
		r.scratch = wire.AppendSafe(r.scratch[:0], text)
		text = r.scratch
	}
	r.say(s.name, text)
	r.stats.Messages++
	return true
}

// say appends a frame to the log. It does not wake anybody.
func (r *Room) say(name string, text []byte) {
	space, filled := r.log.reserve(len(name) + len(text) + len("0: 0"))
	r.log.commit(wire.AppendSaid(space, name, text))
	if filled {
		r.endSlow()
	}
}

// announce says something of the server's own to the room, if it is to.
func (r *Room) announce(text string) {
	if !r.cfg.Announce || r.draining {
		return
	}
	r.say(wire.ServerName, []byte(text))
	r.wakeRoom()
}

// grant lets a client in. What is said of it goes to those who are there
// already; saying it can end one who is slow, so it comes before they are listed.
func (r *Room) grant(s *Session) {
	r.announce(s.name + " has joined")
	here := r.whoIsHere()
	r.unlist(s)
	r.enlist(s, StateGrant)
	r.names[s.folded] = s
	r.stats.Logins++
	s.mail.start = r.log.openCursor()
	s.position.Store(s.mail.start.position())
	private := wire.AppendGranted(s.mail.private)
	if r.cfg.Announce {
		private = wire.AppendNotice(private, here)
	}
	r.post(s, private)
}

// whoIsHere is what a newcomer is told: a few names, so that it stays short.
func (r *Room) whoIsHere() string {
	const most = 20
	if len(r.granted) == 0 || !r.cfg.Announce {
		return "nobody else is here"
	}
	var names []string
	for _, s := range r.granted[:min(len(r.granted), most)] {
		names = append(names, s.name)
	}
	slices.Sort(names)
	if more := len(r.granted) - len(names); more > 0 {
		names = append(names, "and others")
	}
	return "here: " + strings.Join(names, ", ")
}

// post sets a session's private queue and tells its writer.
func (r *Room) post(s *Session, private []byte) {
	if s.closing.Load() != 0 || s.left {
		return // the frame before this one was too much, or nobody takes it
	}
	s.mail.private = private
	if r.tooFar(s, len(private)) {
		r.end(s, ReasonSlow, nil)
		return
	}
	s.changed.Store(true)
	s.waker.Wake(s)
}

// notice tells one client something of the server's own.
func (r *Room) notice(s *Session, text string) {
	r.post(s, wire.AppendNotice(s.mail.private, text))
}

// tooFar says whether a client that is so many octets behind has to go. One
// whose transport has not come round to it yet is not slow, within reason:
// only octets that were offered and refused speak against a client, or such
// that have been with the transport for a whole time from Tick to Tick.
func (r *Room) tooFar(s *Session, behind int) bool {
	const patience = 16
	if behind <= r.cfg.LagLimit {
		return false
	}
	offered := s.offered.Load()
	return behind/patience > r.cfg.LagLimit || offered != allTaken && r.ticks.Load()-offered >= 2
}

// behind is how many octets of the log are kept for a session.
func (r *Room) behind(s *Session) int {
	end, position := r.log.end.Load(), s.position.Load()
	if position >= end {
		return 0
	}
	return int(min(end-position, math.MaxInt32))
}

// endSlow ends the clients that are too far behind, and gives those up that
// are ending and take too long over it: nothing else bounds what is kept for them.
func (r *Room) endSlow() {
	for i := len(r.granted) - 1; i >= 0; i-- {
		if i >= len(r.granted) {
			continue // ending one can fill another chunk, and so end more
		}
		if s := r.granted[i]; r.tooFar(s, r.behind(s)) {
			r.end(s, ReasonSlow, nil)
		}
	}
	for _, s := range r.ending {
		if !s.silent && (r.now.After(s.deadline) || r.tooFar(s, r.behind(s))) {
			s.silence()
			s.waker.Wake(s)
		}
	}
}
