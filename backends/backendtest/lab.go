package backendtest

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"chatbench/backends"
	"chatbench/core"
)

// lab is what a case works in: the test and the transport under test.
type lab struct {
	tester
	backend  backends.Backend
	patience time.Duration
	through  *Through // nil: clients connect to the transport
}

// settings are what a case may set of a server before it starts.
type settings struct {
	room core.Config
	net  backends.Config
}

// rig is one server at work.
type rig struct {
	*lab
	settings
	room     *core.Room
	server   backends.Server
	counters *backends.Counters
	stopTick func()
	closed   bool

	at   netip.AddrPort                   // where clients connect
	wrap func(*net.TCPConn) (Conn, error) // nil: they speak on the connection as it is
	end  func(cut bool)                   // of what they come through
}

// open starts a server, which ends with the case.
func (l *lab) open(change ...func(*settings)) *rig {
	l.Helper()
	r, err := l.start(change...)
	if err != nil {
		l.Fatalf("Start: %v", err)
	}
	l.Cleanup(func() {
		r.close()
		if r.Failed() {
			r.Logf("the connections of this case, how they ended: %s", endings(r.room.Snapshot()))
		}
	})
	return r
}

// start starts a server, which ends when the caller says so, or not at all.
func (l *lab) start(change ...func(*settings)) (*rig, error) {
	r := &rig{lab: l, counters: new(backends.Counters)}
	r.settings = settings{
		room: core.Config{MaxClients: 200, Authenticator: core.OpenDoor{}, Now: time.Now()},
		net: backends.Config{
			Listen:   "127.0.0.1:0",
			Counters: r.counters,
			Log:      slog.New(slog.DiscardHandler),
			Backlog:  128,
			Linger:   5 * time.Second,
		},
	}
	for _, f := range change {
		f(&r.settings)
	}
	if l.through != nil {
		l.through.Room(&r.settings.room)
	}
	r.room = core.NewRoom(r.settings.room)
	r.net.Room, r.net.MaxClients = r.room, r.settings.room.MaxClients
	server, err := l.backend.Start(r.net)
	if err != nil {
		return nil, err
	}
	r.server = server
	r.stopTick = tick(r.room)
	r.at, r.end = server.Addr(), func(bool) {}
	if l.through != nil {
		r.at, r.wrap, r.end = l.through.Open(server.Addr(), r.net)
	}
	return r, nil
}

// tick carries the time into the room.
func tick(room *core.Room) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		every := time.NewTicker(20 * time.Millisecond)
		defer every.Stop()
		for {
			select {
			case now := <-every.C:
				room.Tick(now)
			case <-quit:
				return
			}
		}
	}()
	return sync.OnceFunc(func() { close(quit); <-done })
}

// close ends the server as chatd does, and looks whether it leaves the room in
// order. A case may call it before its end.
func (r *rig) close() {
	r.Helper()
	if r.closed {
		return
	}
	r.room.Drain()
	if err := r.shutdown(r.patience); err != nil {
		r.Errorf("Shutdown: %v", err)
	}
}

// shutdown gives Shutdown so much time. What it returns is for the caller to
// judge.
func (r *rig) shutdown(within time.Duration) error {
	r.Helper()
	r.closed = true
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	result := make(chan error, 1)
	go func() { result <- r.server.Shutdown(ctx) }()
	var err error
	select {
	case err = <-result:
	case <-time.After(within + r.patience):
		r.Fatalf("Shutdown does not return when its context has ended")
	}
	select {
	case <-r.server.Done():
	default:
		r.Errorf("Shutdown has returned, but Done is not closed")
	}
	if err := r.server.Err(); err != nil {
		r.Errorf("Err after Shutdown: %v", err)
	}
	r.end(err != nil)
	r.stopTick()
	r.accounts()
	return err
}

// accounts checks that each connection was joined once and left once.
func (r *rig) accounts() {
	r.Helper()
	st := r.room.Snapshot()
	if st.Clients != 0 {
		r.Errorf("after Shutdown the room holds %d clients: Leave was not called for them", st.Clients)
	}
	var ends uint64
	for _, n := range st.Ends {
		ends += n
	}
	if accepts := r.counters.Accepts.Load(); uint64(accepts) != ends {
		r.Errorf("%d connections were accepted and %d left the room: %s", accepts, ends, endings(st))
	}
}

// endings lists the reasons of ended connections, for messages.
func endings(st core.Stats) string {
	text := ""
	for reason, n := range st.Ends {
		if n > 0 {
			text += fmt.Sprintf(" %v=%d", core.Reason(reason), n)
		}
	}
	return "ends:" + text
}

// eventually waits until cond holds. An argument of the message that is a
// func() int is asked when the message is made.
func (l *lab) eventually(cond func() bool, format string, args ...any) {
	l.Helper()
	for deadline := time.Now().Add(l.patience); !cond(); {
		if time.Now().After(deadline) {
			for i, arg := range args {
				if now, ok := arg.(func() int); ok {
					args[i] = now()
				}
			}
			l.Fatalf("never happened: "+format, args...)
		}
		time.Sleep(200 * time.Microsecond)
	}
}

// waitEnds waits until n connections have ended for a reason.
func (r *rig) waitEnds(why core.Reason, n uint64) {
	r.Helper()
	deadline := time.Now().Add(r.patience)
	for {
		st := r.room.Snapshot()
		if st.Ends[why] == n {
			return
		}
		if st.Ends[why] > n || time.Now().After(deadline) {
			r.Fatalf("%d connections should have ended with reason %v: %s", n, why, endings(st))
		}
		time.Sleep(200 * time.Microsecond)
	}
}

// waitClients waits until so many slots are held.
func (r *rig) waitClients(n int) {
	r.Helper()
	held := func() int { return r.room.Snapshot().Clients }
	r.eventually(func() bool { return held() == n }, "%d clients in the pool (it holds %d)", n, held)
}
