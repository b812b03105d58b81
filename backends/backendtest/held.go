package backendtest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
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

// withFlood sets flood control.
func withFlood(rate float64, burst int) func(*settings) {
	return func(s *settings) { s.room.Flood = core.Flood{Rate: rate, Burst: burst} }
}

// numbers is so many messages, from one number on.
func numbers(from, n int) (out []byte) {
	for i := range n {
		out = wire.AppendChat(out, fmt.Sprintf("no %d", from+i))
	}
	return out
}

// pasteArrivesWhole: 200 lines at once pass flood control without a wait.
func pasteArrivesWhole(l *lab) {
	r := l.open(withFlood(20, 300))
	alice, bob := r.login("alice"), r.login("bob")
	heard := listenAll([]*client{alice, bob}, "the end")
	alice.send(append(numbers(0, 200), wire.AppendChat(nil, "the end")...))
	counted(l, sameForAll(heard), "alice", "no", 200)
	if n := r.room.Snapshot().FloodWaits; n > 0 {
		r.Errorf("input waited %d times", n)
	}
}

// floodWaits: over its allowance a client is heard late and whole, in order,
// and others are heard meanwhile.
func floodWaits(l *lab) {
	const messages, rate = 150, 100
	r := l.open(withFlood(rate, 20))
	alice, bob := r.login("alice"), r.login("bob")
	heard := listenAll([]*client{alice, bob}, "the end")
	began := time.Now()
	alice.send(append(numbers(0, messages), wire.AppendChat(nil, "nearly over")...))
	bob.say("meanwhile")
	r.eventually(func() bool { return lowest(heard) >= messages+2 }, "all is heard")
	if took := time.Since(began); took < (messages-30)*time.Second/rate {
		r.Errorf("%d messages were heard within %v", messages, took)
	}
	bob.say("the end")
	texts := sameForAll(heard)
	counted(l, texts, "alice", "no", messages)
	if i := indexOf(texts, "bob: meanwhile"); i < 0 || i > messages*2/3 {
		r.Errorf("another's message came as number %d", i)
	}
	if r.room.Snapshot().FloodWaits == 0 {
		r.Errorf("no wait was counted")
	}
	alice.say("and again") // she is read again
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

// floodAndFin: a client that has said too much at once and sends FIN is heard to
// the end, while its connection is gone.
func floodAndFin(l *lab) {
	const messages = 100
	r := l.open(withFlood(100, 20))
	bob := r.login("bob")
	heard := bob.listen("the end")
	alice := r.login("alice")
	alice.send(numbers(0, messages))
	alice.finish()
	r.waitEnds(core.ReasonEOF, 1)
	alice.hangUp()
	bob.say("the end")
	counted(l, heard.all(), "alice", "no", messages)
	r.waitClients(1)
}

// floodAndReset: a client whose input waits does not keep its slot when its
// connection is reset, nor when it closes both directions.
func floodAndReset(l *lab) {
	r := l.open(withFlood(20, 2))
	bob := r.login("bob")
	for _, leave := range []func(*client){(*client).reset, (*client).hangUp} {
		for i := range 3 {
			alice := r.login(fmt.Sprint("alice", i))
			alice.send(numbers(0, 6))
			bob.expectChat("alice%d: no 0", i)
			leave(alice)
			for heard := false; !heard; { // what is still said of it
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

// floodWithoutEnd: a client that sends without end is not heard above its rate, and
// disturbs nobody. Where reading cannot be stopped it is ended for flood.
func floodWithoutEnd(l *lab) {
	r := l.open(withFlood(50, 10), func(s *settings) { s.net.Linger = 300 * time.Millisecond })
	talkers := r.logins("t", 2)
	flooder := r.login("flooder")
	stop := flooder.floodWith(bytes.Repeat(wire.AppendChat(nil, "yes"), 1000))
	go flooder.drainAll()
	began := time.Now()
	longest := make([]time.Duration, len(talkers))
	talkAll(r, talkers, func(c *client) (err error) {
		longest[c.name[1]-'0'], err = c.echoes(30)
		return err
	})
	took := time.Since(began)
	stop()
	r.Logf("a message of one's own took %v at worst", slices.Max(longest))
	for i, d := range longest {
		if d > worstEcho {
			r.Errorf("%s waited %v for a message of its own", talkers[i].name, d)
		}
	}
	st := r.room.Snapshot()
	if most := 60 + 10 + uint64(60*(took.Seconds()+1)); st.Messages > most {
		r.Errorf("%d messages were said in %v, %d at most were allowed", st.Messages, took, most)
	}
	if st.FloodWaits == 0 {
		r.Errorf("no wait was counted")
	}
	if st.Granted != 3 {
		r.waitEnds(core.ReasonFlood, 1)
	}
}

// floodWith sends a batch of frames again and again, whether or not all of it is
// taken, until stop is called.
func (c *client) floodWith(batch []byte) (stop func()) {
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-quit:
				return
			default:
				c.conn.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
				_ = c.trySend(batch) // most of them do not fit
			}
		}
	}()
	return func() {
		close(quit)
		<-ended
	}
}

// drainAll reads and throws away, to the end.
func (c *client) drainAll() {
	buf := make([]byte, 32<<10)
	for {
		if _, err := c.conn.Read(buf); err != nil {
			return
		}
	}
}

// allHeld is a server with clients of which the input waits, for longer than a case
// lasts.
func (l *lab) allHeld() (*rig, []*client) {
	r := l.open(withFlood(0.01, 1))
	clients := r.logins("c", 4)
	for _, c := range clients {
		c.send(numbers(0, 50))
	}
	r.eventually(func() bool { return r.room.Snapshot().FloodWaits >= 4 }, "the input of all waits")
	return r, clients
}

// drainWhileHeld: clients whose input waits are sent Close like all others when
// the server stops, and nothing is left behind.
func drainWhileHeld(l *lab) {
	r, clients := l.allHeld()
	r.room.Drain()
	done := make(chan error, 1)
	go func() { done <- r.shutdown(r.patience) }()
	for _, c := range clients {
		c.untilEOF()
		c.hangUp()
	}
	if err := <-done; err != nil {
		r.Errorf("Shutdown: %v", err)
	}
}

// cutWhileHeld: clients whose input waits are cut when the time to stop is over.
func cutWhileHeld(l *lab) {
	r, clients := l.allHeld()
	if err := r.shutdown(50 * time.Millisecond); err == nil {
		r.Errorf("Shutdown cut nobody, and nobody has left")
	}
	for _, c := range clients {
		c.hangUp()
	}
}

// fullQueuesBothWays: two clients send each other more file frames than may wait
// for them, and read none at first. Both wait; when they read all comes, in order.
func fullQueuesBothWays(l *lab) {
	const frames = 100 // of 1,000 octets: less than may wait anywhere
	r := l.open(narrow, func(s *settings) { s.room.LagTime = time.Minute })
	pair := []*client{r.dialNarrow(), r.dialNarrow()}
	names := []string{"alice", "bob"}
	for i, c := range pair {
		c.enter(names[i])
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
				return fmt.Errorf("was sent %.60s in place of frame %d", show(f), n)
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

// fileFloodAtSlowReader: a client that takes 2 MB a second is sent file frames
// without end. It stays, and hears all of the room.
func fileFloodAtSlowReader(l *lab) {
	const messages, lagTime, pause = 60, 2 * time.Second, 50 * time.Millisecond // so it lasts longer than lagTime
	r := l.open(narrow, func(s *settings) { s.room.LagTime = lagTime })
	talker := r.login("talker")
	flooder := r.login("flooder")
	victim := r.dialNarrow()
	victim.enter("victim")
	victim.buf, victim.pace = make([]byte, 4<<10), 2*time.Millisecond
	go flooder.drainAll()
	stop := flooder.floodWith(bytes.Repeat(wire.AppendFile(nil, wire.DnNack, "victim", []byte(" "+strings.Repeat("f", 500))), 20))
	heard := talker.listen("the end")
	texts, files := make(chan []string, 1), 0
	failed := make(chan error, 1)
	go func() {
		var got []string
		for {
			f, err := victim.read()
			if err != nil {
				failed <- err
				return
			}
			switch text := string(f.Body); {
			case f.Type == wire.File:
				files++
			case strings.HasPrefix(text, "talker: "):
				got = append(got, text)
			}
			if len(got) == messages+1 {
				failed <- nil
				texts <- got
				return
			}
		}
	}()
	for i := range messages {
		talker.say("no %d", i)
		r.eventually(func() bool { return heard.heard.Load() > int64(i) }, "message %d is heard", i)
		time.Sleep(pause)
	}
	talker.say("the end")
	heard.all()
	if err := <-failed; err != nil {
		r.Fatalf("the victim: %v; %s", err, endings(r.room.Snapshot()))
	}
	stop()
	counted(l, <-texts, "talker", "no", messages)
	if files < 10 {
		r.Errorf("%d file frames came", files)
	}
}
