package backendtest

import (
	"bytes"
	"fmt"
	"strings"

	"chatbench/core"
	"chatbench/core/wire"
)

var framingScenarios = []scenario{
	{"split-at-every-byte", splitAtEveryByte},
	{"one-byte-writes", oneByteWrites},
	{"many-frames-in-one-write", manyFramesInOneWrite},
	{"longest-frame", longestFrame},
	{"too-long", tooLong},
	{"violations", violations},
}

// script is a conversation of alice's that uses every kind of frame, and a check of what
// she is sent.
func script() (out []byte, in func(*client)) {
	out = wire.AppendCred(out, "alice", "pass word")
	out = wire.AppendChat(out, "one")
	out = wire.AppendChat(out, "")
	out = wire.AppendFile(out, wire.LsReq, "alice", nil)
	out = wire.AppendFile(out, wire.DnReq, "alice", []byte(" a b.txt"))
	out = wire.AppendChat(out, "二")
	out = wire.AppendClose(out)
	return out, func(c *client) {
		c.rig.Helper()
		// Frames for alice alone may overtake those of the room.
		var room, own []string
		for range 6 {
			f, err := c.read()
			if err != nil {
				c.rig.Fatalf("%v among the answers", err)
			}
			if f.Type == wire.Chat {
				room = append(room, show(f))
			} else {
				own = append(own, show(f))
			}
		}
		diff(c.rig.harness, "alice, from the room,", room, "the script", []string{`CHAT "alice: one"`, `CHAT "alice: "`, `CHAT "alice: 二"`})
		diff(c.rig.harness, "alice, for herself,", own, "the script", []string{`CRED "granted"`, `FILE 0 "alice"`, `FILE 4 "alice a b.txt"`})
	}
}

// splitAtEveryByte: the script comes in two reads, split at each byte in turn.
func splitAtEveryByte(h *harness) {
	r := h.open()
	out, answers := script()
	out = out[:len(out)-len(wire.AppendClose(nil))]
	for i := 1; i < len(out); i++ {
		c := r.dialRead()
		before := r.counters.BytesIn.Load()
		c.send(out[:i])
		r.eventually(func() bool { return r.counters.BytesIn.Load() == before+int64(i) }, "the first %d octets are read", i)
		c.send(out[i:])
		answers(c)
		c.send(wire.AppendClose(nil))
		c.expectEOF()
		c.hangUp()
	}
	r.waitEnds(core.ReasonBye, uint64(len(out)-1))
}

// oneByteWrites: each octet comes in a write of its own.
func oneByteWrites(h *harness) {
	r := h.open()
	out, answers := script()
	c := r.dialRead()
	for i := range len(out) - len(wire.AppendClose(nil)) {
		before := r.counters.BytesIn.Load()
		c.send(out[i : i+1])
		r.eventually(func() bool { return r.counters.BytesIn.Load() == before+1 }, "octet %d is read", i)
	}
	answers(c)
	bob := r.login("bob")
	for range 200 { // now without waiting for the reads
		for _, b := range wire.AppendChat(nil, "slowly") {
			c.send([]byte{b})
		}
	}
	for range 200 {
		bob.expectChat("alice: slowly")
	}
}

// manyFramesInOneWrite: 64 KiB of frames come at once, the login first.
func manyFramesInOneWrite(h *harness) {
	r := h.open()
	bob := r.login("bob")
	out := wire.AppendCred(nil, "alice", "x")
	n := 0
	for ; len(out) < 64<<10; n++ {
		out = wire.AppendChat(out, fmt.Sprintf("no %d", n))
	}
	out = wire.AppendChat(out, "the end")
	heard := bob.listen("the end")
	alice := r.dial()
	alice.send(out)
	alice.expect(wire.Cred, 0, wire.Granted)
	own := alice.listen("the end")
	texts := heard.all()
	checkSequence(h, texts, "alice", "no", n)
	diff(h, "bob", texts, "alice", own.all())
}

// longestFrame: a frame of exactly the limit is accepted.
func longestFrame(h *harness) {
	r := h.open(func(s *settings) { s.room.MaxFrame = 1000 })
	alice, bob := r.login("alice"), r.login("bob")
	text := strings.Repeat("x", 1000-2)
	alice.say("%s", text)
	alice.say("next")
	for _, c := range []*client{alice, bob} {
		c.expectChat("alice: %s", text)
		c.expectChat("alice: next")
	}
}

// flooding is how many octets a client sends after it has violated the protocol and
// before it reads. It is more than the kernels buffer, so the server has to read it: a
// server that does not would reset the connection, and destroy its own last words.
const flooding = 6 << 20

// tooLong: a frame that is one octet too long ends the connection, and so does a frame
// without end. The others stay.
func tooLong(h *harness) {
	r := h.open(func(s *settings) { s.room.MaxFrame = 1000 })
	bob := r.login("bob")
	alice := r.login("alice")
	alice.say("%s", strings.Repeat("x", 1000-1))
	alice.expectNotice()
	alice.expectClosed()
	carol := r.login("carol")
	carol.send(append([]byte{0}, bytes.Repeat([]byte{'x'}, flooding)...))
	carol.expectNotice()
	carol.expectClosed()
	carol.hangUp()
	alice.hangUp()
	r.waitEnds(core.ReasonTooLong, 2)
	bob.say("still here")
	bob.expectChat("bob: still here")
}

// violations: a client that violates the protocol is told how and sent Close, and its
// stream ends in order although the client goes on sending. What it said before the
// violation is delivered.
func violations(h *harness) {
	r := h.open()
	bob := r.login("bob")
	chat := wire.AppendChat(nil, "before")
	for _, v := range []struct {
		name  string
		in    []byte
		why   core.Reason
		hears bool // the client is logged in, and "before" is delivered
	}{
		{"unknown type", append(chat[:len(chat):len(chat)], 9, 0), core.ReasonBadType, true},
		{"unknown command", append(chat[:len(chat):len(chat)], 2, 9, 'b', 0), core.ReasonBadCommand, true},
		{"malformed file frame", wire.AppendFile(chat[:len(chat):len(chat)], wire.DnReq, "bob", nil), core.ReasonMalformed, true},
		{"second login", wire.AppendCred(chat[:len(chat):len(chat)], "carol", "x"), core.ReasonSecondCred, true},
		{"chat before login", wire.AppendChat(nil, "too early"), core.ReasonNotLoggedIn, false},
		{"file before login", wire.AppendFile(nil, wire.LsReq, "bob", nil), core.ReasonNotLoggedIn, false},
	} {
		ends := r.room.Snapshot().Ends[v.why]
		c := r.dial()
		if v.hears {
			c.logIn("alice")
		}
		// Empty messages follow, which must not be delivered.
		c.send(append(v.in[:len(v.in):len(v.in)], make([]byte, flooding)...))
		if v.hears {
			c.expectChat("alice: before")
			bob.expectChat("alice: before")
		}
		if text := c.expectNotice(); text == "" {
			r.Errorf("%s: the notice is empty", v.name)
		}
		c.expectClosed()
		c.hangUp()
		r.waitEnds(v.why, ends+1)
	}
	bob.say("that was all")
	bob.expectChat("bob: that was all")
}
