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
	{"descriptor-limit-lowered", func(l *lab) { limitLowered(l, 2) }},
	{"descriptor-limit-below-clients", func(l *lab) { limitLowered(l, 12) }},
	{"start-refused", startRefused},
	{"start-short-of-descriptors", startShort},
}

// limitLowered: an operator lowers the file limit of a running server below
// what is in use. Nobody new can come in, not even to be turned away; those who
// are in talk on, and the server still ends in order.
func limitLowered(l *lab, clients int) {
	const limit = 8
	r := l.open()
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
	if n := r.counters.AcceptErrors.Load(); n > 100 {
		r.Errorf("accept failed %d times: the server spins", n)
	}
	select {
	case <-r.server.Done():
		r.Fatalf("the server has ended by itself: %v", r.server.Err())
	default:
	}
	// While accepting rests, and nobody leaves by themselves.
	if err := r.shutdown(100 * time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		r.Errorf("Shutdown: %v, though clients had to be cut", err)
	}
}

// startRefused: a Start that fails, as it does when another server has the
// address, leaves nothing behind.
func startRefused(l *lab) {
	const times = 20
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		l.Fatalf("listen: %v", err)
	}
	defer taken.Close()
	l.open().close() // what is made once, at the first use, is no leak
	others := goleak.IgnoreCurrent()
	fds, tree := descriptors(), len(processTree())
	for range times {
		r, err := l.start(func(s *settings) { s.net.Listen = taken.Addr().String() })
		if err == nil {
			r.close()
		}
		if !errors.Is(err, unix.EADDRINUSE) {
			l.Fatalf("Start on an address that is taken: %v", err)
		}
	}
	l.nothingSince(fds, tree, others)
}

// startShort: a Start that runs out of descriptors halfway, wherever that is,
// gives back what it has.
func startShort(l *lab) {
	const most = 64
	l.open().close()
	others := goleak.IgnoreCurrent()
	fds, tree := descriptors(), len(processTree())
	refused, served := 0, 0
	for n := 0; n < most; n += 1 + n/24*8 { // one by one where it matters
		restore, err := leaveDescriptors(n)
		if err != nil {
			l.Fatalf("lower the file limit: %v", err)
		}
		r, err := l.start()
		restore()
		if err != nil {
			l.Logf("with %d descriptors: %v", n, err)
			refused++
			continue
		}
		served++
		r.close()
	}
	if refused == 0 || served == 0 {
		l.Errorf("of %d starts %d were refused and %d served", most, refused, served)
	}
	l.nothingSince(fds, tree, others)
}
