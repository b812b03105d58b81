package cluster

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"chatbench/core"
)

const (
	// beatEvery is how often a server renews its key.
	beatEvery = time.Second
	// sureFor is how long the bucket may not have given this server's own key, until
	// nothing can be said of the others.
	sureFor = 3 * beatEvery
	// defaultDeadAfter is how long a server may not have renewed it until its names are taken
	// away. It is more than lostAfter: if nobody can renew anything for so long, the bucket is
	// read anew, and nobody in it is dead.
	defaultDeadAfter = 12 * time.Second
	// mendEvery is how often the names are looked at: whether each is as it should be.
	mendEvery = 2 * time.Second
	// settledAfter is how long a name of a client that is here may be missing in the bucket,
	// or be somebody else's, until something is done about it.
	settledAfter = 5 * time.Second
	// markerFor is how long the bucket knows of a name that it was given back.
	markerFor = time.Minute
)

// Keys of the bucket.
const (
	namePrefix = "name." // and the name as it is compared, in base64
	nodePrefix = "node." // and what a server is called
)

// view is what a watcher has given of the bucket. names.mu guards it.
type view struct {
	names map[string]entry     // by folded name
	away  int                  // of them, how many are other servers'
	nodes map[string]time.Time // when another server was last heard of
}

func newView() *view { return &view{names: map[string]entry{}, nodes: map[string]time.Time{}} }

// set notes who has a name; nil: nobody.
func (v *view) set(self, folded string, e *entry) {
	if before, there := v.names[folded]; there && before.Node != self {
		v.away--
	}
	if e == nil {
		delete(v.names, folded)
		return
	}
	v.names[folded] = *e
	if e.Node != self {
		v.away++
	}
}

// keep keeps up with the bucket until the Cluster is closed. ready is called once, when
// everybody is known who is there.
func (n *names) keep(ready func()) {
	var once sync.Once
	for i := range n.jobs {
		n.c.work.Go(func() { n.jobs[i].run(n.c.ended) })
	}
	for n.c.ended.Err() == nil {
		err := n.watch(func() { once.Do(ready) })
		if n.c.ended.Err() == nil {
			n.c.complain("the names are read again", "err", err)
			n.c.pause(retryEvery)
		}
	}
}

// bucket is the bucket, made if it is not there.
func (n *names) bucket() (jetstream.KeyValue, error) {
	ctx, cancel := context.WithTimeout(n.c.ended, askFor)
	defer cancel()
	name := "CHAT_" + n.c.cfg.Room
	kv, err := n.c.js.KeyValue(ctx, name)
	if !errors.Is(err, jetstream.ErrBucketNotFound) {
		return kv, err
	}
	kv, err = n.c.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket: name, Description: "who is in the chat room " + n.c.cfg.Room, Replicas: n.c.cfg.Replicas, LimitMarkerTTL: markerFor,
	})
	if errors.Is(err, jetstream.ErrBucketExists) { // another server was faster
		return n.c.js.KeyValue(ctx, name)
	}
	return kv, err
}

// watch reads the bucket, from its present state on, until something is wrong: among that,
// that this server's own key does not come back.
func (n *names) watch(ready func()) error {
	kv, err := n.bucket()
	if err != nil {
		return err
	}
	watcher, err := kv.WatchAll(n.c.ended)
	if err != nil {
		return err
	}
	defer watcher.Stop()
	v, complete := newView(), false
	began, mended := time.Now(), time.Now()
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	for {
		select {
		case e, open := <-watcher.Updates():
			switch {
			case !open:
				return errors.New("the connection is closed")
			case e != nil:
				n.apply(v, e)
			case !complete: // that was all there is
				complete = true
				n.show(kv, v)
				ready()
			}
		case now := <-beat.C:
			n.c.work.Go(func() { n.beat(kv) })
			if now.Sub(n.lastHeard(began)) > n.c.lostAfter {
				return errors.New("the bucket does not give what is put there")
			}
			if complete && now.Sub(mended) >= mendEvery {
				mended = now
				n.mend(kv, now)
			}
		case <-n.c.ended.Done():
			return nil
		}
	}
}

// show makes a view the one that the others ask.
func (n *names) show(kv jetstream.KeyValue, v *view) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.kv, n.view = kv, v
}

// beat renews the key of this server.
func (n *names) beat(kv jetstream.KeyValue) {
	ctx, cancel := context.WithTimeout(n.c.ended, askFor)
	defer cancel()
	if _, err := kv.PutString(ctx, nodePrefix+n.c.node, ""); err == nil {
		n.c.touch()
	}
}

// lastHeard is when the bucket last gave this server's key, but not before began.
func (n *names) lastHeard(began time.Time) time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.heard.Before(began) {
		return began
	}
	return n.heard
}

// apply takes in one change of the bucket. What is no key of ours does nothing.
func (n *names) apply(v *view, e jetstream.KeyValueEntry) {
	n.c.touch()
	n.mu.Lock()
	defer n.mu.Unlock()
	there := e.Operation() == jetstream.KeyValuePut
	if node, is := strings.CutPrefix(e.Key(), nodePrefix); is {
		switch {
		case node == n.c.node:
			n.heard = time.Now()
		case there:
			v.nodes[node] = time.Now()
		default:
			delete(v.nodes, node)
		}
		return
	}
	encoded, is := strings.CutPrefix(e.Key(), namePrefix)
	folded, err := base64.RawURLEncoding.DecodeString(encoded)
	switch {
	case !is || err != nil:
	case !there:
		v.set(n.c.node, string(folded), nil)
	default:
		var got entry
		if json.Unmarshal(e.Value(), &got) == nil && got.Node != "" {
			got.rev = e.Revision()
			v.set(n.c.node, string(folded), &got)
		}
	}
}

// mend looks whether every name is as it should be. Names of clients that are here are
// put back if the bucket has lost them, or given up to whoever was here before; names
// of this server that no client has are given back; and names of servers that are dead
// are taken away.
func (n *names) mend(kv jetstream.KeyValue, now time.Time) {
	if n.c.lost.Load() {
		return
	}
	var lost []string
	n.mu.Lock()
	for folded, o := range n.own {
		e, there := n.view.names[folded]
		switch {
		case o.seen.IsZero(): // it is being claimed
		case there && e.Node == n.c.node:
			o.seen = now
		case now.Sub(o.seen) < settledAfter:
		case !there || o.elder(e):
			n.doOnce(folded, func() { n.putBack(kv, folded, o, e.rev) })
		default:
			delete(n.own, folded)
			lost = append(lost, folded)
		}
	}
	sure := now.Sub(n.heard) < sureFor // of who is dead
	left := map[string]bool{}          // servers that have names
	for folded, e := range n.view.names {
		left[e.Node] = true
		switch {
		case e.Node == n.c.node:
			if n.own[folded] == nil {
				n.doOnce(folded, func() { n.removeName(kv, folded, e.rev) })
			}
		case sure && n.view.dead(e.Node, now, n.deadAfter):
			n.doOnce(folded, func() { n.takeAway(kv, folded, e) })
		}
	}
	for folded, e := range n.doubt {
		if got, there := n.view.names[folded]; !there || got.rev != e.rev { // otherwise it was asked for above
			n.doOnce(folded, func() { n.takeAway(kv, folded, e) })
		}
	}
	for node := range n.view.nodes {
		if sure && n.view.dead(node, now, n.deadAfter) && !left[node] {
			n.doOnce(nodePrefix+node, func() { n.remove(kv, nodePrefix+node, 0) })
		}
	}
	n.mu.Unlock()
	for _, folded := range lost {
		n.c.cfg.Log.Warn("a name is somebody else's, who was in the room before", "name", folded)
		n.c.room.Kick(func(u core.User) bool { return u.Folded == folded }, elderText)
	}
}

// dead says whether a server has not been heard of for too long. One that was never heard
// of has as long from now on.
func (v *view) dead(node string, now time.Time, after time.Duration) bool {
	at, known := v.nodes[node]
	if !known {
		v.nodes[node] = now
	}
	return known && now.Sub(at) > after
}

// putBack puts a name of a client that is here back into the bucket, in the place of what
// is there at a revision, or of nothing.
func (n *names) putBack(kv jetstream.KeyValue, folded string, o *owned, rev uint64) {
	n.mu.Lock()
	gone := n.own[folded] != o
	n.mu.Unlock()
	if gone || n.c.lost.Load() {
		return
	}
	var err error
	if rev == 0 {
		rev, err = n.put(kv, folded, o.entry)
	} else {
		rev, err = n.replace(kv, folded, o.entry, rev)
	}
	if err == nil {
		n.c.cfg.Log.Info("a name is put back into the bucket", "name", o.Name)
		n.mu.Lock()
		o.rev, o.seen = rev, time.Now()
		n.mu.Unlock()
	}
}

// takeAway takes the name of somebody away whose server is dead, and tells the room. Of all
// servers that try, one does; but the answer to it may be lost, and then it is in doubt, until the
// bucket says whether the name is gone. The room may then be told twice rather than not at all.
func (n *names) takeAway(kv jetstream.KeyValue, folded string, e entry) {
	n.mu.Lock()
	_, doubted := n.doubt[folded]
	n.mu.Unlock()
	err := n.removeName(kv, folded, e.rev)
	if errors.Is(err, errLost) || !doubted && errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		return // nothing was asked, or another server has done it
	}
	gone := err == nil
	settled := gone
	if !gone {
		ctx, cancel := context.WithTimeout(n.c.ended, askFor)
		defer cancel()
		got, err := n.get(ctx, kv, folded)
		gone = errors.Is(err, jetstream.ErrKeyNotFound)
		settled = gone || err == nil && got.rev != e.rev // if it is as it was, what was asked may still be done
	}
	n.mu.Lock()
	if settled {
		delete(n.doubt, folded)
	} else {
		n.doubt[folded] = e
	}
	n.mu.Unlock()
	if gone {
		n.c.cfg.Log.Info("a name is free, as its server is dead", "name", e.Name, "server", e.Node)
		if !e.met {
			n.c.room.Gone(e.Name)
		}
	}
}

// leave takes this server's own key off the bucket.
func (n *names) leave() {
	n.mu.Lock()
	kv := n.kv
	n.mu.Unlock()
	if kv == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeFor/2)
	defer cancel()
	if err := kv.Purge(ctx, nodePrefix+n.c.node, jetstream.PurgeTTL(markerFor)); err != nil {
		n.c.cfg.Log.Debug("this server's key stays until the others find it dead", "err", err)
	}
}
