package cluster

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"hash/maphash"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"chatbench/core"
)

// workers is how many names are claimed and released in parallel.
const workers = 16

// entry says who has a name: the value of its key.
type entry struct {
	Name      string `json:"name"`
	Node      string `json:"node"`
	Since     int64  `json:"since"` // when it was claimed, in Unix nanoseconds
	rev       uint64 // revision of the key
	unwatched bool   // found by a claim, not reported by the watcher: its client may have left long ago
}

// value is the entry as the bucket stores it.
func (e entry) value() []byte {
	value, err := json.Marshal(e)
	if err != nil {
		panic("cluster: " + err.Error()) // nothing in it can fail
	}
	return value
}

// older says whether e was claimed before another entry of the same name, and so keeps the name.
func (e entry) older(than entry) bool {
	return e.Since < than.Since || e.Since == than.Since && e.Node < than.Node
}

// owned is a name that a client of this server has, or is claiming.
type owned struct {
	entry           // only the name's worker uses its revision
	seen  time.Time // when it was last seen in the bucket; zero: it is being claimed
}

// names knows who is in the room, on all servers.
type names struct {
	c    *Cluster
	seed maphash.Seed
	// deadAfter and verifyInterval are defaultDeadAfter and defaultVerifyInterval, less in tests.
	deadAfter, verifyInterval time.Duration

	queues [workers]queue // one name is always in the same queue, so that its jobs keep their order

	// mu is taken with the room's lock held, so code that holds it must not call the room.
	mu      sync.Mutex
	kv      jetstream.KeyValue // nil until the bucket is open
	own     map[string]*owned  // by folded name
	view    *view              // of the bucket
	ownSeen time.Time          // when this server last saw its own key in the bucket
	pending map[string]bool    // keys with a job of repair or verify that is not done yet
	// uncertain has the names of dead servers that this server has tried to remove without an answer.
	// There are at most as many as names in view.
	uncertain map[string]entry
}

func (n *names) init(c *Cluster) {
	n.c, n.seed, n.deadAfter, n.verifyInterval = c, maphash.MakeSeed(), defaultDeadAfter, defaultVerifyInterval
	n.own, n.view, n.uncertain = map[string]*owned{}, newView(), map[string]entry{}
	n.pending = map[string]bool{}
	for i := range n.queues {
		n.queues[i].wake = make(chan struct{}, 1)
	}
}

// nameKey is the key of a name.
func nameKey(folded string) string {
	return namePrefix + base64.RawURLEncoding.EncodeToString([]byte(folded))
}

// queue is the jobs for some of the names, in order.
type queue struct {
	mu   sync.Mutex
	jobs []func()
	busy bool
	wake chan struct{}
}

func (q *queue) add(job func()) {
	q.mu.Lock()
	q.jobs = append(q.jobs, job)
	q.mu.Unlock()
	notify(q.wake)
}

func (q *queue) take() (job func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.busy = len(q.jobs) > 0
	if !q.busy {
		return nil
	}
	job, q.jobs[0] = q.jobs[0], nil
	q.jobs = q.jobs[1:]
	return job
}

func (q *queue) run(ctx context.Context) {
	for {
		if job := q.take(); job != nil && ctx.Err() == nil {
			job()
			continue
		}
		select {
		case <-q.wake:
		case <-ctx.Done():
			return
		}
	}
}

// enqueue queues a job for a name, behind its earlier jobs.
func (n *names) enqueue(folded string, job func()) {
	n.queues[maphash.String(n.seed, folded)%workers].add(job)
}

// enqueueOnce queues a job that repairs a name. It does nothing while an earlier such job of the name
// is not done, because the same fault is found again and again. n.mu is held.
func (n *names) enqueueOnce(folded string, job func()) {
	if n.pending[folded] {
		return
	}
	n.pending[folded] = true
	n.enqueue(folded, func() {
		job()
		n.mu.Lock()
		delete(n.pending, folded)
		n.mu.Unlock()
	})
}

// queued is how many jobs are not done yet.
func (n *names) queued() (all int) {
	for i := range n.queues {
		q := &n.queues[i]
		q.mu.Lock()
		if all += len(q.jobs); q.busy {
			all++
		}
		q.mu.Unlock()
	}
	return all
}

// remote implements core.Cluster.RemoteNames.
func (n *names) remote(octets int) (some []string, count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.view.names {
		if e.Node == n.c.node {
			continue
		}
		if octets -= len(e.Name) + 2; octets < 0 {
			break
		}
		some = append(some, e.Name)
	}
	return some, n.view.remote
}

// serverOf is the server of a client on another server; "": no client there has the name.
func (n *names) serverOf(folded string) (node string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if e := n.view.names[folded]; e.Node != n.c.node {
		return e.Node
	}
	return ""
}

// claim implements core.Cluster.Claim.
func (n *names) claim(l *core.Login) {
	answer := n.c.cfg.Entering()
	n.enqueue(l.Folded, func() {
		err := n.take(l)
		if in := answer(l, err); !in && err == nil {
			n.release(l.Folded)
		}
	})
}

// take claims a name for a client, if nobody has it.
func (n *names) take(l *core.Login) error {
	if n.c.cutOff.Load() || l.Abandoned() {
		return errCutOff
	}
	o := &owned{entry: entry{Name: l.Name, Node: n.c.node, Since: time.Now().UnixNano()}}
	n.mu.Lock()
	kv, mine := n.kv, n.own[l.Folded]
	if mine == nil {
		n.own[l.Folded] = o
	}
	n.mu.Unlock()
	if mine != nil {
		return errTaken
	}
	rev, err := n.put(kv, l.Folded, o.entry)
	if errors.Is(err, errNoAnswer) && !n.c.cutOff.Load() && !l.Abandoned() { // one lost request, or a pause of this process, is no reason to deny a login
		rev, err = n.put(kv, l.Folded, o.entry)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if errors.Is(err, errNoAnswer) {
		n.c.warn("cannot claim a name", "err", err)
		err = errCutOff
	}
	if err != nil { // if it is in the bucket nevertheless, repair removes it
		delete(n.own, l.Folded)
		return err
	}
	o.rev, o.seen = rev, time.Now()
	return nil
}

// put puts a name into the bucket, if nobody has it there, or if this server has it without
// knowing. The error is errTaken, errCutOff or errNoAnswer.
func (n *names) put(kv jetstream.KeyValue, folded string, e entry) (rev uint64, err error) {
	ctx, cancel := context.WithTimeout(n.c.ended, requestTimeout)
	defer cancel()
	rev, err = kv.Create(ctx, nameKey(folded), e.value())
	switch {
	case errors.Is(err, jetstream.ErrKeyExists):
		before, err := n.get(ctx, kv, folded)
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return 0, errNoAnswer
		case err == nil && before.Node == n.c.node:
			return n.replace(kv, folded, e, before.rev)
		case err == nil:
			n.addUnwatched(folded, before)
		}
		return 0, errTaken
	case errors.Is(err, context.DeadlineExceeded):
		return 0, errNoAnswer
	case err != nil:
		n.c.warn("cannot claim a name", "err", err)
		return 0, errCutOff
	}
	n.c.noteContact()
	return rev, nil
}

// replace replaces the entry that the bucket has at a revision. The error is errTaken or errNoAnswer.
func (n *names) replace(kv jetstream.KeyValue, folded string, e entry, at uint64) (rev uint64, err error) {
	ctx, cancel := context.WithTimeout(n.c.ended, requestTimeout)
	defer cancel()
	rev, err = kv.Update(ctx, nameKey(folded), e.value(), at)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return 0, errNoAnswer
	case err != nil:
		return 0, errTaken
	}
	n.c.noteContact()
	return rev, nil
}

// get gets the entry of a name from the bucket.
func (n *names) get(ctx context.Context, kv jetstream.KeyValue, folded string) (e entry, err error) {
	got, err := kv.Get(ctx, nameKey(folded))
	if err != nil {
		return e, err
	}
	err = json.Unmarshal(got.Value(), &e)
	e.rev = got.Revision()
	return e, err
}

// release implements core.Cluster.Release.
func (n *names) release(folded string) {
	n.mu.Lock()
	o, kv := n.own[folded], n.kv
	delete(n.own, folded)
	n.mu.Unlock()
	if o != nil {
		n.enqueue(folded, func() { n.removeName(kv, folded, o.rev) })
	}
}

// addUnwatched adds an entry to the view that a claim has found and the watcher has not reported,
// so that repair and verify look at it. This happens if a killed NATS server has lost the removal
// of a name and now leads the bucket, while the watcher reads from another one.
func (n *names) addUnwatched(folded string, e entry) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, known := n.view.names[folded]; !known {
		e.unwatched = true
		n.view.set(n.c.node, folded, &e)
	}
}

// removeName removes a name from the bucket, if its revision is still rev. If it is not, the view
// drops the entry too: the watcher may have read it from a NATS server that was killed and has
// lost the removal of the name.
func (n *names) removeName(kv jetstream.KeyValue, folded string, rev uint64) error {
	err := n.remove(kv, nameKey(folded), rev)
	if errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		n.mu.Lock()
		defer n.mu.Unlock()
		if e, there := n.view.names[folded]; there && e.rev == rev {
			n.view.set(n.c.node, folded, nil)
			n.c.cfg.Log.Debug("dropped a name that the bucket no longer has", "name", e.Name, "server", e.Node)
		}
	}
	return err
}

// remove removes a key from the bucket, if its revision is still rev; 0: in any case. If it fails,
// repair tries again.
func (n *names) remove(kv jetstream.KeyValue, key string, rev uint64) error {
	if n.c.cutOff.Load() {
		return errCutOff
	}
	ctx, cancel := context.WithTimeout(n.c.ended, requestTimeout)
	defer cancel()
	options := []jetstream.KVDeleteOpt{jetstream.PurgeTTL(markerTTL)}
	if rev > 0 {
		options = append(options, jetstream.LastRevision(rev))
	}
	return kv.Purge(ctx, key, options...)
}
