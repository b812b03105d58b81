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

// A killed NATS server may lose the removal of a name, and then report the name again, as that of
// a server that died long ago. The name is dropped, and nobody is told that a client has left.
func TestNameThatWasGivenBack(t *testing.T) {
	tc := newTestCluster(t, 1)
	a := tc.nodes[0]
	ann := tc.login(a, "ann")
	a.names.mu.Lock()
	a.names.view.set(a.Node(), "zoe", &entry{Name: "Zoe", Node: "dead", rev: 1})
	a.names.view.set(a.Node(), "yan", &entry{Name: "Yan", Node: a.Node(), rev: 1}) // one of its own
	a.names.mu.Unlock()
	tc.waitUntil("both are dropped", func() bool {
		a.names.mu.Lock()
		defer a.names.mu.Unlock()
		return len(a.names.view.names) == 1
	})
	if ann.received("left")() || a.names.serverOf("ann") != "" {
		t.Errorf("ann was told %q", ann.got)
	}
}

// A name of a dead server that the bucket has becomes free after some time, even if the watcher
// never reported it: the NATS server that leads the bucket may have lost the removal of the name.
func TestNameThatIsNotShown(t *testing.T) {
	tc := newTestCluster(t, 1)
	a := tc.nodes[0]
	ann := tc.login(a, "ann")
	e := entry{Name: "Zoe", Node: "dead", Since: 1}
	if _, err := a.names.kv.Put(context.Background(), nameKey("zoe"), e.value()); err != nil {
		t.Fatal(err)
	}
	tc.waitUntil("it is shown", func() bool { return a.names.serverOf("zoe") == "dead" })
	a.names.mu.Lock()
	a.names.view.set(a.Node(), "zoe", nil)
	a.names.mu.Unlock()
	if c := tc.tryLogin(a, "zoe"); !c.received("name is taken")() {
		t.Fatalf("told %q", c.got)
	}
	tc.waitUntil("zoe is in", func() bool { return tc.tryLogin(a, "zoe").State() == core.StateGrant })
	tc.waitUntil("ann is told", ann.received("zoe has joined"))
	if ann.received("Zoe has left")() {
		t.Errorf("ann is told that a client has left that was not in the room: %q", ann.got)
	}
}

// lossyBucket is a bucket of which the answers to the first purges, gets and creates are lost.
type lossyBucket struct {
	jetstream.KeyValue
	purges, gets, creates int
}

func (l *lossyBucket) Create(ctx context.Context, key string, value []byte, opts ...jetstream.KVCreateOpt) (uint64, error) {
	rev, err := l.KeyValue.Create(ctx, key, value, opts...)
	if l.creates--; l.creates >= 0 {
		return 0, context.DeadlineExceeded
	}
	return rev, err
}

func (l *lossyBucket) Purge(ctx context.Context, key string, opts ...jetstream.KVDeleteOpt) error {
	err := l.KeyValue.Purge(ctx, key, opts...)
	if l.purges--; l.purges >= 0 {
		return context.DeadlineExceeded
	}
	return err
}

func (l *lossyBucket) Get(ctx context.Context, key string) (jetstream.KeyValueEntry, error) {
	if l.gets--; l.gets >= 0 {
		return nil, context.DeadlineExceeded
	}
	return l.KeyValue.Get(ctx, key)
}

// The room is told that a client of a dead server has left, even if the answer to the removal of
// its name is lost. It is not told if another server has removed the name.
func TestAnswerThatIsLost(t *testing.T) {
	tc := newTestCluster(t, 1)
	a := tc.nodes[0]
	ann := tc.login(a, "ann")
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
	a.names.removeDead(a.names.kv, "yan", yan)
	a.names.removeDead(&lossyBucket{a.names.kv, 1, 0, 0}, "zoe", put("zoe"))
	tc.waitUntil("zoe has left", ann.received("zoe has left"))
	a.names.removeDead(&lossyBucket{a.names.kv, 1, 1, 0}, "xia", put("xia"))
	tc.waitUntil("xia has left", ann.received("xia has left"))
	if ann.received("yan has left")() {
		t.Errorf("ann is told twice that yan has left: %q", ann.got)
	}
	a.names.mu.Lock()
	defer a.names.mu.Unlock()
	if len(a.names.uncertain) > 0 {
		t.Errorf("removals of unknown result: %v", a.names.uncertain)
	}
}

// A login is not denied because one answer is lost, and is because two are. The name is free again.
func TestClaimWithoutAnswer(t *testing.T) {
	tc := newTestCluster(t, 1)
	a := tc.nodes[0]
	bucket := func() jetstream.KeyValue {
		a.names.mu.Lock()
		defer a.names.mu.Unlock()
		return a.names.kv
	}()
	lose := func(creates, gets int) {
		a.names.mu.Lock()
		defer a.names.mu.Unlock()
		a.names.kv = &lossyBucket{bucket, 0, gets, creates}
	}
	for _, lost := range []struct {
		name          string
		creates, gets int
		in            bool
	}{{"ann", 1, 0, true}, {"bob", 2, 0, false}, {"bob", 1, 1, false}, {"bob", 0, 0, true}} {
		lose(lost.creates, lost.gets)
		c := tc.tryLoginOnce(a, lost.name)
		if in := c.State() == core.StateGrant; in != lost.in || !in && !c.received(errCutOff.Error())() {
			t.Errorf("without %d and %d answers: told %q", lost.creates, lost.gets, c.got)
		}
	}
}

// Stale names of a server that is alive are dropped too: the server is asked whether it has them.
func TestNameOfOneWhoIsThere(t *testing.T) {
	tc := newTestCluster(t, 2)
	a, b := tc.nodes[0], tc.nodes[1]
	tc.login(b, "bob")
	tc.waitUntil("bob is known", func() bool { return a.names.serverOf("bob") == b.Node() })
	a.names.mu.Lock()
	for i := range 2 * maxVerifyNames { // more than fit into one request
		a.names.view.set(a.Node(), fmt.Sprint("zoe", i), &entry{Name: "Zoe", Node: b.Node(), rev: 1})
	}
	a.names.mu.Unlock()
	tc.waitUntil("all but bob are dropped", func() bool { _, n := a.RemoteNames(0); return n == 1 })
	if a.names.serverOf("bob") != b.Node() {
		t.Error("bob was dropped")
	}
}

// A request without an answer is sent again before its timeout, and the first answer counts.
func TestHedged(t *testing.T) {
	var sent atomic.Int64
	began := time.Now()
	got, err := hedged(t.Context(), func(ctx context.Context) (int64, error) {
		n := sent.Add(1)
		if n < 3 {
			<-ctx.Done() // it is lost
		}
		return n, nil
	})
	if got != 3 || err != nil || time.Since(began) < 2*hedgeDelay {
		t.Errorf("%d, %v after %v", got, err, time.Since(began))
	}
	failed := errors.New("no")
	if _, err := hedged(t.Context(), func(context.Context) (int, error) { return 0, failed }); err != failed {
		t.Errorf("%v, want the request's error", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := hedged(ctx, func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, nil }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want DeadlineExceeded", err)
	}
}

// A name has at most one repair job at a time, however often its fault is found.
func TestRepairIsBounded(t *testing.T) {
	tc := newTestCluster(t, 1)
	n := &tc.nodes[0].names
	blocked, done := make(chan struct{}), make(chan struct{}, 100)
	n.enqueue("zoe", func() { <-blocked })
	repair := func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.enqueueOnce("zoe", func() { done <- struct{}{} })
	}
	for range 50 {
		repair()
	}
	if got := n.queued(); got > 2 {
		t.Errorf("%d jobs are queued, want 2", got)
	}
	close(blocked)
	tc.waitUntil("it is repaired", func() bool { return n.queued() == 0 })
	repair()
	tc.waitUntil("it is repaired again", func() bool { return n.queued() == 0 })
	if len(done) != 2 {
		t.Errorf("repaired %d times, want 2", len(done))
	}
}
