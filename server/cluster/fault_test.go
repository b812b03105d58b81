package cluster

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"chatbench/core"
)

// If the NATS server of a room stops and starts again, no line is lost or delivered twice.
// Meanwhile the clients are told, and nobody can log in.
func TestCutOff(t *testing.T) {
	tc := newTestCluster(t, 2)
	ann, bob := tc.login(tc.nodes[0], "ann"), tc.login(tc.nodes[1], "bob")
	i := 0
	say := func(n int) {
		for range n {
			ann.say(fmt.Sprint(i))
			bob.say(fmt.Sprint(i))
			i++
		}
	}
	say(100)
	tc.waitUntil("a line is received", func() bool { return len(bob.lines()) > 0 })
	tc.nats.stop()
	say(100)
	a, b := tc.nodes[0], tc.nodes[1]
	tc.waitUntil("both are told", func() bool {
		return a.cutOff.Load() && b.cutOff.Load() && ann.received(cutOffText)() && bob.received(cutOffText)()
	})
	say(100)
	if c := tc.tryLoginOnce(tc.nodes[0], "cid"); !c.received("denied " + errCutOff.Error())() {
		t.Errorf("cid is told %q", c.got)
	}
	if st := tc.nodes[0].Stats(); !st.CutOff || st.NATS != "RECONNECTING" || st.Undelivered == 0 {
		t.Errorf("stats: %+v", st)
	}
	tc.nats.start()
	tc.waitUntil("all lines are received", func() bool { return len(ann.lines()) >= 2*i && len(bob.lines()) >= 2*i })
	tc.waitUntil("both are told", func() bool {
		return !a.cutOff.Load() && !b.cutOff.Load() && ann.received(reconnectedText)() && bob.received(reconnectedText)()
	})
	checkLines(t, i, []string{"ann", "bob"}, ann, bob)
	tc.login(tc.nodes[0], "cid")
	if ann.received("has left")() || bob.received("has left")() {
		t.Errorf("a server was taken for dead while all servers were cut off: %q", ann.got)
	}
}

// The names of a server that dies become free, and clients of the others are told who has left.
func TestDeadServer(t *testing.T) {
	tc := newTestCluster(t, 1)
	b := tc.addServer(core.Config{Announce: true})
	tc.login(tc.nodes[0], "ann")
	bob := tc.login(b, "bob")
	a := tc.nodes[0]
	a.end() // without Close: it releases no names
	a.work.Wait()
	a.conn.Close()
	tc.nodes = tc.nodes[1:]
	if c := tc.tryLogin(b, "ann"); !c.received("name is taken")() {
		t.Errorf("told %q", c.got)
	}
	tc.waitUntil("ann has left", bob.received("server: ann has left\x00"))
	tc.waitUntil("nothing is left of her server", func() bool {
		b.names.mu.Lock()
		defer b.names.mu.Unlock()
		_, there := b.names.view.nodes[a.Node()]
		return !there
	})
	tc.login(b, "ann")
}

// If the stream is made again, nobody knows what the old one had at its end: all clients have to
// log in again, and then the room goes on.
func TestNewStream(t *testing.T) {
	tc := newTestCluster(t, 2)
	ann, bob := tc.login(tc.nodes[0], "ann"), tc.login(tc.nodes[1], "bob")
	ann.say("0")
	tc.waitUntil("the line is received", func() bool { return len(ann.lines()) == 1 && len(bob.lines()) == 1 })
	if err := tc.nodes[0].js.DeleteStream(context.Background(), tc.nodes[0].streamName()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*client{ann, bob} {
		tc.waitUntil("both sessions end", c.received("\x03\x00"))
		if why, closing := c.Closing(); !closing || why != core.ReasonKicked || !c.received("has missed some of what was said")() {
			t.Errorf("ended for %v, told %q", why, c.got)
		}
	}
	cid, dan := tc.login(tc.nodes[0], "cid"), tc.login(tc.nodes[1], "dan")
	cid.say("0")
	tc.waitUntil("the line is received", func() bool { return len(cid.lines()) == 1 && len(dan.lines()) == 1 })
}

// A bucket that was deleted is made again, with the names of the clients in the room; nobody else
// can log in under one of them.
func TestNewBucket(t *testing.T) {
	tc := newTestCluster(t, 2)
	a, b := tc.nodes[0], tc.nodes[1]
	ann := tc.login(a, "ann")
	tc.waitUntil("the other server has it", func() bool { return b.names.serverOf("ann") == a.Node() })
	shown := func(n *node) *view {
		n.names.mu.Lock()
		defer n.names.mu.Unlock()
		return n.names.view
	}
	beforeA, beforeB := shown(a), shown(b)
	if err := a.js.DeleteKeyValue(context.Background(), "CHAT_test"); err != nil {
		t.Fatal(err)
	}
	tc.waitUntil("both have a new one", func() bool { return shown(a) != beforeA && shown(b) != beforeB })
	tc.waitUntil("the name is there again", func() bool { return b.names.serverOf("ann") == a.Node() && !b.cutOff.Load() })
	if c := tc.tryLogin(b, "ann"); !c.received("name is taken")() {
		t.Errorf("told %q", c.got)
	}
	if _, closing := ann.Closing(); closing {
		t.Errorf("the session of ann has ended: %q", ann.got)
	}
}

// If two clients have the same name, the one that claimed it first stays.
func TestOlderNameStays(t *testing.T) {
	tc := newTestCluster(t, 2)
	a, b := tc.nodes[0], tc.nodes[1]
	ann, bob := tc.login(a, "ann"), tc.login(a, "bob")
	put := func(name string, since int64) {
		e := entry{Name: name, Node: b.Node(), Since: since}
		if _, err := a.names.kv.Put(context.Background(), nameKey(name), e.value()); err != nil {
			t.Fatal(err)
		}
	}
	b.names.mu.Lock() // none of its clients has these names: without this it would release them at once
	for _, name := range []string{"ann", "bob"} {
		b.names.own[name] = &owned{entry: entry{Name: name, Node: b.Node()}}
	}
	b.names.mu.Unlock()
	put("ann", 1)
	put("bob", time.Now().UnixNano())
	tc.waitUntil("the session of ann ends", ann.received("\x03\x00"))
	if !ann.received(nameLostText)() {
		t.Errorf("ann is told %q", ann.got)
	}
	tc.waitUntil("the name is bob's again", func() bool { return b.names.serverOf("bob") == a.Node() })
	if _, closing := bob.Closing(); closing {
		t.Errorf("the session of bob has ended: %q", bob.got)
	}
}

// The room goes on when the NATS server that leads the stream dies, of three.
func TestLeaderDies(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some 10 s")
	}
	t.Parallel()
	three := startNATSCluster(t)
	tc := &testCluster{t: t, nats: three[0], replicas: 3}
	var urls []string
	for _, s := range three {
		urls = append(urls, s.ClientURL())
	}
	tc.urls = strings.Join(urls, ",")
	a, b := tc.addServer(core.Config{}), tc.addServer(core.Config{})
	ann, bob := tc.login(a, "ann"), tc.login(b, "bob")
	i := 0
	say := func(n int) {
		for range n {
			ann.say(fmt.Sprint(i))
			bob.say(fmt.Sprint(i))
			i++
		}
	}
	say(100)
	tc.waitUntil("all lines are received", func() bool { return len(ann.lines()) >= 2*i && len(bob.lines()) >= 2*i })
	a.names.mu.Lock() // a replicated bucket also refuses to purge a key that it does not have
	a.names.view.set(a.Node(), "yan", &entry{Name: "Yan", Node: a.Node(), rev: 1})
	a.names.mu.Unlock()
	tc.waitUntil("it is dropped", func() bool {
		a.names.mu.Lock()
		defer a.names.mu.Unlock()
		_, there := a.names.view.names["yan"]
		return !there
	})
	s, err := a.js.Stream(t.Context(), a.streamName())
	if err != nil {
		t.Fatal(err)
	}
	leader := s.CachedInfo().Cluster.Leader
	for _, s := range three {
		if s.Name() == leader {
			s.stop()
		}
	}
	died := time.Now()
	say(100)
	tc.waitUntil("all lines are received", func() bool { return len(ann.lines()) >= 2*i && len(bob.lines()) >= 2*i })
	t.Logf("%s died; the lines said after that were delivered after %v", leader, time.Since(died))
	checkLines(t, i, []string{"ann", "bob"}, ann, bob)
}
