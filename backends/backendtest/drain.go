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

// drainUnderTraffic: when the room is drained while clients talk, every client is sent
// everything that was said before, then Close, then FIN.
func drainUnderTraffic(h *harness) {
	// Clients that talk without pause can be ahead of a transport's writing. The large
	// limit keeps them from being ended as slow here.
	r := h.open(func(s *settings) { s.net.Linger, s.room.LagLimit = longLinger(h), 16<<20 })
	clients := r.logins("c", 8)
	heard := listenAll(clients, "")
	var group sync.WaitGroup
	for _, c := range clients[:4] {
		group.Go(func() {
			for i := 0; ; i++ {
				if c.trySend(wire.AppendChat(nil, fmt.Sprintf("no %d", i))) != nil {
					return // the server has closed the connection
				}
			}
		})
	}
	r.eventually(func() bool { return fewestHeard(heard) > 500 }, "the talk has begun")
	r.room.Drain()
	for _, listener := range heard {
		listener.expectEOF()
		listener.c.hangUp()
	}
	group.Wait()
	sameForAll(heard)
	if err := r.shutdown(r.timeout); err != nil {
		r.Errorf("Shutdown: %v", err)
	}
	if n := r.room.Snapshot().Ends[core.ReasonDrain]; n != 8 {
		r.Errorf("%d of 8 clients ended by the drain", n)
	}
}

// longLinger is a Linger longer than any case waits.
func longLinger(h *harness) time.Duration { return 2 * h.timeout }

// drainASlowReader: a client that is behind when the room is drained still gets
// everything, then Close.
func drainASlowReader(h *harness) {
	const messages = 100
	r := h.open(narrow, func(s *settings) { s.net.Linger = longLinger(h) })
	alice := r.login("alice")
	slow := r.dialNarrow()
	slow.logIn("slow")
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
	checkSequence(h, own.all(), "alice", "no", messages)
	if err := r.shutdown(r.timeout); err != nil {
		r.Errorf("Shutdown: %v", err)
	}
}

// shutdownNeverReads: a client that reads nothing does not keep the server from ending.
// When the context ends the client is cut, and Shutdown returns an error.
func shutdownNeverReads(h *harness) {
	r := h.open(narrow, func(s *settings) { s.net.Linger = longLinger(h) })
	alice := r.login("alice")
	stuck := r.dialNarrow()
	stuck.logIn("stuck")
	heard := alice.listen("")
	for i := range 100 {
		alice.say("no %d %s", i, strings.Repeat("x", 500))
	}
	r.eventually(func() bool { return heard.heard.Load() == 100 }, "alice hears all")
	r.room.Drain()
	heard.expectEOF()
	alice.hangUp()
	if err := r.shutdown(300 * time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		r.Errorf("Shutdown: %v, want its context's error", err)
	}
}

// shutdownCuts: sessions that do not close are cut when the context ends.
func shutdownCuts(h *harness) {
	r := h.open()
	clients := r.logins("c", 3)
	r.dial()
	r.waitClients(4)
	if err := r.shutdown(50 * time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		r.Errorf("Shutdown: %v, want its context's error", err)
	}
	if n := r.room.Snapshot().Ends[core.ReasonCut]; n != 4 {
		r.Errorf("%d connections of 4 were cut: %s", n, endCounts(r.room.Snapshot()))
	}
	for _, c := range clients {
		if f, err := c.read(); err == nil {
			r.Errorf("%s was sent %s after it was cut", c.name, show(f))
		}
	}
}

// shutdownTwice: Shutdown may be called again, from anywhere, and nobody can
// connect after it, except to another program that was given the port.
func shutdownTwice(h *harness) {
	h.persistently(func(int) string { return callShutdownAgain(h) })
}

func callShutdownAgain(h *harness) (failure string) {
	r := h.open()
	alice := r.login("alice")
	r.room.Drain()
	results := make(chan error, 3)
	for range cap(results) {
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), r.timeout)
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
	if err := r.shutdown(r.timeout); err != nil {
		r.Errorf("Shutdown, called again: %v", err)
	}
	if c, err := r.tryDial(nil); err == nil {
		c.hangUp()
		return "the server still listens after Shutdown"
	}
	return ""
}

// lingerEnds: a client that is sent Close and never sends FIN is cut off when Linger is
// over, and its slot is free. So is one that goes on sending meanwhile.
func lingerEnds(h *harness) {
	r := h.open(func(s *settings) { s.net.Linger = 100 * time.Millisecond })
	silent, sender := r.login("silent"), r.login("sender")
	silent.send([]byte{9})
	sender.send([]byte{9})
	var group sync.WaitGroup
	group.Go(func() {
		for sender.trySend(make([]byte, 64<<10)) == nil {
		}
	})
	r.waitClients(0)
	r.waitEnds(core.ReasonBadType, 2)
	group.Wait()
}

// samePortAgain: the next server can bind the port at once, although the first one has
// closed its connections itself, unless another program was given it.
func samePortAgain(h *harness) {
	h.persistently(func(int) string { return startAgain(h) })
}

func startAgain(h *harness) (failure string) {
	r := h.open()
	addr := r.server.Addr().String()
	for range 3 {
		clients := r.logins("c", 3)
		r.room.Drain()
		for _, c := range clients {
			c.expectClosed()
			c.hangUp()
		}
		r.close()
		next, err := h.start(func(s *settings) { s.net.Listen = addr })
		if err != nil {
			return err.Error()
		}
		h.Cleanup(next.close)
		r = next
	}
	r.login("alice").say("again")
	return ""
}

// cannotListen: if Start cannot listen its error is one line that wraps the kernel's
// error, and nothing is left behind. Ports below 1024 are refused only without
// privileges.
func cannotListen(h *harness) {
	r := h.open()
	taken := r.server.Addr().String()
	for _, addr := range []string{taken, "192.0.2.1:0", "127.0.0.1", "127.0.0.1:99999", "127.0.0.1:1"} {
		listener, want := net.Listen("tcp", addr)
		if want == nil {
			listener.Close()
			continue
		}
		cfg := r.net
		cfg.Listen, cfg.Room = addr, core.NewRoom(r.settings.room)
		server, err := h.backend.Start(cfg)
		if err == nil {
			r.Errorf("Start listens on %s, where package net cannot: %v", addr, want)
			ctx, cancel := context.WithTimeout(context.Background(), r.timeout)
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
