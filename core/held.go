package core

import (
	"maps"
	"time"

	"chatbench/core/wire"
)

// Input of a client waits in its session, in order and bounded, while its login
// is decided, while it has said more than flood control lets it say at once, and
// while somebody it sends private frames to has enough of them to take.

// hold is why the input of a session waits.
type hold uint8

const (
	notHeld  hold = iota
	forLogin      // the answer of the Authenticator
	forTurn       // the transport's next look at the session
	forFlood      // the allowance of flood control
	forQueue      // an addressee that takes its private frames
)

// Flood is the allowance of each client: Rate frames a second, Burst of them at
// once. What is said to the room counts as one frame, a private frame as a
// sixteenth, and each octet that the room makes of either as 1/1024 more. The
// zero Flood allows everything.
type Flood struct {
	Rate  float64 // frames a second
	Burst int     // frames
}

// What frames cost, in parts of an allowance of 1024 a frame.
const (
	frameCost   = 1024
	privateCost = frameCost / 16
)

// resumeStep is how much of what waited is worked through before the transport
// looks after its other clients, in octets.
const resumeStep = 4 << 10

// heldMost is how many octets may wait but for a login. A transport that reads
// no more of a client that is held stays below it.
func (cfg Config) heldMost() int { return max(128<<10, 4*cfg.MaxFrame) }

// queueMost is how many octets of its own a session may be owed before those who
// send it more have to wait.
func (cfg Config) queueMost() int { return max(cfg.LagLimit/4, 1) }

// Held says that input of the client waits and that more of it should not be
// read for now. The session is woken when that changes. A transport that cannot
// stop reading goes on: over a bound of 128 KiB the session ends with ReasonFlood.
func (s *Session) Held() bool { return s.held.Load() }

// keep keeps input that has to wait.
func (s *Session) keep(in []byte) {
	if len(in) == 0 || s.closing.Load() != 0 || s.left {
		return // there is none, or it is never worked through
	}
	most, why := s.room.cfg.heldMost(), ReasonFlood
	if s.in.hold == forLogin {
		most, why = s.room.cfg.waitLimit(), ReasonImpatient
	}
	if len(s.in.waiting)+len(in) > most {
		s.room.violation(s, why)
		s.in.waiting = nil
		return
	}
	s.in.waiting = append(s.in.waiting, in...)
}

// wait has a session wait, with input that is not worked through yet in front
// of what waits already.
func (s *Session) wait(why hold, in ...[]byte) {
	waiting := s.in.waiting
	s.in.hold, s.in.waiting = why, nil
	for _, part := range append(in, waiting) {
		s.in.waiting = append(s.in.waiting, part...)
	}
	s.held.Store(true)
}

// allowed says whether the client may send a frame now. If not, it waits. The
// rule is GCRA (ITU-T I.371): each frame moves the time at which the allowance
// is full again, and a frame is allowed while that is less than Burst away.
func (s *Session) allowed(rest []byte) bool {
	r := s.room
	if r.cfg.Flood.Rate <= 0 || !s.in.granted || len(rest) == 0 || r.allowedAt(s) <= r.clock.Load() {
		return true
	}
	s.wait(forFlood, rest)
	r.mu.Lock()
	r.stats.FloodWaits++
	r.flooding = append(r.flooding, s)
	r.unlock()
	return false
}

// spend takes the price of a frame off the client's allowance.
func (s *Session) spend(cost, octets int) {
	if flood := s.room.cfg.Flood; flood.Rate > 0 {
		price := float64(cost+octets) / frameCost / flood.Rate
		s.in.fullAt.Store(max(s.in.fullAt.Load(), s.room.clock.Load()) + int64(price*float64(time.Second)))
	}
}

// allowedAt is when a client may send a frame again, by Room.clock. No frame of
// the client is being worked through.
func (r *Room) allowedAt(s *Session) int64 {
	flood := r.cfg.Flood
	return s.in.fullAt.Load() - int64(float64(flood.Burst)/flood.Rate*float64(time.Second)) + 1
}

// remember keeps what a client has spent of its allowance for its next session:
// logging in again is no way to say more. What is over is forgotten when there is
// twice as much as the last time.
func (r *Room) remember(s *Session) {
	now, at := r.clock.Load(), s.in.fullAt.Load()
	if at <= now {
		return
	}
	if len(r.spent) >= r.spentMost {
		maps.DeleteFunc(r.spent, func(_ string, at int64) bool { return at <= now })
		r.spentMost = max(64, 2*len(r.spent))
	}
	r.spent[s.folded] = at
}

// recall gives a client that logs in the allowance that it had left.
func (r *Room) recall(s *Session) {
	s.in.fullAt.Store(r.spent[s.folded])
	delete(r.spent, s.folded)
}

// waitFor has a session wait until to has taken enough of its private frames.
// The room's lock is held. It is false if to has, meanwhile.
func (r *Room) waitFor(s, to *Session) bool {
	to.wanted.Store(true) // before its queue is looked at: its writer looks in the other order
	if !r.full(to) {
		if len(to.waiters) == 0 {
			to.wanted.Store(false)
		}
		return false
	}
	to.waiters = append(to.waiters, s)
	r.stats.QueueWaits++
	return true
}

// full says whether those who send to a session have to wait.
func (r *Room) full(to *Session) bool { return to.queued() >= r.cfg.queueMost() }

// roomy lets those go on who wait for a session that has taken half of its frames.
func (s *Session) roomy() {
	r := s.room
	if !s.wanted.Load() || s.queued() > r.cfg.queueMost()/2 {
		return
	}
	r.mu.Lock()
	r.unblock(s)
	r.unlock()
}

// unblock lets those go on who wait for a session.
func (r *Room) unblock(s *Session) {
	for _, w := range s.waiters {
		r.letGo(w)
	}
	s.waiters = nil
	s.wanted.Store(false)
}

// letGo has the waiting input of a session worked through: by its writer, who
// is woken, or by the next Tick if its transport has let go of it.
func (r *Room) letGo(s *Session) {
	s.ready.Store(true)
	if s.closing.Load() == 0 && !s.left {
		r.wake(s)
	}
}

// refill lets those go on who have waited long enough for flood control.
func (r *Room) refill() {
	now, kept := r.clock.Load(), r.flooding[:0]
	for _, s := range r.flooding {
		switch {
		case s.closing.Load() != 0:
		case r.allowedAt(s) > now:
			kept = append(kept, s)
		default:
			r.letGo(s)
		}
	}
	clear(r.flooding[len(kept):])
	r.flooding = kept
}

// resume works through a step of the input that waited, if it may go on. The
// caller is the session's writer or, when that has left, a Tick.
func (s *Session) resume() {
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	if !s.ready.Swap(false) || s.in.hold == forLogin {
		return
	}
	waiting := s.in.waiting
	n := min(len(waiting), resumeStep)
	s.in.hold, s.in.waiting = notHeld, waiting[n:]
	s.feed(waiting[:n])
	switch {
	case s.closing.Load() != 0:
		s.in.waiting = nil
	case s.in.hold != notHeld:
		return
	case len(s.in.waiting) > 0:
		s.in.hold = forTurn
		s.room.again(s)
		return
	default:
		s.in.waiting = nil
	}
	s.held.Store(false)
	if s.parting {
		s.part()
	}
}

// again has a session's input worked on when its transport comes round to it.
func (r *Room) again(s *Session) {
	r.mu.Lock()
	r.letGo(s)
	r.unlock()
}

// part ends a session whose client has left and has been heard, or has it
// listed for the Ticks that go on hearing it.
func (s *Session) part() {
	if !s.parting {
		return
	}
	r := s.room
	r.mu.Lock()
	if s.in.hold == notHeld {
		r.end(s, ReasonEOF, nil)
	} else {
		r.hearOut(s)
	}
	r.unlock()
}

// hearOut has Ticks work through the input of a client that has left, for as
// long as others get for their last words.
func (r *Room) hearOut(s *Session) {
	s.deadline = r.in(farewell)
	r.parting = append(r.parting, s)
}

// hear works through the input of those who have left, and ends those whose
// time is over.
func (r *Room) hear() {
	var ready []*Session
	r.mu.Lock()
	kept := r.parting[:0]
	for _, s := range r.parting {
		switch {
		case s.closing.Load() != 0:
			continue
		case r.late(s):
			r.end(s, ReasonFlood, nil)
			continue
		case s.ready.Load():
			ready = append(ready, s)
		}
		kept = append(kept, s)
	}
	clear(r.parting[len(kept):])
	r.parting = kept
	r.unlock()
	for _, s := range ready {
		s.resume()
	}
}

// raw is a File frame as a client sent it.
func raw(f wire.Frame) []byte {
	return wire.AppendFile(nil, f.Command, "", f.Body)
}
