package cluster

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"chatbench/core"
)

// A room whose NATS server goes and comes back loses nothing, and says nothing twice.
// Meanwhile its clients know, and nobody can log in.
func TestCutOff(t *testing.T) {
	w := newWorld(t, 2)
	ann, bob := w.enter(w.nodes[0], "ann"), w.enter(w.nodes[1], "bob")
	i := 0
	say := func(n int) {
		for range n {
			ann.say(fmt.Sprint(i))
			bob.say(fmt.Sprint(i))
			i++
		}
	}
	say(100)
	w.until("something is heard", func() bool { return len(bob.said()) > 0 })
	w.nats.stop()
	say(100)
	w.until("all know", func() bool { return ann.has(lostText)() && bob.has(lostText)() })
	say(100)
	if c := w.knock(w.nodes[0], "cid"); !c.has("denied " + errLost.Error())() {
		t.Errorf("cid is told %q", c.got)
	}
	if st := w.nodes[0].Stats(); !st.Lost || st.NATS != "RECONNECTING" || st.Undelivered == 0 {
		t.Errorf("stats: %+v", st)
	}
	w.nats.start()
	w.until("all is heard", func() bool { return len(ann.said()) >= 2*i && len(bob.said()) >= 2*i })
	w.until("all know", func() bool { return ann.has(backText)() && bob.has(backText)() })
	same(t, i, []string{"ann", "bob"}, ann, bob)
	w.enter(w.nodes[0], "cid")
	if ann.has("has left")() || bob.has("has left")() {
		t.Errorf("a server was taken for dead that was cut off like all: %q", ann.got)
	}
}

// The names of a server that dies are free, and the others are told who has left.
func TestDeadServer(t *testing.T) {
	w := newWorld(t, 1)
	b := w.join(core.Config{Announce: true})
	w.enter(w.nodes[0], "ann")
	bob := w.enter(b, "bob")
	a := w.nodes[0]
	a.end() // without a word
	a.work.Wait()
	a.conn.Close()
	w.nodes = w.nodes[1:]
	if c := w.knock(b, "ann"); !c.has("name is taken")() {
		t.Errorf("told %q", c.got)
	}
	w.until("ann has left", bob.has("server: ann has left\x00"))
	w.until("nothing is left of her server", func() bool {
		b.names.mu.Lock()
		defer b.names.mu.Unlock()
		_, there := b.names.view.nodes[a.Node()]
		return !there
	})
	w.enter(b, "ann")
}

// A stream that is made anew is one that nobody knows what was said in before: all have
// to log in again, and then it goes on.
func TestNewStream(t *testing.T) {
	w := newWorld(t, 2)
	ann, bob := w.enter(w.nodes[0], "ann"), w.enter(w.nodes[1], "bob")
	ann.say("0")
	w.until("it is heard", func() bool { return len(ann.said()) == 1 && len(bob.said()) == 1 })
	if err := w.nodes[0].js.DeleteStream(context.Background(), w.nodes[0].streamName()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*client{ann, bob} {
		w.until("all are ended", c.has("\x03\x00"))
		if why, closing := c.Closing(); !closing || why != core.ReasonKicked || !c.has("has missed some of what was said")() {
			t.Errorf("ended for %v, told %q", why, c.got)
		}
	}
	cid, dan := w.enter(w.nodes[0], "cid"), w.enter(w.nodes[1], "dan")
	cid.say("0")
	w.until("it is heard", func() bool { return len(cid.said()) == 1 && len(dan.said()) == 1 })
}

// A bucket that vanishes is made anew, with the names of those who are there; and nobody
// gets in under one of them.
func TestNewBucket(t *testing.T) {
	w := newWorld(t, 2)
	a, b := w.nodes[0], w.nodes[1]
	ann := w.enter(a, "ann")
	w.until("the other server has it", func() bool { return b.names.find("ann") == a.Node() })
	shown := func(n *node) *view {
		n.names.mu.Lock()
		defer n.names.mu.Unlock()
		return n.names.view
	}
	beforeA, beforeB := shown(a), shown(b)
	if err := a.js.DeleteKeyValue(context.Background(), "CHAT_test"); err != nil {
		t.Fatal(err)
	}
	w.until("both have a new one", func() bool { return shown(a) != beforeA && shown(b) != beforeB })
	w.until("the name is there again", func() bool { return b.names.find("ann") == a.Node() && !b.lost.Load() })
	if c := w.knock(b, "ann"); !c.has("name is taken")() {
		t.Errorf("told %q", c.got)
	}
	if _, closing := ann.Closing(); closing {
		t.Errorf("ann is ended: %q", ann.got)
	}
}

// Of two who have one name the one stays who came first.
func TestElder(t *testing.T) {
	w := newWorld(t, 2)
	a, b := w.nodes[0], w.nodes[1]
	ann, bob := w.enter(a, "ann"), w.enter(a, "bob")
	put := func(name string, since int64) {
		e := entry{Name: name, Node: b.Node(), Since: since}
		if _, err := a.names.kv.Put(context.Background(), nameKey(name), e.value()); err != nil {
			t.Fatal(err)
		}
	}
	b.names.mu.Lock() // so that it does not give them back at once: no client of it has them
	for _, name := range []string{"ann", "bob"} {
		b.names.own[name] = &owned{entry: entry{Name: name, Node: b.Node()}}
	}
	b.names.mu.Unlock()
	put("ann", 1)
	put("bob", time.Now().UnixNano())
	w.until("ann is ended", ann.has("\x03\x00"))
	if !ann.has(elderText)() {
		t.Errorf("ann is told %q", ann.got)
	}
	w.until("the name is bob's again", func() bool { return b.names.find("bob") == a.Node() })
	if _, closing := bob.Closing(); closing {
		t.Errorf("bob is ended: %q", bob.got)
	}
}

// Of three NATS servers the one dies that leads the stream: what is said goes on.
func TestLeaderDies(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some 10 s")
	}
	t.Parallel()
	three := startThree(t)
	w := &world{t: t, nats: three[0], replicas: 3}
	var urls []string
	for _, s := range three {
		urls = append(urls, s.ClientURL())
	}
	w.urls = strings.Join(urls, ",")
	a, b := w.join(core.Config{}), w.join(core.Config{})
	ann, bob := w.enter(a, "ann"), w.enter(b, "bob")
	i := 0
	say := func(n int) {
		for range n {
			ann.say(fmt.Sprint(i))
			bob.say(fmt.Sprint(i))
			i++
		}
	}
	say(100)
	w.until("all is heard", func() bool { return len(ann.said()) >= 2*i && len(bob.said()) >= 2*i })
	a.names.mu.Lock() // a bucket with copies refuses to purge what it does not have, too
	a.names.view.set(a.Node(), "yan", &entry{Name: "Yan", Node: a.Node(), rev: 1})
	a.names.mu.Unlock()
	w.until("it is forgotten", func() bool {
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
	w.until("all is heard", func() bool { return len(ann.said()) >= 2*i && len(bob.said()) >= 2*i })
	t.Logf("%s died, and what was said then was heard after %v", leader, time.Since(died))
	same(t, i, []string{"ann", "bob"}, ann, bob)
}
