package backendtest

import (
	"fmt"
	"io"
	"sync"

	"chatbench/core"
	"chatbench/core/wire"
)

var endingScenarios = []scenario{
	{"half-close", halfClose},
	{"close-while-others-talk", closeWhileOthersTalk},
	{"last-words", lastWords},
	{"client-says-close", clientSaysClose},
	{"reset-within-a-frame", resetWithinAFrame},
	{"reset-behind-input", resetBehindInput},
	{"gone-during-output", goneDuringOutput},
	{"name-is-free-again", nameIsFreeAgain},
}

// halfClose: what a client sent before its FIN reaches the others, and the server closes
// its side in order.
func halfClose(h *harness) {
	const messages = 1000
	r := h.open()
	bob := r.login("bob")
	heard := bob.listen("the end")
	alice := r.login("alice")
	var out []byte
	for i := range messages {
		out = wire.AppendChat(out, fmt.Sprintf("no %d", i))
	}
	alice.send(wire.AppendChat(out, "the end"))
	alice.finish()
	checkSequence(h, heard.all(), "alice", "no", messages)
	alice.untilEOF()
	r.waitEnds(core.ReasonEOF, 1)
	r.waitClients(1)
}

// untilEOF reads and discards everything up to the server's FIN.
func (c *client) untilEOF() {
	c.rig.Helper()
	for {
		if _, err := c.read(); err == io.EOF {
			return
		} else if err != nil {
			c.rig.Fatalf("%s: %v, want the end of the stream", c.name, err)
		}
	}
}

// closeWhileOthersTalk: a client talks and closes at once, without reading what it is
// sent. The server's next write fails, but it still has to read what the client sent
// before. That is less than the kernel takes at once, and more than some transports
// read at once.
func closeWhileOthersTalk(h *harness) {
	const leavers, messages = 10, 1000
	r := h.open()
	bob := r.login("bob")
	heard := bob.listen("the end")
	for n := range leavers {
		c := r.login(fmt.Sprint("leaver", n))
		var out []byte
		for i := range messages {
			out = wire.AppendChat(out, fmt.Sprintf("no %d %040d", i, 0))
		}
		c.send(out)
		c.hangUp()
	}
	r.waitClients(1)
	bob.say("the end")
	texts := heard.all()
	for n := range leavers {
		checkSequence(h, texts, fmt.Sprint("leaver", n), "no", messages)
	}
}

// lastWords: a client that violates the protocol and sends FIN at once is still told
// what was wrong.
func lastWords(h *harness) {
	const times = 30
	r := h.open()
	bob := r.login("bob")
	for range times {
		c := r.dial()
		c.send(wire.AppendChat(nil, "without a login"))
		c.finish()
		c.expectNotice()
		c.expectClosed()
		c.hangUp()
	}
	r.waitEnds(core.ReasonNotLoggedIn, times)
	bob.say("alone")
	bob.expectChat("bob: alone")
}

// clientSaysClose: a client that sends Close leaves at once. What it said before reaches
// the others, and what it sends afterwards does not.
func clientSaysClose(h *harness) {
	r := h.open()
	bob := r.login("bob")
	alice := r.login("alice")
	out := wire.AppendClose(wire.AppendChat(nil, "so long"))
	alice.send(wire.AppendChat(out, "too late"))
	bob.expectChat("alice: so long")
	alice.untilEOF()
	alice.hangUp()
	r.waitEnds(core.ReasonBye, 1)
	r.waitClients(1)
	bob.say("alone")
	bob.expectChat("bob: alone")
}

// resetWithinAFrame: a connection is reset in the middle of a frame. The others are not
// affected, and do not get the incomplete frame.
func resetWithinAFrame(h *harness) {
	r := h.open()
	bob := r.login("bob")
	for i := range 20 {
		alice := r.login("alice")
		alice.say("whole %d", i)
		bob.expectChat("alice: whole %d", i)
		alice.expectChat("alice: whole %d", i)
		before := r.counters.BytesIn.Load()
		alice.send([]byte("\x00half a"))
		r.eventually(func() bool { return r.counters.BytesIn.Load() == before+7 }, "the half frame is read")
		alice.reset()
		r.waitEnds(core.ReasonReset, uint64(i+1))
		bob.say("and %d", i)
		bob.expectChat("bob: and %d", i)
	}
}

// resetBehindInput: clients connect, send a part of a frame and reset, all while the transport is held up in
// a login, so that it finds their input and the reset at once. It is to end them all, though nothing is
// written to any of them.
func resetBehindInput(h *harness) {
	const leavers = 40
	entered, goOn := make(chan struct{}), make(chan struct{})
	r := h.open(func(s *settings) {
		s.room.Authenticator = authFunc(func(l *core.Login) {
			close(entered)
			<-goOn // as no Authenticator should
			l.Answer(nil)
		})
	})
	bob := r.dial()
	bob.send(wire.AppendCred(nil, "bob", "x"))
	<-entered
	resume := sync.OnceFunc(func() { close(goOn) })
	defer resume()
	for range leavers {
		c, err := r.tryDial(nil)
		if err != nil {
			r.Fatalf("dial: %v", err)
		}
		_ = c.trySend([]byte("\x00half a"))
		c.reset()
	}
	resume()
	bob.expect(wire.Cred, 0, wire.Granted)
	r.eventually(func() bool { return r.counters.Accepts.Load() == leavers+1 }, "all connections are accepted")
	r.waitClients(1)
	r.waitEnds(core.ReasonReset, leavers)
}

// goneDuringOutput: clients disconnect while much is being written to them.
func goneDuringOutput(h *harness) {
	const messages = 2000
	r := h.open(func(s *settings) { s.net.SendBuffer = 8 << 10 })
	bob, carol := r.login("bob"), r.login("carol")
	heard := listenAll([]*client{bob, carol}, "the end")
	var leavers []*client
	for i := range 10 {
		c := r.dialNarrow()
		c.logIn(fmt.Sprint("goner", i))
		leavers = append(leavers, c)
	}
	for i := range messages {
		bob.say("no %d", i)
		if i%64 == 63 {
			r.eventually(func() bool { return fewestHeard(heard) == int64(i+1) }, "message %d is heard", i)
		}
		if i%200 == 100 {
			c := leavers[i/200]
			if i%400 == 100 {
				c.reset()
			} else {
				c.hangUp() // with unread input: a reset from the kernel
			}
		}
	}
	r.waitClients(2)
	bob.say("the end")
	checkSequence(h, sameForAll(heard), "bob", "no", messages)
}

// nameIsFreeAgain: a client that has left, in whichever way, can log in again.
func nameIsFreeAgain(h *harness) {
	r := h.open()
	for i, leave := range []func(*client){
		(*client).hangUp,
		(*client).reset,
		func(c *client) { c.finish(); c.untilEOF() },
		func(c *client) { c.send(wire.AppendClose(nil)); c.untilEOF() },
		func(c *client) { c.send([]byte{9}); c.untilEOF() },
	} {
		c := r.login("alice")
		c.say("here %d", i)
		c.expectChat("alice: here %d", i)
		leave(c)
		r.eventually(func() bool { return r.room.Snapshot().Granted == 0 }, "alice is gone (way %d)", i)
		c.hangUp()
		r.waitClients(0)
	}
}
