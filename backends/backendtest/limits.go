package backendtest

import (
	"context"
	"errors"
	"net"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

var limitScenarios = []scenario{
	{"descriptor-limit-lowered", func(h *harness) { limitLowered(h, 2) }},
	{"descriptor-limit-below-clients", func(h *harness) { limitLowered(h, 12) }},
	{"start-refused", startRefused},
	{"start-short-of-descriptors", startShort},
}

// limitLowered: the file limit of a running server is lowered below what is in use. New
// connections cannot be accepted, not even to be turned away. Connected clients go on
// talking, and the server still ends in order.
func limitLowered(h *harness, clients int) {
	const limit = 8
	r := h.open()
	in := r.logins("c", clients)
	newcomer, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		r.Fatalf("socket: %v", err)
	}
	defer unix.Close(newcomer)
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		r.Fatalf("file limit: %v", err)
	}
	began := time.Now()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: before.Max}); err != nil {
		r.Fatalf("lower the file limit: %v", err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &before)
	addr := unix.SockaddrInet4{Port: int(r.server.Addr().Port()), Addr: r.server.Addr().Addr().As4()}
	if err := unix.Connect(newcomer, &addr); err != nil {
		r.Fatalf("connect: %v", err)
	}
	r.eventually(func() bool { return r.counters.AcceptErrors.Load() > 0 }, "the server is out of descriptors")
	for i := range 20 {
		from := in[i%clients]
		from.say("no %d", i)
		for _, c := range in {
			c.expectChat("%s: no %d", from.name, i)
		}
		time.Sleep(time.Millisecond)
	}
	r.checkSpin(began)
	select {
	case <-r.server.Done():
		r.Fatalf("the server has ended by itself: %v", r.server.Err())
	default:
	}
	// Shut down while accepting pauses and no client leaves.
	if err := r.shutdown(100 * time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		r.Errorf("Shutdown: %v, want an error, since clients had to be cut", err)
	}
}

// startRefused: a Start that fails, because the address is in use, leaves nothing behind.
func startRefused(h *harness) {
	const times = 20
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		h.Fatalf("listen: %v", err)
	}
	defer taken.Close()
	h.open().close() // what is allocated once, at the first use, is not a leak
	others := goleak.IgnoreCurrent()
	fds, tree := descriptors(), len(processTree())
	for range times {
		r, err := h.start(func(s *settings) { s.net.Listen = taken.Addr().String() })
		if err == nil {
			r.close()
		}
		if !errors.Is(err, unix.EADDRINUSE) {
			h.Fatalf("Start on an address in use: %v", err)
		}
	}
	h.nothingSince(fds, tree, others)
}

// startShort: a Start that runs out of descriptors, at whatever point, leaves nothing
// behind.
func startShort(h *harness) {
	const most = 64
	h.open().close()
	others := goleak.IgnoreCurrent()
	fds, tree := descriptors(), len(processTree())
	refused, served := 0, 0
	for n := 0; n < most; n += 1 + n/24*8 { // one by one for the first few
		restore, err := leaveDescriptors(n)
		if err != nil {
			h.Fatalf("lower the file limit: %v", err)
		}
		r, err := h.start()
		restore()
		if err != nil {
			h.Logf("with %d descriptors: %v", n, err)
			refused++
			continue
		}
		served++
		r.close()
	}
	if refused == 0 || served == 0 {
		h.Errorf("of %d starts %d were refused and %d served", most, refused, served)
	}
	h.nothingSince(fds, tree, others)
}
