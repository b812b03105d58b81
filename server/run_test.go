package server

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/client"
	"chatbench/core"
	"chatbench/core/wire"
)

// signalSelf sends the test process what an operator would send to chatd.
func signalSelf(t *testing.T, sig unix.Signal) {
	t.Helper()
	if err := unix.Kill(os.Getpid(), sig); err != nil {
		t.Fatal(err)
	}
}

// said reads events until n texts have been said, and returns them.
func said(t *testing.T, c *client.Client, n int) (texts []string) {
	t.Helper()
	for len(texts) < n {
		select {
		case e, ok := <-c.Events():
			if !ok {
				t.Fatalf("the conversation ended after %q: %v", texts, c.Err())
			}
			if s, is := e.(client.Said); is {
				texts = append(texts, s.From+": "+s.Text)
			}
		case <-time.After(patience):
			t.Fatalf("%d texts awaited, came: %q", n, texts)
		}
	}
	return texts
}

// On SIGTERM everybody gets what was said before, then Close; the counters
// say so, and the port is free again.
func TestDrainOnSIGTERM(t *testing.T) {
	free := freeAddress(t)
	listen := func(o *Options) { o.Listen = free }
	r := start(t, listen)
	alice, bob := r.mustLogin("alice", "x"), r.mustLogin("bob", "y")
	for _, text := range []string{"안녕", "last words"} {
		if err := alice.Say(text); err != nil {
			t.Fatal(err)
		}
	}
	said(t, alice, 2) // the server has them
	signalSelf(t, unix.SIGTERM)
	if got := said(t, bob, 2); got[1] != "alice: last words" {
		t.Errorf("bob heard %q", got)
	}
	for _, c := range []*client.Client{alice, bob} {
		for range c.Events() {
		}
		if !errors.Is(c.Err(), client.ErrClosed) {
			t.Errorf("%s: the end was %v, want a Close", c.Name(), c.Err())
		}
	}
	l, err := r.end()
	if err != nil || l.Error != "" || l.GivenUp != "" {
		t.Errorf("Run returned %v and printed %q, given up: %q", err, l.Error, l.GivenUp)
	}
	if l.Counters.Accepts != 2 || l.Room["messages"] != 2 || l.Room["logins"] != 2 || l.Ends["drain"] != 2 || l.Ends["cut"] != 0 {
		t.Errorf("counters: %+v", l)
	}
	if l.Runtime.HeapBytes == 0 || l.Runtime.Goroutines == 0 || l.Runtime.GoroutinesMax < l.Runtime.Goroutines || l.Runtime.Threads == 0 {
		t.Errorf("runtime: %+v", l.Runtime)
	}
	again := start(t, listen)
	again.cancel()
	if _, err := again.end(); err != nil {
		t.Errorf("a server on the same port: %v", err)
	}
}

// A connection that does not end is cut when the time for draining is over, or at the second
// signal. Neither is an error of Run.
func TestCut(t *testing.T) {
	for _, c := range []struct {
		name  string
		drain time.Duration
		cut   func(*testing.T)
	}{
		{"deadline", 10 * time.Millisecond, func(*testing.T) {}},
		{"second signal", time.Hour, func(t *testing.T) { signalSelf(t, unix.SIGTERM) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			draining := make(chan struct{})
			e := &fakeTransport{done: make(chan struct{}), shutdown: func(ctx context.Context) error {
				close(draining)
				<-ctx.Done()
				return ctx.Err()
			}}
			r := start(t, func(o *Options) { o.Backend, o.Drain = fakeBackend(e, nil), c.drain })
			signalSelf(t, unix.SIGINT)
			<-draining
			c.cut(t)
			if _, err := r.end(); err != nil {
				t.Errorf("Run: %v", err)
			}
			if !r.log.has("had to be cut")() {
				t.Error("the log does not say that connections were cut")
			}
		})
	}
}

// stuckLog is a log whose writes block from some time on, until it is freed.
type stuckLog struct {
	logged
	stuck atomic.Bool
	free  chan struct{}
}

func (l *stuckLog) Write(p []byte) (int, error) {
	if l.stuck.Load() {
		<-l.free
	}
	return l.logged.Write(p)
}

// stuckDisk blocks until it is freed.
type stuckDisk struct {
	historyFile
	free chan struct{}
}

func (d stuckDisk) Append([]core.Line) error { <-d.free; return nil }
func (d stuckDisk) Long() bool               { return false }
func (d stuckDisk) Close() error             { return nil }

// Stop does not wait for a disk, a control request or a log that is stuck, and reports that.
func TestStopGivesUp(t *testing.T) {
	free := make(chan struct{})
	defer close(free)
	log := &stuckLog{free: free}
	o := options(log)
	o.History = 5
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	alice := talk(t, connect(t, "127.0.0.1", s.Addr().String(), nil)).enter("alice")
	alice.send(wire.AppendChat(nil, "to be kept"))
	waitFor(t, func() bool { return s.Snapshot().Messages == 1 })
	alice.conn.Close()
	s.endTimeout = 20 * time.Millisecond
	s.history = newHistoryWriter(s.room, stuckDisk{free: free}, 0, o.Log)
	s.ops.work.Go(func() { <-free })
	log.stuck.Store(true)
	s.accessLog.Refused(peer, "banned", "")
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop(context.Background()) }()
	select {
	case err := <-stopped:
		if got := s.stoppedLine(runtimeStats{}, nil).GivenUp; err != nil || got != "history file, control socket, access log" {
			t.Errorf("Stop: %v, given up: %q", err, got)
		}
	case <-time.After(patience):
		t.Error("Stop waits for a part that is stuck")
	}
}

// A transport that ends by itself ends the server, which says why.
func TestEngineEnds(t *testing.T) {
	for _, why := range []error{errors.New("the ring is broken"), nil} {
		e := &fakeTransport{done: make(chan struct{}), err: why, shutdown: func(context.Context) error { return nil }}
		r := start(t, func(o *Options) { o.Backend = fakeBackend(e, nil) })
		close(e.done)
		l, err := r.end()
		if err == nil || l.Error != err.Error() || !strings.Contains(l.Error, "backend scripted ended by itself") {
			t.Errorf("Run: %v, printed %q", err, l.Error)
		}
		if why != nil && !errors.Is(err, why) {
			t.Errorf("Run: %v does not say %v", err, why)
		}
		if !r.log.has("level=ERROR")() {
			t.Error("nothing in the log")
		}
	}
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	o := options(new(logged))
	o.Listen = l.Addr().String()
	_, err = Start(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), o.Listen+" is in use") || errors.As(err, new(Misuse)) {
		t.Errorf("Start on a port in use: %v", err)
	}
}
