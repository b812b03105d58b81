package core

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chatbench/core/wire"
)

// wakeTimeout is how long a wake-up may take. It is lost if it takes longer.
const wakeTimeout = time.Minute

// stressTest is a room used from many goroutines at once, over tiny chunks.
type stressTest struct {
	t       *testing.T
	room    *Room
	answers sync.WaitGroup
}

// Authenticate answers from goroutines of its own, and denies some.
func (st *stressTest) Authenticate(l *Login) {
	st.answers.Go(func() {
		if l.Password == "wrong" {
			l.Answer(errors.New("wrong name or password"))
			return
		}
		l.Answer(nil)
	})
}

// loop is a transport's event loop: it sleeps until it is woken, and then writes
// to its clients.
type loop struct {
	wake     chan struct{}
	sessions []*loopSession
}

type loopSession struct {
	*Session
	got  []byte
	over bool
}

func newLoop() *loop { return &loop{wake: make(chan struct{}, 1)} }

func (l *loop) WakeRoom() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *loop) Wake(*Session) { l.WakeRoom() }

func (l *loop) join(r *Room, password, name string) *loopSession {
	s := &loopSession{Session: r.Join(netip.AddrPort{}, l, nil)}
	l.sessions = append(l.sessions, s)
	s.Feed(wire.AppendCred(nil, name, password))
	return s
}

// run writes, in pieces of all sizes, until every session of the loop is over.
func (l *loop) run(t *testing.T, random *rand.Rand) {
	for {
		live := 0
		for _, s := range l.sessions {
			s.write(random)
			if !s.over {
				live++
			}
		}
		if live == 0 {
			return
		}
		select {
		case <-l.wake:
		case <-time.After(wakeTimeout):
			t.Error("a wake-up is lost")
			return
		}
	}
}

func (s *loopSession) write(random *rand.Rand) {
	for !s.over {
		_, closing := s.Closing()
		p := s.Next()
		if p == nil {
			s.over = closing
			return
		}
		if random.IntN(2) == 0 {
			p = p[:random.IntN(len(p)+1)]
		}
		s.got = append(s.got, p...)
		s.Wrote(len(p))
	}
}

// split splits a stream into what the room said, and the frames for this client
// alone.
func split(t *testing.T, got []byte) (room []byte, own []string) {
	for _, f := range framesOf(t, got) {
		if f[0] == byte(wire.Chat) && !bytes.HasPrefix([]byte(f), []byte("\x00server: ")) {
			room = append(room, f...)
		} else {
			own = append(own, f)
		}
	}
	return room, own
}

// TestManyGoroutines feeds, writes, ticks, answers, joins and leaves from
// goroutines of their own. All clients that stay receive the same octets in the same
// order, with Close at the end. The others receive a part of them. No wake-up is lost.
func TestManyGoroutines(t *testing.T) {
	const feeders, messages, visits = 3, 3000, 40
	st := &stressTest{t: t}
	st.room = testRoom(100, Config{Authenticator: st, LagLimit: 1 << 30, MaxPending: 1000})
	var visited, fed atomic.Bool
	var said atomic.Uint64
	var ticking, visiting, loops, feeding sync.WaitGroup

	// Loops of three sessions, and one that has a session alone.
	var fixed []*loop
	for i := range 4 {
		l := newLoop()
		for k := range 3 {
			if i < 3 || k == 0 {
				l.join(st.room, "x", fmt.Sprintf("s%d%d", i, k))
			}
		}
		fixed = append(fixed, l)
	}
	st.answers.Wait()
	for i, l := range fixed {
		loops.Go(func() { l.run(t, rand.New(rand.NewPCG(1, uint64(i)))) })
	}

	for i := range feeders {
		s := fixed[i].sessions[0]
		feeding.Go(func() { said.Add(feedMany(s.Session, i, messages, &visited)) })
	}
	ticking.Go(func() {
		for now := start; !fed.Load(); time.Sleep(50 * time.Microsecond) {
			now = now.Add(time.Millisecond)
			st.room.Tick(now)
			st.room.Snapshot()
		}
	})
	var heard [2][][]byte
	for i := range heard {
		visiting.Go(func() { heard[i] = st.visit(i, visits) })
	}

	visiting.Wait()
	visited.Store(true)
	feeding.Wait()
	fed.Store(true)
	ticking.Wait()
	st.answers.Wait()
	st.room.Drain()
	loops.Wait()
	st.check(fixed, heard[0], heard[1])
	if n := st.room.Snapshot().Messages; n != said.Load() {
		t.Errorf("%d messages were counted, %d were said", n, said.Load())
	}
}

// feedMany says a number of messages, and continues slowly until enough is set. It feeds
// pieces of all sizes, and sometimes asks for a list. It returns how many messages it said.
func feedMany(s *Session, id, messages int, enough *atomic.Bool) (said uint64) {
	random := rand.New(rand.NewPCG(2, uint64(id)))
	var in []byte
	for said < uint64(messages) || !enough.Load() {
		if said >= uint64(messages) {
			time.Sleep(50 * time.Microsecond)
		}
		in = wire.AppendChat(in, fmt.Sprintf("%d of %d", said, id))
		said++
		if said%16 == 0 {
			in = wire.AppendFile(in, wire.LsReq, fmt.Sprintf("s%d%d", random.IntN(3), random.IntN(3)), nil)
		}
		if random.IntN(3) > 0 {
			cut := random.IntN(len(in) + 1)
			s.Feed(in[:cut])
			in = append(in[:0], in[cut:]...)
		}
	}
	s.Feed(in)
	return said
}

// visit joins, reads for a while and leaves, a number of times. It returns what it
// received each time.
func (st *stressTest) visit(id, times int) (heard [][]byte) {
	random := rand.New(rand.NewPCG(3, uint64(id)))
	for n := range times {
		l := newLoop()
		password := "x"
		if n%8 == 7 {
			password = "wrong"
		}
		s := l.join(st.room, password, fmt.Sprintf("v%d%d", id, n%3))
		for least := random.IntN(1000); !s.over && len(s.got) < least; {
			select {
			case <-l.wake:
				s.write(random)
			case <-time.After(wakeTimeout):
				st.t.Error("a wake-up is lost")
				return heard
			}
		}
		if s.Next() != nil {
			s.Wrote(1) // gone in the middle of a frame
		}
		s.Leave(ReasonEOF)
		heard = append(heard, s.got)
	}
	return heard
}

// check compares all that was received, and checks that nothing is left in the room.
func (st *stressTest) check(fixed []*loop, visited ...[][]byte) {
	all, _ := split(st.t, fixed[0].sessions[0].got)
	for _, l := range fixed {
		for _, s := range l.sessions {
			room, own := split(st.t, s.got)
			if !bytes.Equal(room, all) {
				st.t.Errorf("%s received %d octets from the room, the first client %d: they differ", s.name, len(room), len(all))
			}
			if len(own) < 2 || own[0] != "\x01granted\x00" || own[len(own)-1] != "\x03\x00" {
				st.t.Errorf("%s was not granted, or not sent Close", s.name)
			}
			s.Leave(ReasonEOF)
		}
	}
	heard := 0
	for _, v := range visited {
		for _, got := range v {
			room, _ := split(st.t, got)
			heard += len(room)
			if !bytes.Contains(all, room) {
				st.t.Errorf("a visitor received %q, which the room did not say in one piece", room)
			}
		}
	}
	r := st.room
	r.log.reclaim()
	switch snap := r.Snapshot(); {
	case heard == 0:
		st.t.Error("no visitor received anything")
	case snap.Clients+snap.Pending+snap.Granted+r.ending.n+r.discarded.n+len(r.names)+len(r.wakers) != 0:
		st.t.Errorf("an empty room has %+v", snap)
	case r.log.first != r.log.last || r.log.last.readers.Load() != 0:
		st.t.Error("the log has readers when all are gone")
	}
}
