package uring

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"chatbench/backends"
	"chatbench/backends/internal/loopgroup"
	"chatbench/backends/internal/readiness"
	"chatbench/core"
	"chatbench/core/wire"
)

// TestMuchDoesNotWait: messages of clients of other loops wait, unless they are much.
func TestMuchDoesNotWait(t *testing.T) {
	cfg := testConfig()
	cfg.Room = core.NewRoom(core.Config{Authenticator: core.OpenDoor{}, Now: time.Now()})
	cfg.Coalesce = backends.Coalesce(time.Hour)
	l := &loop{cfg: cfg}
	l.bell, _ = readiness.NewDoorbell()
	defer l.bell.Close()
	l.member = loopgroup.New(cfg.Room, l.bell)[0]
	l.startCoalescing()
	l.turnBegan = time.Now()
	session := cfg.Room.Join(netip.AddrPort{}, l, &conn{loop: l, recipientIndex: -1})
	session.Feed(wire.AppendCred(nil, "alice", "x"))
	clear(l.wakes) // it has no connection
	l.wakes = l.wakes[:0]
	say := func() { session.Feed(wire.AppendChat(nil, strings.Repeat("x", 900))) }
	say()
	if l.flushUnlessWaiting(); !l.member.Grew() || l.hasWork() {
		t.Error("a message is written at once, or the loop does not sleep")
	}
	for range 1 + backends.FlushAfter/900 {
		say()
	}
	if l.flushUnlessWaiting(); l.member.Grew() || l.coalesce.Waiting() {
		t.Error("much that was said waits")
	}
}
