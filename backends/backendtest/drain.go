package backendtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"chatbench/core"
	"chatbench/core/wire"
)

var drainScenarios = []scenario{
	{"drain-under-traffic", drainUnderTraffic},
	{"drain-a-slow-reader", drainASlowReader},
	{"shutdown-never-reads", shutdownNeverReads},
	{"shutdown-cuts", shutdownCuts},
	{"shutdown-twice", shutdownTwice},
	{"linger-ends", lingerEnds},
	{"same-port-again", samePortAgain},
	{"cannot-listen", cannotListen},
}

// drainUnderTraffic: when the room is drained while clients talk, everyone is
// sent all that was said before, then Close, then FIN.
func drainUnderTraffic(l *lab) {
	// Who talks without end can be ahead of a transport's writing; here nobody
	// is to end as slow for that.
	r := l.open(func(s *settings) { s.net.Linger, s.room.LagLimit = r20(l), 16<<20 })
	clients := r.logins("c", 8)
	heard := listenAll(clients, "")
	var group sync.WaitGroup
	for _, c := range clients[:4] {
		group.Go(func() {
			for i := 0; ; i++ {
				if c.trySend(wire.AppendChat(nil, fmt.Sprintf("no %d", i))) != nil {
					return // the server has hung up
				}
			}
		})
	}
	r.eventually(func() bool { return lowest(heard) > 500 }, "the talk has begun")
	r.room.Drain()
	for _, h := range heard {
		h.expectEOF()
		h.c.hangUp()
	}
	group.Wait()
	sameForAll(heard)
	if err := r.shutdown(r.patience); err != nil {
		r.Errorf("Shutdown: %v", err)
	}
	if n := r.room.Snapshot().Ends[core.ReasonDrain]; n != 8 {
		r.Errorf("%d of 8 clients ended by the drain", n)
	}
}

// r20 is a linger that no case comes to the end of.
func r20(l *lab) time.Duration { return 2 * l.patience }

// drainASlowReader: a client that is behind when the room is drained still
// gets everything, then Close.
func drainASlowReader(l *lab) {
	const messages = 100
	r := l.open(narrow, func(s *settings) { s.net.Linger = r20(l) })
	alice := r.login("alice")
	slow := r.dialNarrow()
	slow.enter("slow")
	heard := alice.listen("")
	for i := range messages {
		alice.say("no %d %s", i, strings.Repeat("x", 500))
	}
	r.eventually(func() bool { return heard.heard.Load() == messages }, "alice hears all")
	r.room.Drain()
	late, err := r.tryDial(nil)
	if err == nil { // it is turned away, or not accepted at all
		late.hangUp()
	}
	heard.expectEOF()
	alice.hangUp()
	own := slow.listen("")
	own.expectEOF()
	slow.hangUp()
	counted(l, own.all(), "alice", "no", messages)
	if err := r.shutdown(r.patience); err != nil {
		r.Errorf("Shutdown: %v", err)
	}
}

// shutdownNeverReads: a client that takes nothing cannot keep the server from
// ending: when the context ends it is cut, and Shutdown says so.
func shutdownNeverReads(l *lab) {
	r := l.open(narrow, func(s *settings) { s.net.Linger = r20(l) })
	alice := r.login("alice")
	stuck := r.dialNarrow()
	stuck.enter("stuck")
	heard := alice.listen("")
	for i := range 100 {
		alice.say("no %d %s", i, strings.Repeat("x", 500))
	}
	r.eventually(func() bool { return heard.heard.Load() == 100 }, "alice hears all")
	r.room.Drain()
	heard.expectEOF()
	alice.hangUp()
	if err := r.shutdown(300 * time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		r.Errorf("Shutdown: %v in place of its context's error", err)
	}
}

// shutdownCuts: sessions that do not close are cut when the context ends.
func shutdownCuts(l *lab) {
	r := l.open()
	clients := r.logins("c", 3)
	r.dial()
	r.waitClients(4)
	if err := r.shutdown(50 * time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		r.Errorf("Shutdown: %v in place of its context's error", err)
	}
	if n := r.room.Snapshot().Ends[core.ReasonCut]; n != 4 {
		r.Errorf("%d connections of 4 were cut: %s", n, endings(r.room.Snapshot()))
	}
	for _, c := range clients {
		if f, err := c.read(); err == nil {
			r.Errorf("%s was sent %s after it was cut", c.name, show(f))
		}
	}
}

// shutdownTwice: Shutdown may be called again, from anywhere, and nobody can
// connect after it.
func shutdownTwice(l *lab) {
	r := l.open()
	alice := r.login("alice")
	r.room.Drain()
	results := make(chan error, 3)
	for range cap(results) {
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), r.patience)
			defer cancel()
			results <- r.server.Shutdown(ctx)
		}()
	}
	alice.expectClosed()
	alice.hangUp()
	for range cap(results) {
		if err := <-results; err != nil {
			r.Errorf("Shutdown: %v", err)
		}
	}
	if err := r.shutdown(r.patience); err != nil {
		r.Errorf("Shutdown, called again: %v", err)
	}
	if c, err := r.tryDial(nil); err == nil {
		c.hangUp()
		r.Errorf("somebody still listens after Shutdown")
	}
}

// lingerEnds: a client that is told to go but never says FIN is cut off when
// Linger is over, and its slot is free; also one that floods meanwhile.
func lingerEnds(l *lab) {
	r := l.open(func(s *settings) { s.net.Linger = 100 * time.Millisecond })
	deaf, loud := r.login("deaf"), r.login("loud")
	deaf.send([]byte{9})
	loud.send([]byte{9})
	var group sync.WaitGroup
	group.Go(func() {
		for loud.trySend(make([]byte, 64<<10)) == nil {
		}
	})
	r.waitClients(0)
	r.waitEnds(core.ReasonBadType, 2)
	group.Wait()
}

// samePortAgain: the port can be bound at once by the next server, though the
// first has closed its connections itself.
func samePortAgain(l *lab) {
	r := l.open()
	addr := r.server.Addr().String()
	for range 3 {
		clients := r.logins("c", 3)
		r.room.Drain()
		for _, c := range clients {
			c.expectClosed()
			c.hangUp()
		}
		r.close()
		r = l.open(func(s *settings) { s.net.Listen = addr })
	}
	r.login("alice").say("again")
}

// cannotListen: Start says in one line why, in words of its own, and what the kernel
// said can be found in its error. It leaves nothing behind. Ports below 1024 are
// refused only to those who lack privileges.
func cannotListen(l *lab) {
	r := l.open()
	taken := r.server.Addr().String()
	for _, addr := range []string{taken, "192.0.2.1:0", "127.0.0.1", "127.0.0.1:99999", "127.0.0.1:1"} {
		listener, want := net.Listen("tcp", addr)
		if want == nil {
			listener.Close()
			continue
		}
		cfg := r.net
		cfg.Listen, cfg.Room = addr, core.NewRoom(r.settings.room)
		server, err := l.backend.Start(cfg)
		if err == nil {
			r.Errorf("listens on %s, where nobody can: %v", addr, want)
			ctx, cancel := context.WithTimeout(context.Background(), r.patience)
			defer cancel()
			server.Shutdown(ctx)
			continue
		}
		var errno syscall.Errno
		if errors.As(want, &errno) && !errors.Is(err, errno) {
			r.Errorf("listening on %s, the error is %q, of which errors.Is does not find %q", addr, err, errno)
		}
		if strings.Contains(err.Error(), "\n") {
			r.Errorf("listening on %s, the error has more than one line: %q", addr, err)
		}
	}
}
