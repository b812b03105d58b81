package backendtest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"chatbench/core"
	"chatbench/core/wire"
)

var heldScenarios = []scenario{
	{"hostile-paste-arrives-whole", pasteArrivesWhole},
	{"hostile-flood-waits", floodWaits},
	{"hostile-flood-and-fin", floodAndFin},
	{"hostile-flood-and-reset", floodAndReset},
	{"hostile-flood-without-end", floodWithoutEnd},
	{"hostile-drain-while-held", drainWhileHeld},
	{"hostile-cut-while-held", cutWhileHeld},
	{"hostile-gone-while-held", goneWhileHeld},
	{"hostile-full-queues-both-ways", fullQueuesBothWays},
	{"hostile-file-flood-at-a-slow-reader", fileFloodAtSlowReader},
}

// withFlood configures flood control.
func withFlood(rate float64, burst int) func(*settings) {
	return func(s *settings) { s.room.Flood = core.Flood{Rate: rate, Burst: burst} }
}

// numbers is n numbered messages, beginning with a number.
func numbers(from, n int) (out []byte) {
	for i := range n {
		out = wire.AppendChat(out, fmt.Sprintf("no %d", from+i))
	}
	return out
}

// pasteArrivesWhole: 200 lines at once pass flood control without waiting.
func pasteArrivesWhole(h *harness) {
	r := h.open(withFlood(20, 300))
	alice, bob := r.login("alice"), r.login("bob")
	heard := listenAll([]*client{alice, bob}, "the end")
	alice.send(append(numbers(0, 200), wire.AppendChat(nil, "the end")...))
	checkSequence(h, sameForAll(heard), "alice", "no", 200)
	if n := r.room.Snapshot().FloodWaits; n > 0 {
		r.Errorf("input waited %d times", n)
	}
}

// floodWaits: messages of a client beyond its allowance come late, but all and in order,
// and messages of others come meanwhile.
func floodWaits(h *harness) {
	const messages, rate, burst = 150, 100, 20
	r := h.open(withFlood(rate, burst))
	alice, bob := r.login("alice"), r.login("bob")
	heard := listenAll([]*client{alice, bob}, "the end")
	goOn := r.stopClock() // so that alice's messages wait until the other one has come
	began := time.Now()
	alice.send(append(numbers(0, messages), wire.AppendChat(nil, "nearly over")...))
	r.eventually(func() bool { return r.room.Snapshot().FloodWaits > 0 }, "her input waits")
	bob.say("meanwhile")
	r.eventually(func() bool { return fewestHeard(heard) > burst }, "the message of another client is heard")
	goOn()
	r.eventually(func() bool { return fewestHeard(heard) >= messages+2 }, "all is heard")
	if took := time.Since(began); took < (messages-30)*time.Second/rate {
		r.Errorf("%d messages were heard within %v", messages, took)
	}
	bob.say("the end")
	texts := sameForAll(heard)
	checkSequence(h, texts, "alice", "no", messages)
	if i := indexOf(texts, "bob: meanwhile"); i < 0 || i > burst {
		r.Errorf("the message of another client came as number %d", i)
	}
	alice.say("and again") // she is being read again
	bob.expectChat("alice: and again")
}

func indexOf(texts []string, want string) int {
	for i, text := range texts {
		if text == want {
			return i
		}
	}
	return -1
}

// floodAndFin: all messages of a client that has said too much at once and sends FIN are
// delivered, though its connection is gone by then.
func floodAndFin(h *harness) {
	const messages = 100
	r := h.open(withFlood(100, 20))
	bob := r.login("bob")
	heard := bob.listen("the end")
	alice := r.login("alice")
	alice.send(numbers(0, messages))
	alice.finish()
	r.waitEnds(core.ReasonEOF, 1)
	alice.hangUp()
	bob.say("the end")
	checkSequence(h, heard.all(), "alice", "no", messages)
	r.waitClients(1)
}

// floodAndReset: a client whose input waits does not keep its slot when its
// connection is reset, nor when it closes both directions.
func floodAndReset(h *harness) {
	r := h.open(withFlood(20, 2))
	bob := r.login("bob")
	for _, leave := range []func(*client){(*client).reset, (*client).hangUp} {
		for i := range 3 {
			alice := r.login(fmt.Sprint("alice", i))
			alice.send(numbers(0, 6))
			bob.expectChat("alice%d: no 0", i)
			leave(alice)
			for heard := false; !heard; { // alice's messages may still come
				r.waitClients(1)
				bob.say("gone")
				for {
					f, err := bob.read()
					if err != nil {
						r.Fatalf("bob: %v", err)
					}
					if heard = string(f.Body) == "bob: gone"; heard {
						break
					}
				}
			}
			time.Sleep(150 * time.Millisecond) // bob has an allowance too
		}
	}
}

// floodWithoutEnd: a client that sends without end is delivered at its rate, and does not
// disturb others. If the transport cannot stop reading, the client is ended for flood.
func floodWithoutEnd(h *harness) {
	r := h.open(withFlood(50, 10), func(s *settings) { s.net.Linger = 300 * time.Millisecond })
	talkers := r.logins("t", 2)
	flooder := r.login("flooder")
	began := time.Now()
	stop := flooder.floodWith(bytes.Repeat(wire.AppendChat(nil, "yes"), 1000))
	go flooder.drainAll()
	longest := make([]time.Duration, len(talkers))
	talkAll(r, talkers, func(c *client) (err error) {
		longest[c.name[1]-'0'], err = c.echoes(30)
		return err
	})
	st := r.room.Snapshot()
	took := time.Since(began)
	stop()
	r.Logf("a client waited %v at worst for its own message", slices.Max(longest))
	for i, d := range longest {
		if d > worstEcho {
			r.Errorf("%s waited %v for its own message", talkers[i].name, d)
		}
	}
	if most := 60 + 10 + uint64(60*(took.Seconds()+1)); st.Messages > most {
		r.Errorf("%d messages were said in %v, %d at most were allowed", st.Messages, took, most)
	}
	if st.FloodWaits == 0 {
		r.Errorf("no wait was counted")
	}
	if r.room.Snapshot().Granted != 3 {
		r.waitEnds(core.ReasonFlood, 1)
	}
}

// floodWith sends a batch of frames again and again, even if only a part of it can be
// written, until stop is called.
func (c *client) floodWith(batch []byte) (stop func()) {
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-quit:
				return
			default:
				_, _ = c.conn.writeWithin(50*time.Millisecond, batch) // most of them do not fit
			}
		}
	}()
	return func() {
		close(quit)
		<-ended
	}
}

// drainAll reads and discards everything, to the end of the connection.
func (c *client) drainAll() {
	buf := make([]byte, 32<<10)
	for {
		if _, err := c.conn.Read(buf); err != nil {
			return
		}
	}
}

// allHeld starts a server with clients whose input waits longer than the case lasts.
func (h *harness) allHeld() (*rig, []*client) {
	r := h.open(withFlood(0.01, 1))
	clients := r.logins("c", 4)
	for _, c := range clients {
		c.send(numbers(0, 50))
	}
	r.eventually(func() bool { return r.room.Snapshot().FloodWaits >= 4 }, "the input of all waits")
	return r, clients
}

// drainWhileHeld: when the server stops, clients whose input waits are sent Close like
// all others, and nothing is left behind.
func drainWhileHeld(h *harness) {
	r, clients := h.allHeld()
	r.room.Drain()
	done := make(chan error, 1)
	go func() { done <- r.shutdown(r.timeout) }()
	for _, c := range clients {
		c.untilEOF()
		c.hangUp()
	}
	if err := <-done; err != nil {
		r.Errorf("Shutdown: %v", err)
	}
}

// cutWhileHeld: clients whose input waits are cut when Shutdown's context ends.
func cutWhileHeld(h *harness) {
	r, clients := h.allHeld()
	if err := r.shutdown(50 * time.Millisecond); err == nil {
		r.Errorf("Shutdown returned no error, though nobody had left")
	}
	for _, c := range clients {
		c.hangUp()
	}
}

// fullQueuesBothWays: two clients send each other more file frames than their queues
// hold, and read none at first. Both have to wait; when they read, all frames come in
// order.
func fullQueuesBothWays(h *harness) {
	const frames = 100 // of 1,000 octets: fewer than may wait anywhere
	r := h.open(narrow, func(s *settings) { s.room.LagTime = time.Minute })
	pair := []*client{r.dialNarrow(), r.dialNarrow()}
	names := []string{"alice", "bob"}
	for i, c := range pair {
		c.logIn(names[i])
	}
	body := func(i int) string { return fmt.Sprintf("%d %s", i, strings.Repeat("x", 1000)) }
	sent := make(chan error, 2)
	for i, c := range pair {
		go func() {
			var out []byte
			for n := range frames {
				out = wire.AppendFile(out, wire.LsBody, names[1-i], []byte(" "+body(n)))
			}
			sent <- c.trySend(out)
		}()
	}
	r.eventually(func() bool { return r.room.Snapshot().QueueWaits >= 2 }, "both wait")
	talkAll(r, pair, func(c *client) error {
		from := names[0]
		if c.name == from {
			from = names[1]
		}
		for n := range frames {
			f, err := c.read()
			if err != nil {
				return err
			}
			if string(f.Body) != from+" "+body(n) {
				return fmt.Errorf("was sent %.60s, want frame %d", show(f), n)
			}
		}
		return nil
	})
	for range pair {
		if err := <-sent; err != nil {
			r.Errorf("send: %v", err)
		}
	}
}

// fileFloodAtSlowReader: a client that reads 2 MB a second is sent file frames without
// end. It stays, and receives all messages of the room. The room's time goes on only
// after the client has read some more, so that a busy machine does not make it slow.
func fileFloodAtSlowReader(h *harness) {
	const messages, lagTime, step = 60, 2 * time.Second, 50 * time.Millisecond // so it lasts longer than lagTime
	const each = 32                                                            // file frames in a step: more than may wait
	r := h.open(narrow, func(s *settings) { s.room.LagTime = lagTime })
	talker := r.login("talker")
	flooder := r.login("flooder")
	victim := r.dialNarrow()
	victim.logIn("victim")
	victim.buf, victim.pace = make([]byte, 4<<10), 2*time.Millisecond
	go flooder.drainAll()
	defer r.stopClock()()
	now := time.Now()
	stop := flooder.floodWith(bytes.Repeat(wire.AppendFile(nil, wire.DnNack, "victim", []byte(" "+strings.Repeat("f", 500))), 20))
	heard := talker.listen("the end")
	var files atomic.Int64
	failed := make(chan error, 1)
	var texts []string // after failed
	go func() { failed <- victim.hearFrom("talker: ", messages+1, &texts, &files) }()
	for i := range messages {
		talker.say("no %d", i)
		r.eventually(func() bool { return heard.heard.Load() > int64(i) }, "message %d is heard", i)
		r.eventually(func() bool { // or the flooder was ended, by a transport that cannot stop reading
			return files.Load() >= int64((i+1)*each) || r.room.Snapshot().Granted < 3
		}, "the victim reads on")
		now = now.Add(step)
		r.room.Tick(now)
	}
	talker.say("the end")
	heard.all()
	if err := <-failed; err != nil {
		r.Fatalf("the victim: %v; %s", err, endCounts(r.room.Snapshot()))
	}
	stop()
	checkSequence(h, texts, "talker", "no", messages)
}

// hearFrom collects n messages that begin with a prefix, and counts file frames.
func (c *client) hearFrom(prefix string, n int, texts *[]string, files *atomic.Int64) error {
	for len(*texts) < n {
		f, err := c.read()
		if err != nil {
			return err
		}
		switch text := string(f.Body); {
		case f.Type == wire.File:
			files.Add(1)
		case strings.HasPrefix(text, prefix):
			*texts = append(*texts, text)
		}
	}
	return nil
}
