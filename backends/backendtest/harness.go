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

// harness is the environment of a case: its test and the transport under test.
type harness struct {
	tester
	backend backends.Backend
	timeout time.Duration
	through *Through // nil: clients connect to the transport
}

// settings is the configuration of a server, which a case may change before it starts.
type settings struct {
	room core.Config
	net  backends.Config
}

// rig is one running server.
type rig struct {
	*harness
	settings
	room     *core.Room
	server   backends.Server
	counters *backends.Counters
	stopTick func()
	closed   bool

	at   netip.AddrPort                   // where clients connect
	wrap func(*net.TCPConn) (Conn, error) // nil: clients use the connection as it is
	end  func(cut bool)                   // ends what clients come through
}

// open starts a server that ends with the case.
func (h *harness) open(change ...func(*settings)) *rig {
	h.Helper()
	r, err := h.start(change...)
	if err != nil {
		h.Fatalf("Start: %v", err)
	}
	h.Cleanup(func() {
		r.close()
		if r.Failed() {
			r.Logf("how the connections of this case ended: %s", endCounts(r.room.Snapshot()))
		}
	})
	return r
}

// start starts a server that the caller has to end.
func (h *harness) start(change ...func(*settings)) (*rig, error) {
	r := &rig{harness: h, counters: new(backends.Counters)}
	r.settings = settings{
		room: core.Config{
			MaxClients: 200, Authenticator: core.OpenDoor{}, Now: time.Now(),
			PrefaceTimeout: patience, LoginTimeout: patience, LagTime: patience, Farewell: patience,
		},
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
	if h.through != nil {
		h.through.Room(&r.settings.room)
	}
	r.room = core.NewRoom(r.settings.room)
	r.net.Room, r.net.MaxClients = r.room, r.settings.room.MaxClients
	server, err := h.backend.Start(r.net)
	if err != nil {
		return nil, err
	}
	r.server = server
	r.stopTick = tick(r.room)
	r.at, r.end = server.Addr(), func(bool) {}
	if h.through != nil {
		r.at, r.wrap, r.end = h.through.Open(server.Addr(), r.net)
	}
	return r, nil
}

// tick calls the room's Tick every 20 ms, until stop is called.
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

// stopClock stops the room's time, until goOn is called. What depends on that time cannot
// happen meanwhile, however long the machine takes.
func (r *rig) stopClock() (goOn func()) {
	r.stopTick()
	return func() { r.stopTick = tick(r.room) }
}

// close ends the server as chatd does, and checks what is left in the room. A case may
// call it before its end.
func (r *rig) close() {
	r.Helper()
	if r.closed {
		return
	}
	r.room.Drain()
	if err := r.shutdown(r.timeout); err != nil {
		r.Errorf("Shutdown: %v", err)
	}
}

// shutdown calls Shutdown with a timeout, and returns its error for the caller to check.
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
	case <-time.After(within + r.timeout):
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
	r.checkLeaves()
	return err
}

// checkLeaves checks that Join and Leave were called once for each connection.
func (r *rig) checkLeaves() {
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
		r.Errorf("%d connections were accepted and %d left the room: %s", accepts, ends, endCounts(st))
	}
}

// endCounts lists for which reasons connections have ended, for messages.
func endCounts(st core.Stats) string {
	text := ""
	for reason, n := range st.Ends {
		if n > 0 {
			text += fmt.Sprintf(" %v=%d", core.Reason(reason), n)
		}
	}
	return "ends:" + text
}

// eventually waits until cond holds. An argument of the message that is a func() int is
// called when the message is made.
func (h *harness) eventually(cond func() bool, format string, args ...any) {
	h.Helper()
	for deadline := time.Now().Add(h.timeout); !cond(); {
		if time.Now().After(deadline) {
			for i, arg := range args {
				if now, ok := arg.(func() int); ok {
					args[i] = now()
				}
			}
			h.Fatalf("timed out waiting until "+format, args...)
		}
		time.Sleep(200 * time.Microsecond)
	}
}

// persistently is for what another program, or a busy machine, may spoil once but not each
// time: it fails the case only if each of a few attempts fails. attempt returns what went
// wrong, or "".
func (h *harness) persistently(attempt func(n int) string) {
	h.Helper()
	const attempts = 5
	failure := ""
	for n := range attempts {
		if failure = attempt(n); failure == "" {
			return
		}
	}
	h.Errorf("%d times in turn: %s", attempts, failure)
}

// waitEnds waits until n connections have ended for a given reason.
func (r *rig) waitEnds(why core.Reason, n uint64) {
	r.Helper()
	deadline := time.Now().Add(r.timeout)
	for {
		st := r.room.Snapshot()
		if st.Ends[why] == n {
			return
		}
		if st.Ends[why] > n || time.Now().After(deadline) {
			r.Fatalf("%d connections should have ended with reason %v: %s", n, why, endCounts(st))
		}
		time.Sleep(200 * time.Microsecond)
	}
}

// waitClients waits until n slots are in use.
func (r *rig) waitClients(n int) {
	r.Helper()
	clients := func() int { return r.room.Snapshot().Clients }
	r.eventually(func() bool { return clients() == n }, "%d clients hold slots (%d do)", n, clients)
}
