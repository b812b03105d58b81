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

// script is a conversation that uses every kind of frame, and what the one who
// holds it, alice, is sent.
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
		diff(c.rig.lab, "the room said", room, "due was", []string{`CHAT "alice: one"`, `CHAT "alice: "`, `CHAT "alice: 二"`})
		diff(c.rig.lab, "alice was sent", own, "due was", []string{`CRED "granted"`, `FILE 0 "alice"`, `FILE 4 "alice a b.txt"`})
	}
}

// splitAtEveryByte: the script comes in two reads, divided at each byte in turn.
func splitAtEveryByte(l *lab) {
	r := l.open()
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

// oneByteWrites: each octet is a write of its own.
func oneByteWrites(l *lab) {
	r := l.open()
	out, answers := script()
	c := r.dialRead()
	for i := range len(out) - len(wire.AppendClose(nil)) {
		before := r.counters.BytesIn.Load()
		c.send(out[i : i+1])
		r.eventually(func() bool { return r.counters.BytesIn.Load() == before+1 }, "octet %d is read", i)
	}
	answers(c)
	bob := r.login("bob")
	for range 200 { // and without waiting
		for _, b := range wire.AppendChat(nil, "slowly") {
			c.send([]byte{b})
		}
	}
	for range 200 {
		bob.expectChat("alice: slowly")
	}
}

// manyFramesInOneWrite: 64 KiB of frames come at once, the login first.
func manyFramesInOneWrite(l *lab) {
	r := l.open()
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
	counted(l, texts, "alice", "no", n)
	diff(l, "bob", texts, "alice", own.all())
}

// longestFrame: a frame of exactly the limit is taken.
func longestFrame(l *lab) {
	r := l.open(func(s *settings) { s.room.MaxFrame = 1000 })
	alice, bob := r.login("alice"), r.login("bob")
	text := strings.Repeat("x", 1000-2)
	alice.say("%s", text)
	alice.say("next")
	for _, c := range []*client{alice, bob} {
		c.expectChat("alice: %s", text)
		c.expectChat("alice: next")
	}
}

// flooding is how much a client sends after it has broken the protocol, and
// before it reads: more than fits on the way, so that the server has to take it
// or else reset the connection, and with it what the client is told.
const flooding = 6 << 20

// tooLong: one octet more ends the connection, and so does a frame without
// end. The others stay.
func tooLong(l *lab) {
	r := l.open(func(s *settings) { s.room.MaxFrame = 1000 })
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

// violations: whoever breaks the protocol is told what it was, sent Close, and
// the stream ends in order although the client goes on sending. What was said
// before the violation counts.
func violations(l *lab) {
	r := l.open()
	bob := r.login("bob")
	chat := wire.AppendChat(nil, "before")
	for _, v := range []struct {
		name  string
		in    []byte // logged in already, if this begins with a Chat frame
		why   core.Reason
		hears bool // "before" is heard
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
			c.enter("alice")
		}
		// What follows are empty messages, which nobody is to hear.
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
