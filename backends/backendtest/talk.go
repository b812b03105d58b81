package backendtest

import (
	"fmt"
	"strings"
	"sync"

	"chatbench/core/wire"
)

var talkScenarios = []scenario{
	{"hello", hello},
	{"empty-chat", emptyChat},
	{"one-order-for-all", oneOrderForAll},
	{"fan-out", fanOut},
	{"burst", burst},
	{"big-messages", bigMessages},
	{"counters", countersAreRight},
}

// hello: a client logs in and receives its own message; another joins and both receive
// its message.
func hello(h *harness) {
	r := h.open()
	alice := r.login("alice")
	alice.say("anybody here?")
	alice.expectChat("alice: anybody here?")
	bob := r.login("bob")
	bob.say("I am, 안녕하세요")
	for _, c := range []*client{alice, bob} {
		c.expectChat("bob: I am, 안녕하세요")
	}
	if st := r.room.Snapshot(); st.Clients != 2 || st.Messages != 2 {
		r.Errorf("the room counts %d clients and %d messages", st.Clients, st.Messages)
	}
}

// emptyChat: an empty message is delivered.
func emptyChat(h *harness) {
	r := h.open()
	alice, bob := r.login("alice"), r.login("bob")
	alice.send([]byte{0, 0, 0, 0})
	alice.say("after")
	for _, c := range []*client{alice, bob} {
		c.expectChat("alice: ")
		c.expectChat("alice: ")
		c.expectChat("alice: after")
	}
}

// oneOrderForAll: several clients talk at once. All receive the messages in the same
// order, in which those of each talker are in order.
func oneOrderForAll(h *harness) {
	const each = 400
	r := h.open()
	clients := r.logins("c", 8)
	heard := listenAll(clients, "the end")
	talkAll(r, clients[:5], func(c *client) error {
		for i := range each {
			if err := c.trySend(wire.AppendChat(nil, fmt.Sprintf("no %d", i))); err != nil {
				return err
			}
		}
		return nil
	})
	r.eventually(func() bool { return fewestHeard(heard) == 5*each }, "all is heard by all")
	clients[0].say("the end")
	texts := sameForAll(heard)
	for _, c := range clients[:5] {
		checkSequence(h, texts, c.name, "no", each)
	}
}

// talkAll has clients talk at once, and waits for them.
func talkAll(r *rig, clients []*client, talk func(*client) error) {
	r.Helper()
	failed := make([]error, len(clients))
	var group sync.WaitGroup
	for i, c := range clients {
		group.Go(func() { failed[i] = talk(c) })
	}
	group.Wait()
	for i, err := range failed {
		if err != nil {
			r.Fatalf("%s: send: %v", clients[i].name, err)
		}
	}
}

// fanOut: each message reaches many clients.
func fanOut(h *harness) {
	const messages = 200
	r := h.open()
	clients := r.logins("c", 60)
	heard := listenAll(clients, "the end")
	for i := range messages {
		clients[i%3].say("no %d", i)
		if i%50 == 49 { // so that one speaker's message is after another's
			r.eventually(func() bool { return heard[0].heard.Load() == int64(i+1) }, "message %d is heard", i)
		}
	}
	clients[0].say("the end")
	if texts := sameForAll(heard); len(texts) != messages+1 {
		r.Fatalf("%d messages were heard of %d", len(texts), messages+1)
	}
}

// burst: one client sends 100,000 frames as fast as the server reads them. No listener
// may be ended as slow, since all read. So a transport must not read on without writing
// in between.
func burst(h *harness) {
	const frames = 100_000
	r := h.open()
	clients := r.logins("c", 4)
	heard := listenAll(clients, "the end")
	talker := clients[0]
	var batch []byte
	for i := range frames {
		batch = wire.AppendChat(batch, fmt.Sprintf("no %d", i))
		if len(batch) > 64<<10 || i == frames-1 {
			talker.send(batch)
			batch = batch[:0]
		}
	}
	talker.say("the end")
	checkSequence(h, sameForAll(heard), talker.name, "no", frames)
}

// bigMessages: frames of the largest size arrive unchanged. Writes end within them, and
// they cross chunks of the log.
func bigMessages(h *harness) {
	const messages = 300
	r := h.open(func(s *settings) { s.net.SendBuffer = 16 << 10 })
	clients := r.logins("c", 3)
	heard := listenAll(clients, "the end")
	for i := range messages {
		text := strings.Repeat(string(rune('a'+i%26)), wire.MaxFrame-2)
		clients[0].say("%s", text)
		r.eventually(func() bool { return fewestHeard(heard) > int64(i-16) }, "message %d is heard by all", i-16)
	}
	clients[0].say("the end")
	texts := sameForAll(heard)
	if len(texts) != messages+1 {
		r.Fatalf("%d messages were heard of %d", len(texts), messages+1)
	}
	for i, text := range texts[:messages] {
		if want := "c0: " + strings.Repeat(string(rune('a'+i%26)), wire.MaxFrame-2); text != want {
			r.Fatalf("message %d was altered: %.60q…", i, text)
		}
	}
}

// fewestHeard is how many messages the listener with the fewest has received.
func fewestHeard(heard []*listener) int64 {
	least := heard[0].heard.Load()
	for _, l := range heard[1:] {
		least = min(least, l.heard.Load())
	}
	return least
}

// countersAreRight: the transport counts every octet that its clients send and receive.
func countersAreRight(h *harness) {
	r := h.open()
	clients := r.logins("c", 5)
	for i := range 100 {
		clients[i%5].say("no %d", i)
		for _, c := range clients {
			c.expectChat("c%d: no %d", i%5, i)
		}
	}
	for _, c := range clients {
		c.send(wire.AppendClose(nil))
		c.expectEOF()
		c.hangUp()
	}
	r.close()
	var sent, got int64
	for _, c := range clients {
		sent, got = sent+c.sent, got+c.got
	}
	n := r.counters
	if r.through != nil {
		sent += int64(len(clients)) * r.through.Ahead
	}
	for _, check := range []struct {
		name      string
		have, min int64
		max       int64
	}{
		{"accepts", n.Accepts.Load(), 5, 5},
		{"accept errors", n.AcceptErrors.Load(), 0, 0},
		{"turned away", n.NoDescriptors.Load(), 0, 0},
		{"octets in", n.BytesIn.Load(), sent, sent},
		{"octets out", n.BytesOut.Load(), got, got},
		{"reads", n.Reads.Load(), 1, sent},
		{"writes", n.Writes.Load(), 500, 505}, // each was waited for, so none carried two
		{"stalls", n.Stalls.Load(), 0, 0},
	} {
		if check.have < check.min || check.have > check.max {
			r.Errorf("%s: %d counted, want %d to %d", check.name, check.have, check.min, check.max)
		}
	}
}
