package backendtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"chatbench/backends"
	"chatbench/core/wire"
)

// coalesceCases are short cases that waiting output can break: they depend on who is written
// to and when, who is slow, who ends, and who waits.
var coalesceCases = []string{
	"hello", "one-order-for-all", "fan-out", "burst", "big-messages", "counters",
	"many-frames-in-one-write", "longest-frame", "violations",
	"relay-every-command", "relay-and-talk",
	"half-close", "close-while-others-talk", "last-words", "gone-during-output", "name-is-free-again",
	"never-reads", "reads-slowly", "never-reads-and-talks", "takes-its-time-at-the-end",
	"drain-under-traffic", "drain-a-slow-reader", "shutdown-never-reads", "shutdown-cuts",
	"late-answer", "nothing-left-behind",
	"hostile-paste-arrives-whole", "hostile-flood-waits", "hostile-full-queues-both-ways", "hostile-amplified-burst",
}

// RunCoalescing checks a transport that can let output wait against the contract, with that
// setting. It runs all cases, or only those that the setting can break.
func RunCoalescing(t *testing.T, b backends.Backend, setting backends.Coalesce, all bool) {
	if !b.Coalesces {
		t.Fatalf("%s does not coalesce", b.Name)
	}
	start := b.Start
	b.Start = func(cfg backends.Config) (backends.Server, error) {
		if cfg.Coalesce == backends.CoalesceOff { // otherwise the case has set it
			cfg.Coalesce = setting
		}
		return start(cfg)
	}
	// That case runs this binary again, which would not call RunCoalescing.
	cases := slices.DeleteFunc(scenarios(), func(s scenario) bool { return s.name == taskScenarios[0].name })
	if !all {
		for _, name := range coalesceCases {
			if !slices.ContainsFunc(cases, func(s scenario) bool { return s.name == name }) {
				t.Errorf("%q is not a case of the suite", name)
			}
		}
		cases = slices.DeleteFunc(cases, func(s scenario) bool { return !slices.Contains(coalesceCases, s.name) })
	}
	run(t, b, slices.Concat(cases, waitingScenarios))
}

// longWait is for cases in which the room's output must not become due, however slow the
// machine is.
const longWait = backends.Coalesce(time.Hour)

func waitLong(s *settings) { s.net.Coalesce = longWait }

var waitingScenarios = []scenario{
	{"waiting-is-for-the-room-alone", waitingIsForTheRoomAlone},
	{"waiting-is-bounded", waitingIsBounded},
	{"waiting-ends-with-the-room", waitingEndsWithTheRoom},
}

// waitingIsForTheRoomAlone: messages to the room wait. Frames for a single client do not, and
// neither does the end of its connection. What is said goes along while the transport still
// writes the answer to a login, which on a busy machine may take long after the client has it.
// So not every attempt has to succeed.
func waitingIsForTheRoomAlone(h *harness) {
	h.persistently(func(n int) string { return waitsForTheRoomAlone(h, time.Duration(1+n)*50*time.Millisecond) })
}

// waitsForTheRoomAlone is one attempt. Answers to logins have so long to be written.
func waitsForTheRoomAlone(h *harness, settle time.Duration) (failure string) {
	r := h.open(waitLong)
	carol, bob, alice := r.login("carol"), r.login("bob"), r.login("alice")
	time.Sleep(settle)
	alice.say("hello")
	r.eventually(func() bool { return r.room.Snapshot().Messages == 1 }, "it is said")
	dave := r.login("dave")
	dave.send(wire.AppendFile(nil, wire.LsReq, "bob", nil))
	if f, err := bob.read(); err == nil && f.Type == wire.Chat {
		return fmt.Sprintf("bob was sent %s, which should wait", show(f))
	} else if want := (wire.Frame{Type: wire.File, Command: wire.LsReq, Body: []byte("dave")}); err != nil || show(f) != show(want) {
		r.Fatalf("bob was sent %s, %v, want %s", show(f), err, show(want))
	}
	bob.expectChat("alice: hello") // it goes along
	dave.send(wire.AppendChat(nil, strings.Repeat("x", wire.MaxFrame)))
	dave.expectNotice()
	dave.expectClosed()
	if n, _ := carol.conn.readWithin(50*time.Millisecond, make([]byte, 1)); n > 0 {
		return "carol was sent something, which should wait"
	}
	r.room.Drain()
	carol.expectChat("alice: hello")
	carol.expectClosed()
	return ""
}

// waitingIsBounded: no more than mostWaiting octets wait, and waiting output keeps nobody from
// saying more.
func waitingIsBounded(h *harness) {
	const frames, octets, mostWaiting = 4000, 1000, 1 << 20
	r := h.open(waitLong)
	clients := r.logins("c", 4)
	heard := listenAll(clients, "the end")
	talkAll(r, clients[:2], func(c *client) error {
		for i := range frames {
			if err := c.trySend(wire.AppendChat(nil, fmt.Sprintf("no %d ", i)+strings.Repeat("x", octets))); err != nil {
				return err
			}
		}
		return nil
	})
	r.eventually(func() bool { return fewestHeard(heard) > 2*frames-mostWaiting/octets }, "all clients receive all that may not wait (%d so far)",
		func() int { return int(fewestHeard(heard)) })
	said := func(n uint64) {
		r.eventually(func() bool { return r.room.Snapshot().Messages == n }, "%d messages are said", n)
	}
	said(2 * frames)
	clients[0].say("the end")
	said(2*frames + 1)
	r.room.Drain()
	if texts := sameForAll(heard); len(texts) != 2*frames+1 {
		r.Fatalf("%d of %d messages were received", len(texts), 2*frames+1)
	}
}

// waitingEndsWithTheRoom: output that still waits does not delay the cutting of connections.
func waitingEndsWithTheRoom(h *harness) {
	r := h.open(waitLong)
	alice := r.login("alice")
	alice.say("hello")
	r.eventually(func() bool { return r.room.Snapshot().Messages == 1 }, "it is said")
	if err := r.shutdown(50 * time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		r.Errorf("Shutdown returned %v", err)
	}
}
