package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"chatbench/core"
)

// A NATS server that was killed may have lost that a name was given back, and give it again
// as that of a server that is long dead. It is forgotten, and nobody is told that somebody
// has left.
func TestNameThatWasGivenBack(t *testing.T) {
	w := newWorld(t, 1)
	a := w.nodes[0]
	ann := w.enter(a, "ann")
	a.names.mu.Lock()
	a.names.view.set(a.Node(), "zoe", &entry{Name: "Zoe", Node: "dead", rev: 1})
	a.names.view.set(a.Node(), "yan", &entry{Name: "Yan", Node: a.Node(), rev: 1}) // one of its own
	a.names.mu.Unlock()
	w.until("both are forgotten", func() bool {
		a.names.mu.Lock()
		defer a.names.mu.Unlock()
		return len(a.names.view.names) == 1
	})
	if ann.has("left")() || a.names.find("ann") != "" {
		t.Errorf("ann was told %q", ann.got)
	}
}

// A name that the bucket has, of a server that is dead, is free after some time also if that
// was not given to those who look: the NATS server that leads the bucket may have lost that
// the name was given back.
func TestNameThatIsNotShown(t *testing.T) {
	w := newWorld(t, 1)
	a := w.nodes[0]
	ann := w.enter(a, "ann")
	e := entry{Name: "Zoe", Node: "dead", Since: 1}
	if _, err := a.names.kv.Put(context.Background(), nameKey("zoe"), e.value()); err != nil {
		t.Fatal(err)
	}
	w.until("it is shown", func() bool { return a.names.find("zoe") == "dead" })
	a.names.mu.Lock()
	a.names.view.set(a.Node(), "zoe", nil)
	a.names.mu.Unlock()
	if c := w.knock(a, "zoe"); !c.has("name is taken")() {
		t.Fatalf("told %q", c.got)
	}
	w.until("zoe is in", func() bool { return w.knock(a, "zoe").State() == core.StateGrant })
	w.until("ann is told", ann.has("zoe has joined"))
	if ann.has("Zoe has left")() {
		t.Errorf("ann is told that somebody has left who was not there: %q", ann.got)
	}
}

// lossy is a bucket whose answers are lost, of so many purges and then as many reads.
type lossy struct {
	jetstream.KeyValue
	purges, gets int
}

func (l *lossy) Purge(ctx context.Context, key string, opts ...jetstream.KVDeleteOpt) error {
	err := l.KeyValue.Purge(ctx, key, opts...)
	if l.purges--; l.purges >= 0 {
		return context.DeadlineExceeded
	}
	return err
}

func (l *lossy) Get(ctx context.Context, key string) (jetstream.KeyValueEntry, error) {
	if l.gets--; l.gets >= 0 {
		return nil, context.DeadlineExceeded
	}
	return l.KeyValue.Get(ctx, key)
}

// The room is told who has left whose server is dead, also if the answer is lost that the name
// is taken away; not if another server has done it.
func TestAnswerThatIsLost(t *testing.T) {
	w := newWorld(t, 1)
	a := w.nodes[0]
	ann := w.enter(a, "ann")
	put := func(name string) entry {
		e := entry{Name: name, Node: "dead", Since: 1}
		var err error
		if e.rev, err = a.names.kv.Put(t.Context(), nameKey(name), e.value()); err != nil {
			t.Fatal(err)
		}
		return e
	}
	yan := put("yan")
	if err := a.names.kv.Purge(t.Context(), nameKey("yan")); err != nil { // another server
		t.Fatal(err)
	}
	a.names.takeAway(a.names.kv, "yan", yan)
	a.names.takeAway(&lossy{a.names.kv, 1, 0}, "zoe", put("zoe"))
	w.until("zoe has left", ann.has("zoe has left"))
	a.names.takeAway(&lossy{a.names.kv, 1, 1}, "xia", put("xia"))
	w.until("xia has left", ann.has("xia has left"))
	if ann.has("yan has left")() {
		t.Errorf("ann is told twice that yan has left: %q", ann.got)
	}
	a.names.mu.Lock()
	defer a.names.mu.Unlock()
	if len(a.names.doubt) > 0 {
		t.Errorf("in doubt are %v", a.names.doubt)
	}
}

// The same for names of a server that is alive: it is asked whether it has them.
func TestNameOfOneWhoIsThere(t *testing.T) {
	w := newWorld(t, 2)
	a, b := w.nodes[0], w.nodes[1]
	w.enter(b, "bob")
	w.until("bob is known", func() bool { return a.names.find("bob") == b.Node() })
	a.names.mu.Lock()
	for i := range 2 * verifyMost { // more than a request holds
		a.names.view.set(a.Node(), fmt.Sprint("zoe", i), &entry{Name: "Zoe", Node: b.Node(), rev: 1})
	}
	a.names.mu.Unlock()
	w.until("all but bob are forgotten", func() bool { _, n := a.Elsewhere(0); return n == 1 })
	if a.names.find("bob") != b.Node() {
		t.Error("bob is forgotten")
	}
}

// A request that has no answer is sent again before it is given up, and the first answer counts.
func TestAsk(t *testing.T) {
	var sent atomic.Int64
	began := time.Now()
	got, err := ask(t.Context(), func(ctx context.Context) (int64, error) {
		n := sent.Add(1)
		if n < 3 {
			<-ctx.Done() // it is lost
		}
		return n, nil
	})
	if got != 3 || err != nil || time.Since(began) < 2*askAgain {
		t.Errorf("%d, %v after %v", got, err, time.Since(began))
	}
	failed := errors.New("no")
	if _, err := ask(t.Context(), func(context.Context) (int, error) { return 0, failed }); err != failed {
		t.Errorf("%v, want the request's error", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := ask(ctx, func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, nil }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want the end of the time", err)
	}
}

// What is wrong with a name is mended once at a time, however often it is found.
func TestMendingIsBounded(t *testing.T) {
	w := newWorld(t, 1)
	n := &w.nodes[0].names
	held, done := make(chan struct{}), make(chan struct{}, 100)
	n.do("zoe", func() { <-held })
	ask := func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.doOnce("zoe", func() { done <- struct{}{} })
	}
	for range 50 {
		ask()
	}
	if got := n.waiting(); got > 2 {
		t.Errorf("%d things wait, want 2", got)
	}
	close(held)
	w.until("it is mended", func() bool { return n.waiting() == 0 })
	ask()
	w.until("it is mended again", func() bool { return n.waiting() == 0 })
	if len(done) != 2 {
		t.Errorf("mended %d times, want 2", len(done))
	}
}
