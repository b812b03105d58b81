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
	// heartbeatInterval is how often a server renews its key.
	heartbeatInterval = time.Second
	// staleAfter is when the view of the bucket counts as stale: this server has not seen its own
	// key in it for that long. No other server is then taken for dead.
	staleAfter = 3 * heartbeatInterval
	// defaultDeadAfter is when a server counts as dead: it has not renewed its key for that long.
	// It is longer than cutOffAfter. So if no server can renew its key, the bucket is read again
	// before any of them counts as dead.
	defaultDeadAfter = 12 * time.Second
	// repairInterval is how often all names are checked.
	repairInterval = 2 * time.Second
	// repairAfter is how long the name of a client of this server may be missing in the bucket,
	// or belong to another client, before it is repaired.
	repairAfter = 5 * time.Second
	// markerTTL is how long the bucket keeps the marker of a purged key.
	markerTTL = time.Minute
)

// Prefixes of the keys in the bucket.
const (
	namePrefix = "name." // followed by the folded name in base64
	nodePrefix = "node." // followed by the ID of a server
)

// view is the content of the bucket as far as a watcher has reported it. names.mu guards it.
type view struct {
	names  map[string]entry     // by folded name
	remote int                  // how many of them belong to other servers
	nodes  map[string]time.Time // when the key of another server was last seen
}

func newView() *view { return &view{names: map[string]entry{}, nodes: map[string]time.Time{}} }

// set sets the entry of a name; nil removes it.
func (v *view) set(self, folded string, e *entry) {
	if before, there := v.names[folded]; there && before.Node != self {
		v.remote--
	}
	if e == nil {
		delete(v.names, folded)
		return
	}
	v.names[folded] = *e
	if e.Node != self {
		v.remote++
	}
}

// follow follows the bucket until the Cluster is closed. It calls ready once, when the view is
// complete.
func (n *names) follow(ready func()) {
	var once sync.Once
	for i := range n.queues {
		n.c.work.Go(func() { n.queues[i].run(n.c.ended) })
	}
	for n.c.ended.Err() == nil {
		err := n.watch(func() { once.Do(ready) })
		if n.c.ended.Err() == nil {
			n.c.warn("reading the names again", "err", err)
			n.c.pause(retryInterval)
		}
	}
}

// bucket opens the bucket, and makes it if it does not exist.
func (n *names) bucket() (jetstream.KeyValue, error) {
	ctx, cancel := context.WithTimeout(n.c.ended, requestTimeout)
	defer cancel()
	name := "CHAT_" + n.c.cfg.Room
	kv, err := n.c.js.KeyValue(ctx, name)
	if !errors.Is(err, jetstream.ErrBucketNotFound) {
		return kv, err
	}
	kv, err = n.c.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket: name, Description: "who is in the chat room " + n.c.cfg.Room, Replicas: n.c.cfg.Replicas, LimitMarkerTTL: markerTTL,
	})
	if errors.Is(err, jetstream.ErrBucketExists) { // another server was faster
		return n.c.js.KeyValue(ctx, name)
	}
	return kv, err
}

// watch reads the bucket, from its present state on, until an error. It is also an error if this
// server does not see its own key for cutOffAfter.
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
	began, repaired := time.Now(), time.Now()
	heartbeat := time.NewTicker(heartbeatInterval)
	defer heartbeat.Stop()
	for {
		select {
		case e, open := <-watcher.Updates():
			switch {
			case !open:
				return errors.New("the connection is closed")
			case e != nil:
				n.apply(v, e)
			case !complete: // nil follows the present state
				complete = true
				n.setView(kv, v)
				ready()
			}
		case now := <-heartbeat.C:
			n.c.work.Go(func() { n.sendHeartbeat(kv) })
			if now.Sub(n.lastHeartbeat(began)) > n.c.cutOffAfter {
				return errors.New("the bucket does not return this server's own key")
			}
			if complete && now.Sub(repaired) >= repairInterval {
				repaired = now
				n.repair(kv, now)
			}
		case <-n.c.ended.Done():
			return nil
		}
	}
}

// setView replaces the view.
func (n *names) setView(kv jetstream.KeyValue, v *view) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.kv, n.view = kv, v
}

// sendHeartbeat renews the key of this server.
func (n *names) sendHeartbeat(kv jetstream.KeyValue) {
	ctx, cancel := context.WithTimeout(n.c.ended, requestTimeout)
	defer cancel()
	if _, err := kv.PutString(ctx, nodePrefix+n.c.node, ""); err == nil {
		n.c.noteContact()
	}
}

// lastHeartbeat is when this server last saw its own key in the bucket, or began if that is later.
func (n *names) lastHeartbeat(began time.Time) time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ownSeen.Before(began) {
		return began
	}
	return n.ownSeen
}

// apply applies one change of the bucket to a view. It ignores keys that are not ours.
func (n *names) apply(v *view, e jetstream.KeyValueEntry) {
	n.c.noteContact()
	n.mu.Lock()
	defer n.mu.Unlock()
	there := e.Operation() == jetstream.KeyValuePut
	if node, is := strings.CutPrefix(e.Key(), nodePrefix); is {
		switch {
		case node == n.c.node:
			n.ownSeen = time.Now()
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

// repair compares the view with the clients of this server:
//
//   - A name of a client of this server that the bucket has lost is put back. If another client
//     has the name, the one that claimed it first keeps it, and the other one is kicked.
//   - A name of this server that none of its clients has is removed.
//   - A name of a server that is dead is removed.
func (n *names) repair(kv jetstream.KeyValue, now time.Time) {
	if n.c.cutOff.Load() {
		return
	}
	var replaced []string
	n.mu.Lock()
	for folded, o := range n.own {
		e, there := n.view.names[folded]
		switch {
		case o.seen.IsZero(): // it is being claimed
		case there && e.Node == n.c.node:
			o.seen = now
		case now.Sub(o.seen) < repairAfter:
		case !there || o.older(e):
			n.enqueueOnce(folded, func() { n.putBack(kv, folded, o, e.rev) })
		default:
			delete(n.own, folded)
			replaced = append(replaced, folded)
		}
	}
	fresh := now.Sub(n.ownSeen) < staleAfter
	hasNames := map[string]bool{} // by server
	for folded, e := range n.view.names {
		hasNames[e.Node] = true
		switch {
		case e.Node == n.c.node:
			if n.own[folded] == nil {
				n.enqueueOnce(folded, func() { n.removeName(kv, folded, e.rev) })
			}
		case fresh && n.view.dead(e.Node, now, n.deadAfter):
			n.enqueueOnce(folded, func() { n.removeDead(kv, folded, e) })
		}
	}
	for folded, e := range n.uncertain {
		if got, there := n.view.names[folded]; !there || got.rev != e.rev { // otherwise it was queued above
			n.enqueueOnce(folded, func() { n.removeDead(kv, folded, e) })
		}
	}
	for node := range n.view.nodes {
		if fresh && n.view.dead(node, now, n.deadAfter) && !hasNames[node] {
			n.enqueueOnce(nodePrefix+node, func() { n.remove(kv, nodePrefix+node, 0) })
		}
	}
	n.mu.Unlock()
	for _, folded := range replaced {
		n.c.cfg.Log.Warn("a client is kicked: another one claimed its name earlier, on another server", "name", folded)
		n.c.room.Kick(func(u core.User) bool { return u.Folded == folded }, nameLostText)
	}
}

// dead says whether the key of a server has not been seen for too long. For a server whose key was
// never seen, that time starts now.
func (v *view) dead(node string, now time.Time, after time.Duration) bool {
	at, known := v.nodes[node]
	if !known {
		v.nodes[node] = now
	}
	return known && now.Sub(at) > after
}

// putBack puts the name of a client of this server back into the bucket. It replaces what the
// bucket has at a revision; 0: nothing.
func (n *names) putBack(kv jetstream.KeyValue, folded string, o *owned, rev uint64) {
	n.mu.Lock()
	gone := n.own[folded] != o
	n.mu.Unlock()
	if gone || n.c.cutOff.Load() {
		return
	}
	var err error
	if rev == 0 {
		rev, err = n.put(kv, folded, o.entry)
	} else {
		rev, err = n.replace(kv, folded, o.entry, rev)
	}
	if err == nil {
		n.c.cfg.Log.Info("put a name back into the bucket", "name", o.Name)
		n.mu.Lock()
		o.rev, o.seen = rev, time.Now()
		n.mu.Unlock()
	}
}

// removeDead removes a name of a server that is dead, and tells the room. Of all servers that try,
// one succeeds. If that one does not receive the answer, the name stays in uncertain until the
// bucket says whether it is gone. In this case the room may be told twice, but never not at all.
func (n *names) removeDead(kv jetstream.KeyValue, folded string, e entry) {
	n.mu.Lock()
	_, wasUncertain := n.uncertain[folded]
	n.mu.Unlock()
	err := n.removeName(kv, folded, e.rev)
	if errors.Is(err, errCutOff) || !wasUncertain && errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		return // no request was sent, or another server has removed it
	}
	gone := err == nil
	certain := gone
	if !gone {
		ctx, cancel := context.WithTimeout(n.c.ended, requestTimeout)
		defer cancel()
		got, err := n.get(ctx, kv, folded)
		gone = errors.Is(err, jetstream.ErrKeyNotFound)
		certain = gone || err == nil && got.rev != e.rev // if it is unchanged, the request may still be carried out
	}
	n.mu.Lock()
	if certain {
		delete(n.uncertain, folded)
	} else {
		n.uncertain[folded] = e
	}
	n.mu.Unlock()
	if gone {
		n.c.cfg.Log.Info("removed a name, because its server is dead", "name", e.Name, "server", e.Node)
		if !e.unwatched {
			n.c.room.AnnounceLeft(e.Name)
		}
	}
}

// leave removes this server's own key from the bucket.
func (n *names) leave() {
	n.mu.Lock()
	kv := n.kv
	n.mu.Unlock()
	if kv == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout/2)
	defer cancel()
	if err := kv.Purge(ctx, nodePrefix+n.c.node, jetstream.PurgeTTL(markerTTL)); err != nil {
		n.c.cfg.Log.Debug("this server's key was not removed: the others remove it later", "err", err)
	}
}
