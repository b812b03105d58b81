package agents

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"chatbench/loadgen"
)

// TestAllClients: a measurement of fewer clients than the plan has is not a result.
func TestAllClients(t *testing.T) {
	cfg := plain(serveNull(t, "127.0.0.1:0"))
	all, err := loadgen.Parts(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := &session{cfg: cfg}
	if r, err := s.merge(all); err != nil || r.Login.Count != 9 {
		t.Errorf("%+v, %v", r, err)
	}
	s.cfg.Clients = 10
	if _, err := s.merge(all); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "9 of 10 clients") {
		t.Errorf("%v", err)
	}
	s.cfg.Clients = 18
	other, err := loadgen.Parts(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	other[0].Elsewhere = &loadgen.Elsewhere{Latency: other[0].Login}
	if _, err := s.merge(append(all, other...)); err == nil || !strings.Contains(err.Error(), "different things") {
		t.Errorf("%v", err)
	}
}

// TestNameIsFreed: a restarted agent waits until the coordinator knows that the old agent with its name is gone.
func TestNameIsFreed(t *testing.T) {
	c := newCoordinator(t, "127.0.0.1:0", 1)
	defer c.Close()
	old := startAgent(t, "", c.Addr(), "one", 1)
	if err := c.Gather(t.Context(), 20*time.Second); err != nil {
		t.Fatal(err)
	}
	first := c.Agents()[0].Address
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	waits, ended := make(chan bool, 1), make(chan error, 1)
	go func() {
		ended <- Serve(ctx, Options{Join: c.Addr(), Name: "one", Threads: 1, Wait: time.Minute, Log: func(line string) {
			if strings.HasPrefix(line, "waiting until no other agent is named one") {
				waits <- true
			}
		}})
	}()
	select {
	case <-waits:
		old.Process.Kill()
		old.Wait()
		until := time.Now().Add(20 * time.Second)
		for all := c.Agents(); len(all) != 1 || all[0].Address == first; all = c.Agents() {
			if time.Sleep(time.Millisecond); time.Now().After(until) {
				t.Fatal("it does not take the place")
			}
		}
	case err := <-ended:
		t.Fatalf("it does not wait: %v", err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, loadgen.ErrInterrupted) {
		t.Error(err)
	}
}

// TestDrift: the bound of a clock grows by its drift during the load, in either direction.
func TestDrift(t *testing.T) {
	at := func(offset, bound time.Duration) Info { return Info{Offset: offset, Bound: bound} }
	for _, c := range []struct {
		before, after Info
		want          time.Duration
	}{
		{at(5, 10), at(5, 10), 10}, {at(5, 10), at(5, 30), 30}, {at(5, 30), at(5, 10), 30}, {at(5, 10), at(105, 20), 120}, {at(105, 10), at(5, 20), 120}, {at(-5, 1), at(5, 1), 11},
	} {
		if got := drifted(c.before, c.after); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// TestClockAfter: a clock that changes between the two measurements of a load is found.
func TestClockAfter(t *testing.T) {
	c := newCoordinator(t, "127.0.0.1:0", 1)
	defer c.Close()
	conn, err := net.Dial("tcp", c.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var moved atomic.Int64
	go func() {
		p, base := newPeer(conn, maxLine), time.Now()
		p.write(greeting(Options{Name: "one", Threads: 1}))
		for m, err := p.read(); err == nil && m.Kind == ping; m, err = p.read() {
			p.write(message{Kind: pong, Serial: m.Serial, At: clock(base) + moved.Load()})
		}
	}()
	if err := c.Gather(t.Context(), 20*time.Second); err != nil {
		t.Fatal(err)
	}
	for _, by := range []time.Duration{0, time.Hour, time.Hour, 0} {
		s := c.session(t.Context(), loadgen.Config{}, c.alive())
		was := time.Duration(moved.Swap(int64(by)))
		if err := s.clocksAgain(); err != nil {
			t.Fatal(err)
		}
		if got := s.bounds[0] - (by - was).Abs(); got <= 0 || got > 5*time.Minute {
			t.Errorf("from %v to %v: bound %v", was, by, s.bounds[0])
		}
	}
}

// TestComing: the coordinator waits longer than planned for an agent that still receives something, but not for a silent one.
func TestComing(t *testing.T) {
	for _, says := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			here, there := net.Pipe()
			ended := make(chan bool)
			go func() {
				defer close(ended)
				p := newPeer(there, maxLine)
				if m, err := p.read(); err != nil || m.Kind != start {
					t.Errorf("received %+v, %v", m, err)
				}
				if says {
					p.write(message{Kind: coming})
				}
				time.Sleep(3 * time.Second)
				p.write(message{Kind: sent})
				p.Close()
			}()
			c := &Coordinator{closed: make(chan bool)}
			r := &remote{peer: newPeer(here, maxLine), answers: make(chan message), gone: make(chan bool), closing: make(chan bool)}
			go c.readMessages(r)
			s := c.session(t.Context(), loadgen.Config{}, []*remote{r})
			defer s.fail(nil)
			if _, err := s.exchange(r, message{Kind: start}, sent, 2*time.Second); (err == nil) != says || err != nil && !errors.Is(err, ErrLost) {
				t.Errorf("it says that something arrives: %v; %v", says, err)
			}
			<-ended
			<-r.gone
		})
	}
}

// TestSaysComing: an agent reports at most every few seconds that something arrives, and only then.
func TestSaysComing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		a, said, ended := &agent{peer: newPeer(here, maxLine)}, 0, make(chan bool)
		go func() {
			defer close(ended)
			p := newPeer(there, maxLine)
			for m, err := p.read(); err == nil && m.Kind == coming; m, err = p.read() {
				said++
			}
		}()
		progress := a.reportArrivals()
		for _, c := range []struct {
			after     time.Duration
			perSecond float64
			want      int
		}{{0, 1, 0}, {comingEvery, 0, 0}, {0, 1, 1}, {comingEvery - 1, 1, 1}, {1, 1, 2}} {
			time.Sleep(c.after)
			progress(loadgen.Progress{PerSecond: c.perSecond})
			if synctest.Wait(); said != c.want {
				t.Errorf("%+v: said %d times", c, said)
			}
		}
		here.Close()
		<-ended
	})
}
