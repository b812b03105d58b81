package backendtest

import (
	"bytes"
	"strings"
	"time"

	"chatbench/core"
	"chatbench/core/wire"
)

var slowScenarios = []scenario{
	{"never-reads", neverReads},
	{"reads-slowly", readsSlowly},
	{"never-reads-relay", neverReadsRelay},
	{"never-reads-and-talks", neverReadsAndTalks},
	{"takes-its-time-at-the-end", takesItsTimeAtTheEnd},
}

// narrow makes the kernel's buffers small, so that the room soon notices a client that
// does not read.
func narrow(s *settings) {
	s.net.SendBuffer = 4 << 10
	s.net.Linger = 300 * time.Millisecond
	s.room.LagLimit, s.room.LagTime = 64<<10, 300*time.Millisecond
}

// talkUntil talks until cond holds, at most window messages ahead of the listeners.
func talkUntil(r *rig, talker *client, heard []*listener, window int, cond func() bool) (said int) {
	r.Helper()
	text := " " + strings.Repeat("x", 500)
	for ; !cond(); said++ {
		talker.say("no %d%s", said, text)
		r.eventually(func() bool { return fewestHeard(heard) > int64(said-window) }, "message %d is received by all who read", said-window)
	}
	return said
}

// neverReads: a client that reads nothing after its login is closed as slow, and its slot
// and name are free again. The others receive everything.
func neverReads(h *harness) {
	r := h.open(narrow)
	clients := r.logins("c", 3)
	stuck := r.dialNarrow()
	stuck.logIn("stuck")
	heard := listenAll(clients, "the end")
	said := talkUntil(r, clients[0], heard, 40, func() bool { return r.room.Snapshot().Ends[core.ReasonSlow] == 1 })
	r.waitClients(3)
	clients[0].say("the end")
	checkSequence(h, sameForAll(heard), "c0", "no", said)
	again := r.login("stuck")
	again.say("back")
	clients[1].expectChat("stuck: back")
}

// readsSlowly: a client that reads a little at a time, but never falls too far behind,
// loses nothing. Its socket is full most of the time.
func readsSlowly(h *harness) {
	const messages, window = 2500, 80 // of half a KiB: less than the lag limit
	r := h.open(narrow)
	bob := r.login("bob")
	heard := bob.listen("the end")
	slow := r.dialNarrow()
	slow.logIn("slow")
	slow.buf = make([]byte, 700)
	own := slow.listen("the end")
	// The buffers of a front can take a whole window, so that the transport's socket is not full.
	full := func() bool { return r.counters.Stalls.Load() >= 10 || r.through != nil }
	said := talkUntil(r, bob, []*listener{heard, own}, window, func() bool {
		n := heard.heard.Load()
		return n >= messages && full() || n >= 10*messages
	})
	bob.say("the end")
	texts := sameForAll([]*listener{heard, own})
	checkSequence(h, texts, "bob", "no", said)
	if !full() {
		r.Errorf("%d stalls were counted, though the socket was often full", r.counters.Stalls.Load())
	}
}

// takesItsTimeAtTheEnd: a client that is sent Close while it is behind may take longer
// than Linger to read what it is owed, since Linger begins with the server's FIN.
func takesItsTimeAtTheEnd(h *harness) {
	const messages = 100
	r := h.open(narrow, func(s *settings) { s.net.Linger = 50 * time.Millisecond })
	alice := r.login("alice")
	slow := r.dialNarrow()
	slow.logIn("slow")
	heard := alice.listen("the end")
	// One by one: a library holds little when the socket is full, and is given the rest
	// together with the last words.
	said := talkUntil(r, alice, []*listener{heard}, 0, func() bool { return heard.heard.Load() >= messages })
	slow.send([]byte{9})
	r.eventually(func() bool { return r.room.Snapshot().Granted == 1 }, "the client is sent Close")
	time.Sleep(2 * r.net.Linger)
	slow.buf, slow.pace = make([]byte, 700), r.net.Linger/10 // half a second for all
	own := slow.listen("")
	own.expectEOF()
	slow.hangUp()
	checkSequence(h, own.all(), "alice", "no", said)
	alice.say("the end")
	heard.all()
}

// neverReadsRelay: a client is sent more file frames than it reads. The sender has to
// wait until that client is closed as slow, and is served after that.
func neverReadsRelay(h *harness) {
	const step = 40 // frames of 1,000 octets: they may wait even if the transport reads on
	r := h.open(narrow)
	alice, bob := r.login("alice"), r.login("bob")
	stuck := r.dialNarrow()
	stuck.logIn("stuck")
	frame := wire.AppendFile(nil, wire.LsBody, "stuck", []byte(" "+strings.Repeat("x", 1000)))
	for i := 0; r.room.Snapshot().Granted == 3; i++ {
		alice.send(bytes.Repeat(frame, step))
		alice.say("step %d", i)
		bob.expectChat("alice: step %d", i) // at once, or when the other client has been closed
	}
	r.waitEnds(core.ReasonSlow, 1)
	if r.room.Snapshot().QueueWaits == 0 {
		r.Errorf("nobody had to wait")
	}
	alice.say("done")
	bob.expectChat("alice: done")
}

// neverReadsAndTalks: a client that talks and never reads is closed as slow, because of
// its own messages, and does not keep the server from serving others.
func neverReadsAndTalks(h *harness) {
	r := h.open(narrow)
	bob := r.login("bob")
	heard := bob.listen("the end")
	stuck := r.dialNarrow()
	stuck.logIn("stuck")
	said := int64(0)
	r.eventually(func() bool {
		if heard.heard.Load() > said-40 { // not so far ahead that bob is slow too
			stuck.trySend(wire.AppendChat(nil, strings.Repeat("x", 500)))
			said++
		}
		return r.room.Snapshot().Ends[core.ReasonSlow] == 1
	}, "the client is closed as slow")
	bob.say("the end")
	heard.all()
}
