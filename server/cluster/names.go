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

// workers is how many names are claimed and given back at once.
const workers = 16

// entry is who has a name: the value of its key.
type entry struct {
	Name  string `json:"name"`
	Node  string `json:"node"`
	Since int64  `json:"since"` // when it was claimed, in Unix nanoseconds
	rev   uint64 // revision of the key
	met   bool   // a claim came upon it, and the watcher has not told of it: its client may have left long ago
}

// value is what the bucket has of it.
func (e entry) value() []byte {
	value, err := json.Marshal(e)
	if err != nil {
		panic("cluster: " + err.Error()) // nothing in it can fail
	}
	return value
}

// elder says whether e has the name by right, of two that have it: the one who came first.
func (e entry) elder(than entry) bool {
	return e.Since < than.Since || e.Since == than.Since && e.Node < than.Node
}

// owned is a name that a client of this server has, or is about to have.
type owned struct {
	entry           // its revision is the worker's of the name
	seen  time.Time // when the bucket was last seen to have it; zero: it is being claimed
}

// names is who is in the room, on all servers.
type names struct {
	c    *Cluster
	seed maphash.Seed
	// deadAfter and verifyEvery are the defaults of these names, less in tests.
	deadAfter, verifyEvery time.Duration

	jobs [workers]queue // one name is always the same one's, so that what is asked for it keeps its order

	// mu is taken with the room's lock held: whoever has it does not call the room.
	mu      sync.Mutex
	kv      jetstream.KeyValue // nil until the bucket is open
	own     map[string]*owned  // by folded name
	view    *view              // of the bucket
	heard   time.Time          // when the bucket last gave what this server had put there
	pending map[string]bool    // keys for which mend or verify have asked for something that is not done yet
	// doubt is names of dead servers of which it is not known whether this server has taken them
	// away: there was no answer. They are as many as view has names, at most.
	doubt map[string]entry
}

func (n *names) init(c *Cluster) {
	n.c, n.seed, n.deadAfter, n.verifyEvery = c, maphash.MakeSeed(), defaultDeadAfter, defaultVerifyEvery
	n.own, n.view, n.doubt = map[string]*owned{}, newView(), map[string]entry{}
	n.pending = map[string]bool{}
	for i := range n.jobs {
		n.jobs[i].bell = make(chan struct{}, 1)
	}
}

// nameKey is the key of a name.
func nameKey(folded string) string {
	return namePrefix + base64.RawURLEncoding.EncodeToString([]byte(folded))
}

// queue is what is to be done for some of the names, in order.
type queue struct {
	mu   sync.Mutex
	jobs []func()
	busy bool
	bell chan struct{}
}

func (q *queue) add(job func()) {
	q.mu.Lock()
	q.jobs = append(q.jobs, job)
	q.mu.Unlock()
	select {
	case q.bell <- struct{}{}:
	default:
	}
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
		case <-q.bell:
		case <-ctx.Done():
			return
		}
	}
}

// do has something done for a name, behind all that was asked for it before.
func (n *names) do(folded string, job func()) {
	n.jobs[maphash.String(n.seed, folded)%workers].add(job)
}

// doOnce is do for what is found wrong with a name, again and again while it is: nothing is added
// as long as such a thing waits. n.mu is held.
func (n *names) doOnce(folded string, job func()) {
	if n.pending[folded] {
		return
	}
	n.pending[folded] = true
	n.do(folded, func() {
		job()
		n.mu.Lock()
		delete(n.pending, folded)
		n.mu.Unlock()
	})
}

// waiting is how many things are still to be done.
func (n *names) waiting() (all int) {
	for i := range n.jobs {
		q := &n.jobs[i]
		q.mu.Lock()
		if all += len(q.jobs); q.busy {
			all++
		}
		q.mu.Unlock()
	}
	return all
}

// elsewhere is core.Cluster's Elsewhere.
func (n *names) elsewhere(octets int) (some []string, count int) {
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
	return some, n.view.away
}

// find is the server of somebody who is in the room by way of another one; "": nobody is.
func (n *names) find(folded string) (node string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if e := n.view.names[folded]; e.Node != n.c.node {
		return e.Node
	}
	return ""
}

// claim is core.Cluster's Claim.
func (n *names) claim(l *core.Login) {
	answer := n.c.cfg.Entering()
	n.do(l.Folded, func() {
		err := n.take(l)
		if in := answer(l, err); !in && err == nil {
			n.release(l.Folded)
		}
	})
}

// take takes a name for a client, if nobody has it.
func (n *names) take(l *core.Login) error {
	if n.c.lost.Load() || l.Abandoned() {
		return errLost
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
	n.mu.Lock()
	defer n.mu.Unlock()
	if err != nil { // if it is there all the same, mend gives it back
		delete(n.own, l.Folded)
		return err
	}
	o.rev, o.seen = rev, time.Now()
	return nil
}

// put puts a name into the bucket, if nobody has it there, or this server has and did not
// know it. The error is errTaken or errLost.
func (n *names) put(kv jetstream.KeyValue, folded string, e entry) (rev uint64, err error) {
	ctx, cancel := context.WithTimeout(n.c.ended, askFor)
	defer cancel()
	rev, err = kv.Create(ctx, nameKey(folded), e.value())
	switch {
	case errors.Is(err, jetstream.ErrKeyExists):
		before, err := n.get(ctx, kv, folded)
		if err == nil && before.Node == n.c.node {
			return n.replace(kv, folded, e, before.rev)
		}
		if err == nil {
			n.meet(folded, before)
		}
		return 0, errTaken
	case err != nil:
		n.c.complain("a name could not be claimed", "err", err)
		return 0, errLost
	}
	n.c.touch()
	return rev, nil
}

// replace puts a name in the place of what the bucket has at a revision.
func (n *names) replace(kv jetstream.KeyValue, folded string, e entry, at uint64) (rev uint64, err error) {
	ctx, cancel := context.WithTimeout(n.c.ended, askFor)
	defer cancel()
	if rev, err = kv.Update(ctx, nameKey(folded), e.value(), at); err != nil {
		return 0, errTaken
	}
	n.c.touch()
	return rev, nil
}

// get is who has a name.
func (n *names) get(ctx context.Context, kv jetstream.KeyValue, folded string) (e entry, err error) {
	got, err := kv.Get(ctx, nameKey(folded))
	if err != nil {
		return e, err
	}
	err = json.Unmarshal(got.Value(), &e)
	e.rev = got.Revision()
	return e, err
}

// release is core.Cluster's Release.
func (n *names) release(folded string) {
	n.mu.Lock()
	o, kv := n.own[folded], n.kv
	delete(n.own, folded)
	n.mu.Unlock()
	if o != nil {
		n.do(folded, func() { n.removeName(kv, folded, o.rev) })
	}
}

// meet notes who has a name, if the watcher has not told of that: mend and verify see to it
// then. A NATS server that was killed may have lost that a name was given back, and lead the
// bucket, while the watcher is told by another one.
func (n *names) meet(folded string, e entry) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, known := n.view.names[folded]; !known {
		e.met = true
		n.view.set(n.c.node, folded, &e)
	}
}

// removeName takes a name off the bucket, if it is as it was at a revision. If the bucket does
// not have it so any more, that is forgotten too: the watcher may have been told of it by a NATS
// server that was killed, and has lost that the name was given back.
func (n *names) removeName(kv jetstream.KeyValue, folded string, rev uint64) error {
	err := n.remove(kv, nameKey(folded), rev)
	if errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		n.mu.Lock()
		defer n.mu.Unlock()
		if e, there := n.view.names[folded]; there && e.rev == rev {
			n.view.set(n.c.node, folded, nil)
			n.c.cfg.Log.Debug("a name is no longer in the bucket as it was given", "name", e.Name, "server", e.Node)
		}
	}
	return err
}

// remove takes a key off the bucket, if it is as it was at a revision; 0: in any case. If
// it cannot, mend tries again.
func (n *names) remove(kv jetstream.KeyValue, key string, rev uint64) error {
	if n.c.lost.Load() {
		return errLost
	}
	ctx, cancel := context.WithTimeout(n.c.ended, askFor)
	defer cancel()
	options := []jetstream.KVDeleteOpt{jetstream.PurgeTTL(markerFor)}
	if rev > 0 {
		options = append(options, jetstream.LastRevision(rev))
	}
	return kv.Purge(ctx, key, options...)
}
