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

// narrow makes the kernel's buffers small, and with them what a client can be
// behind without the room noticing.
func narrow(s *settings) {
	s.net.SendBuffer = 4 << 10
	s.net.Linger = 300 * time.Millisecond
	s.room.LagLimit, s.room.LagTime = 64<<10, 300*time.Millisecond
}

// flood talks until cond holds, no further ahead than window messages of those
// who listen.
func flood(r *rig, talker *client, heard []*listener, window int, cond func() bool) (said int) {
	r.Helper()
	text := " " + strings.Repeat("x", 500)
	for ; !cond(); said++ {
		talker.say("no %d%s", said, text)
		r.eventually(func() bool { return lowest(heard) > int64(said-window) }, "message %d is heard by all who read", said-window)
	}
	return said
}

// neverReads: a client that logs in and reads nothing more is closed as slow,
// and its slot and name are free again. The others hear everything.
func neverReads(l *lab) {
	r := l.open(narrow)
	clients := r.logins("c", 3)
	stuck := r.dialNarrow()
	stuck.enter("stuck")
	heard := listenAll(clients, "the end")
	said := flood(r, clients[0], heard, 40, func() bool { return r.room.Snapshot().Ends[core.ReasonSlow] == 1 })
	r.waitClients(3)
	clients[0].say("the end")
	counted(l, sameForAll(heard), "c0", "no", said)
	again := r.login("stuck")
	again.say("back")
	clients[1].expectChat("stuck: back")
}

// readsSlowly: a client that takes a little at a time, but never falls too far
// behind, loses nothing. Its socket is full most of the time.
func readsSlowly(l *lab) {
	const messages, window = 2500, 80 // of half a KiB: less than the lag limit
	r := l.open(narrow)
	bob := r.login("bob")
	heard := bob.listen("the end")
	slow := r.dialNarrow()
	slow.enter("slow")
	slow.buf = make([]byte, 700)
	own := slow.listen("the end")
	said := flood(r, bob, []*listener{heard, own}, window, func() bool { return heard.heard.Load() >= messages })
	bob.say("the end")
	texts := sameForAll([]*listener{heard, own})
	counted(l, texts, "bob", "no", said)
	if n := r.counters.Stalls.Load(); n < 10 {
		r.Errorf("%d stalls were counted, though the socket was full again and again", n)
	}
}

// takesItsTimeAtTheEnd: a client that is told to go while it is behind may take
// longer than Linger over what it is still owed: that begins with our FIN.
func takesItsTimeAtTheEnd(l *lab) {
	const messages = 100
	r := l.open(narrow, func(s *settings) { s.net.Linger = 50 * time.Millisecond })
	alice := r.login("alice")
	slow := r.dialNarrow()
	slow.enter("slow")
	heard := alice.listen("the end")
	// One by one: what a library holds when the socket is full is little, and the
	// rest is handed to it together with the last words.
	said := flood(r, alice, []*listener{heard}, 1, func() bool { return heard.heard.Load() >= messages })
	slow.send([]byte{9})
	r.eventually(func() bool { return r.room.Snapshot().Granted == 1 }, "the client is told to go")
	time.Sleep(2 * r.net.Linger)
	slow.buf, slow.pace = make([]byte, 700), r.net.Linger/10 // half a second for all
	own := slow.listen("")
	own.expectEOF()
	slow.hangUp()
	counted(l, own.all(), "alice", "no", said)
	alice.say("the end")
	heard.all()
}

// neverReadsRelay: a client is sent more for itself alone than it takes. Whoever
// sends it has to wait, until it is closed as slow, and is heard after that.
func neverReadsRelay(l *lab) {
	const step = 40 // of 1,000 octets: so much may wait, also where reading goes on
	r := l.open(narrow)
	alice, bob := r.login("alice"), r.login("bob")
	stuck := r.dialNarrow()
	stuck.enter("stuck")
	frame := wire.AppendFile(nil, wire.LsBody, "stuck", []byte(" "+strings.Repeat("x", 1000)))
	for i := 0; r.room.Snapshot().Granted == 3; i++ {
		alice.send(bytes.Repeat(frame, step))
		alice.say("step %d", i)
		bob.expectChat("alice: step %d", i) // at once, or when the client has been told to go
	}
	r.waitEnds(core.ReasonSlow, 1)
	if r.room.Snapshot().QueueWaits == 0 {
		r.Errorf("nobody had to wait")
	}
	alice.say("done")
	bob.expectChat("alice: done")
}

// neverReadsAndTalks: a client that only talks ends as slow for its own
// messages, and does not make the server busy with nothing else meanwhile.
func neverReadsAndTalks(l *lab) {
	r := l.open(narrow)
	bob := r.login("bob")
	heard := bob.listen("the end")
	stuck := r.dialNarrow()
	stuck.enter("stuck")
	r.eventually(func() bool {
		stuck.trySend(wire.AppendChat(nil, strings.Repeat("x", 500)))
		return r.room.Snapshot().Ends[core.ReasonSlow] == 1
	}, "the client is closed as slow")
	bob.say("the end")
	heard.all()
}
