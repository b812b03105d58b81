package loadgen

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/loadgen/ledger"
)

// counted is a load that has received as much as the test says.
type counted struct {
	load
	delivered uint64
}

func (c *counted) counts() (messages, delivered, missing uint64) { return 0, c.delivered, 1 }

// TestThreadsGiveUp: a thread that receives nothing waits as long as another one receives something, and gives up when
// none has received anything for Drain.
func TestThreadsGiveUp(t *testing.T) {
	s, err := NewStage(t.Context(), 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	f, err := s.Join(Config{Server: startNull(t), Clients: 4, Senders: 2, Rate: 1, Duration: time.Second, Drain: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	a, b := f.generators.all[0], f.generators.all[1]
	loads := []*counted{{load: a.load}, {load: b.load}}
	f.generators.sending.Store(2)
	for i, g := range f.generators.all {
		g.begin(0, 0, time.Second)
		g.load = loads[i]
	}
	for i, step := range []struct {
		g     *generator
		at    time.Duration // after the end of the section
		comes bool
		done  bool
	}{
		{b, 0, false, false}, {a, 0, false, false}, {b, 900 * time.Millisecond, true, false},
		{a, 1500 * time.Millisecond, false, false}, {a, 1900 * time.Millisecond, false, false}, {a, 1900*time.Millisecond + 1, false, true},
	} {
		now := int64(time.Second + step.at)
		if step.g.quiet = now; step.comes {
			loads[1].delivered++
		}
		if done, err := step.g.progress(now); done != step.done || err != nil {
			t.Errorf("step %d: done %v, %v", i+1, done, err)
		}
	}
}

// TestOwnStop: while the thread of a generator stands still, perhaps with everything else on the machine, the server was
// not silent. The generator gives up when it has itself waited for Drain, in steps of a tenth of it at most.
func TestOwnStop(t *testing.T) {
	s, err := NewStage(t.Context(), 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	f, err := s.Join(Config{Server: startNull(t), Clients: 4, Senders: 2, Rate: 1, Duration: time.Second, Drain: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	g := f.generators.all[0]
	f.generators.sending.Store(1)
	g.begin(g.now()-int64(time.Second), 0, time.Second)
	g.load = &counted{load: g.load}
	after := func(stop time.Duration) bool {
		g.common.base = g.base.Add(-stop)
		done, err := g.turn()
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	for range 3 { // it sends what is due, and finds that nothing is missing but what never comes
		after(0)
	}
	for i := range 9 { // after the turn in which it stood still it polls once more
		if after(time.Hour) || after(0) {
			t.Fatalf("given up after %d turns of an hour", i+1)
		}
	}
	for i := 0; !after(time.Second); i++ {
		if i == 3 {
			t.Fatal("not given up although it has waited for Drain")
		}
	}
}

// sendAll writes to a connection and waits until the other side's kernel has it.
func sendAll(t *testing.T, conn net.Conn, p []byte) {
	conn.Write(p)
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Error(err)
		return
	}
	for end := time.Now().Add(longDrain); ; time.Sleep(time.Millisecond) {
		var left int
		raw.Control(func(fd uintptr) { left, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
		if err != nil || time.Now().After(end) {
			t.Errorf("%d octets are still under way: %v", left, err)
			return
		}
		if left == 0 {
			return
		}
	}
}

// TestTail: a duplicate of the last message is found even if it comes when every thread has received everything, in one
// piece and in slices.
func TestTail(t *testing.T) {
	set := func(r *room) { r.script.Seed, r.script.Size, r.messages = 1, 64, 1<<40 }
	for name, measure := range map[string]func(cfg Config, again func()) (*Result, error){
		"whole": func(cfg Config, again func()) (*Result, error) {
			cfg.OnQuiet = again
			return Run(t.Context(), cfg)
		},
		"slice": func(cfg Config, again func()) (*Result, error) {
			s, err := NewStage(t.Context(), cfg.Threads, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			cfg.OnTimedEnd = again
			f, err := s.Join(cfg)
			if err != nil {
				t.Fatal(err)
			}
			r, _, err := f.Slice()
			return r, err
		},
	} {
		for victim := range 4 {
			room := newRoom(t, 1, set)
			cfg := Config{Server: room.Addr().String(), Threads: 2, Clients: 4, Senders: 1, Rate: 1000, Size: 64, Seed: 1, Duration: 20 * time.Millisecond, Drain: 10 * time.Second}
			r, err := measure(cfg, func() {
				room.Lock()
				defer room.Unlock()
				frame := make([]byte, room.script.BroadcastLen())
				room.script.PutBroadcast(frame, uint64(cfg.senders()[0]), 19)
				sendAll(t, room.members[victim].conn, frame)
			})
			if err != nil || r.Ledger != (ledger.Tally{Duplicated: 1}) || r.Messages.InAll != 20 {
				t.Errorf("%s, client %d: %+v, %v", name, victim, r, err)
			}
		}
	}
}
