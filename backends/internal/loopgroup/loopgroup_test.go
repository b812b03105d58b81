package loopgroup

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chatbench/backends"
	"chatbench/core"
	"chatbench/core/wire"
)

// counter is a bell that counts how often it was rung.
type counter struct{ n atomic.Int32 }

func (c *counter) Ring() { c.n.Add(1) }

// memberWaker is the Waker of a member.
type memberWaker struct{ *Member }

func (w memberWaker) Wake(*core.Session) { w.Member.Wake() }

// group returns n members of a room, each with a session that was granted.
func group(t *testing.T, n int) (*core.Room, []*Member, []*counter, []*core.Session) {
	t.Helper()
	room := core.NewRoom(core.Config{Authenticator: core.OpenDoor{}, Now: time.Now()})
	var bells []Bell
	var counters []*counter
	for range n {
		c := new(counter)
		bells, counters = append(bells, c), append(counters, c)
	}
	members := New(room, bells...)
	var sessions []*core.Session
	for i, m := range members {
		s := room.Join(netip.AddrPort{}, memberWaker{m}, nil)
		s.Feed(wire.AppendCred(nil, string(rune('a'+i)), "x"))
		for p := s.Next(); p != nil; p = s.Next() {
			s.Wrote(len(p))
		}
		sessions = append(sessions, s)
	}
	for i := range members {
		members[i].grew.Store(false)
		members[i].wakePending.Store(false)
		counters[i].n.Store(0)
	}
	return room, members, counters, sessions
}

// TestWakesOnce: a loop that feeds wakes each other loop once, when it has stopped feeding, however much was
// said, and does not wake itself.
func TestWakesOnce(t *testing.T) {
	_, members, rung, sessions := group(t, 3)
	members[0].BeginFeeding()
	for range 10 {
		members[0].BeginFeeding()
		sessions[0].Feed(wire.AppendChat(nil, "hello"))
	}
	for i, c := range rung {
		if n := c.n.Load(); n != 0 {
			t.Errorf("loop %d was woken %d times while another feeds", i, n)
		}
	}
	members[0].EndFeeding()
	for i, want := range []int32{0, 1, 1} {
		if n := rung[i].n.Load(); n != want {
			t.Errorf("loop %d was woken %d times, want %d", i, n, want)
		}
		if !members[i].Grew() {
			t.Errorf("loop %d does not know that the log has grown", i)
		}
	}
	if members[0].EndFeeding(); rung[1].n.Load() != 1 {
		t.Error("a loop that has fed nothing wakes another")
	}
}

// TestWakesAtOnce: a member is woken at once if no loop feeds, or if it is alone in its group.
func TestWakesAtOnce(t *testing.T) {
	for n := 1; n <= 2; n++ {
		_, members, rung, sessions := group(t, n)
		if n == 1 {
			members[0].BeginFeeding() // there are no other loops
		}
		sessions[0].Feed(wire.AppendChat(nil, "hello"))
		for i, c := range rung {
			if got := c.n.Load(); got != 1 {
				t.Errorf("of %d loops, loop %d was woken %d times, want 1", n, i, got)
			}
		}
	}
}

// TestNoWakeIsLost: wakes that are left to loops that feed reach the sleeping loop, whichever loop stops
// feeding first.
func TestNoWakeIsLost(t *testing.T) {
	const turns = 20_000
	rings := make(chan struct{}, 1)
	members := New(core.NewRoom(core.Config{Authenticator: core.OpenDoor{}}), new(counter), new(counter), signal(rings))
	sleeper := members[2]
	var wakes, seen atomic.Int64
	var wg sync.WaitGroup
	for i, m := range members[:2] {
		wg.Go(func() {
			for turn := range turns {
				m.BeginFeeding()
				if turn%(i+2) == 0 {
					wakes.Add(1)
					sleeper.Wake()
				}
				m.EndFeeding()
			}
		})
	}
	wg.Go(func() {
		for range turns / 100 { // so that the last wakes are left to loops that feed
			wakes.Add(1)
			sleeper.Wake()
		}
	})
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for ended := false; !ended; {
		select {
		case <-rings:
			seen.Store(wakes.Load())
		case <-done:
			ended = true
		}
	}
	select { // the last ring
	case <-rings:
		seen.Store(wakes.Load())
	default:
	}
	if seen.Load() != wakes.Load() {
		t.Errorf("of %d wakes, %d came after the last ring", wakes.Load(), wakes.Load()-seen.Load())
	}
}

// signal is a bell that sends to a channel.
type signal chan struct{}

func (s signal) Ring() {
	select {
	case s <- struct{}{}:
	default:
	}
}

// TestAssign: a socket goes to the loop with the fewest, and to none that has ended.
func TestAssign(t *testing.T) {
	members := New(nil, new(counter), new(counter), new(counter))
	for range 30 {
		members[0].Assign(Arrival{})
	}
	var loads []int
	for _, m := range members {
		loads = append(loads, m.Load())
	}
	if !slices.Equal(loads, []int{10, 10, 10}) {
		t.Fatalf("the loops have %v sockets, want 10 each", loads)
	}
	if n := len(members[1].Arrivals()); n != 10 || members[1].HasArrivals() {
		t.Errorf("%d sockets were handed over, want 10, and all are taken", n)
	}
	if members[2].Retire() {
		t.Error("a loop ends with sockets on their way to it")
	}
	members[2].Arrivals()
	for range 10 {
		members[2].ConnEnded()
	}
	if !members[2].Retire() {
		t.Error("nothing is on its way, and the loop cannot end")
	}
	for range 4 {
		members[0].Assign(Arrival{})
	}
	if members[2].Load() != 0 || members[2].HasArrivals() || members[0].Load()+members[1].Load() != 24 {
		t.Errorf("the loops have %d, %d and %d sockets; the last has ended", members[0].Load(), members[1].Load(), members[2].Load())
	}
}

// stub is a Loop that counts its flushes.
type stub struct {
	member  *Member
	flushes int
}

func (s *stub) HasOutput() bool { return s.member.Grew() }
func (s *stub) Cutting() bool   { return false }
func (s *stub) Flush() {
	s.flushes++
	if s.member.BeginWriting() {
		s.member.EndWriting()
	}
}

// TestPaceWaitsForOneBehind: a loop waits for another that has much to write, writes to its own clients
// meanwhile, and gives up after paceTimeout.
func TestPaceWaitsForOneBehind(t *testing.T) {
	room, members, _, sessions := group(t, 2)
	for before := room.Said(); room.Said()-before <= backends.FlushAfter; {
		sessions[0].Feed(wire.AppendChat(nil, strings.Repeat("x", 900)))
	}
	l := &stub{member: members[0]}
	began := time.Now()
	members[0].Pace(l)
	if took := time.Since(began); took < paceTimeout || members[0].paceTimeouts != 1 {
		t.Errorf("waited %v for a loop that never writes, and gave up %d times", took, members[0].paceTimeouts)
	}
	if l.flushes != 1 {
		t.Errorf("it has written to its own clients %d times meanwhile, want once", l.flushes)
	}
	if members[0].Pace(l); members[0].paceTimeouts != 1 {
		t.Error("waited again, though nothing more was said")
	}
}

// TestPaceWakes: before a loop waits it wakes the loops that it did not wake while it fed, and it goes on
// when they have begun to write. A busy machine may be too slow for that once, but not each time.
func TestPaceWakes(t *testing.T) {
	const attempts = 10
	for range attempts {
		if paceWakes() {
			return
		}
	}
	t.Errorf("a loop has waited for one that was not woken, %d times in turn", attempts)
}

// paceWakes says whether the other loop wrote before Pace gave up.
func paceWakes() bool {
	room := core.NewRoom(core.Config{Authenticator: core.OpenDoor{}, Now: time.Now()})
	rings := make(chan struct{}, 1)
	members := New(room, new(counter), signal(rings))
	s := room.Join(netip.AddrPort{}, memberWaker{members[0]}, nil)
	s.Feed(wire.AppendCred(nil, "a", "x"))
	o := room.Join(netip.AddrPort{}, memberWaker{members[1]}, nil)
	o.Feed(wire.AppendCred(nil, "b", "x"))
	members[1].BeginWriting()
	members[1].EndWriting()
	select {
	case <-rings:
	default:
	}
	members[0].BeginFeeding()
	for before := room.Said(); room.Said()-before <= backends.FlushAfter; {
		s.Feed(wire.AppendChat(nil, strings.Repeat("x", 900)))
	}
	paced, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		select {
		case <-rings:
			members[1].BeginWriting()
			members[1].EndWriting()
		case <-paced:
		}
	}()
	members[0].Pace(&stub{member: members[0]})
	close(paced)
	<-over
	return members[0].paceTimeouts == 0
}

// TestPaceWakesLoopThatSleeps: a loop that sleeps though it knows that the log has grown is woken by a loop
// that waits for it.
func TestPaceWakesLoopThatSleeps(t *testing.T) {
	room, members, rung, sessions := group(t, 3)
	for before := room.Said(); room.Said()-before <= backends.FlushAfter; {
		sessions[0].Feed(wire.AppendChat(nil, strings.Repeat("x", 900)))
	}
	members[2].BeginWriting()
	members[2].EndWriting()
	before, idle := rung[1].n.Load(), rung[2].n.Load()
	members[0].Pace(&stub{member: members[0]})
	if rung[1].n.Load() == before || rung[2].n.Load() != idle {
		t.Errorf("rung %d times, and one that is not behind %d times", rung[1].n.Load()-before, rung[2].n.Load()-idle)
	}
}

// TestPaceDoesNotWaitForIdle: a loop does not wait for one that has written everything, nor for one that has
// ended.
func TestPaceDoesNotWaitForIdle(t *testing.T) {
	room, members, _, sessions := group(t, 3)
	for before := room.Said(); room.Said()-before <= backends.FlushAfter; {
		sessions[0].Feed(wire.AppendChat(nil, strings.Repeat("x", 900)))
	}
	members[1].BeginWriting()
	members[1].EndWriting()
	members[2].End()
	members[0].Pace(&stub{member: members[0]})
	if members[0].paceTimeouts != 0 {
		t.Error("waited for a loop that has nothing to write")
	}
}
