package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// defaultVerifyEvery is how often other servers are asked whether they have the names that
	// the bucket gives as theirs.
	defaultVerifyEvery = 10 * time.Second
	// verifyMost is how many names stand in one request.
	verifyMost = 500
)

// The bucket may give names that nobody has any more: a NATS server that was killed may have
// lost that they were given back. Those of dead servers are taken away by mend, after a while.
// Of those of the others only their servers know, so each server asks them.

func (c *Cluster) namesSubject(node string) string { return "chat." + c.cfg.Room + ".names." + node }

// answerForNames begins to say whether this server has names, as they are compared and with NULs
// between them: an octet for each, 1 or 0.
func (c *Cluster) answerForNames() error {
	_, err := c.conn.Subscribe(c.namesSubject(c.node), func(m *nats.Msg) {
		if err := m.Respond(c.names.has(strings.Split(string(m.Data), "\x00"))); err != nil {
			c.cfg.Log.Debug("a request for names is not answered", "err", err)
		}
	})
	if err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	return nil
}

// has says of names whether clients of this server have them, or are about to.
func (n *names) has(folded []string) []byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	answer := make([]byte, len(folded))
	for i, name := range folded {
		if n.own[name] != nil {
			answer[i] = 1
		}
	}
	return answer
}

// shown is a name as the bucket gives it.
type shown struct {
	folded string
	rev    uint64
}

// verify asks the other servers for the names that the bucket gives as theirs, until the
// Cluster is closed. What they do not have is taken away.
func (n *names) verify() {
	for n.c.pause(n.verifyEvery) {
		n.mu.Lock()
		kv, by := n.kv, map[string][]shown{}
		for folded, e := range n.view.names {
			if e.Node != n.c.node {
				by[e.Node] = append(by[e.Node], shown{folded, e.rev})
			}
		}
		n.mu.Unlock()
		for node, list := range by {
			for some := range slices.Chunk(list, verifyMost) {
				if n.c.lost.Load() || !n.verifySome(kv, node, some) {
					break
				}
			}
		}
	}
}

// verifySome asks one server for some names, and says whether it answers. One that does not is
// left alone.
func (n *names) verifySome(kv jetstream.KeyValue, node string, some []shown) (answers bool) {
	ctx, cancel := context.WithTimeout(n.c.ended, askFor)
	defer cancel()
	var folded []string
	for _, s := range some {
		folded = append(folded, s.folded)
	}
	answer, err := n.c.conn.RequestWithContext(ctx, n.c.namesSubject(node), []byte(strings.Join(folded, "\x00")))
	if err != nil || len(answer.Data) != len(some) {
		n.c.cfg.Log.Debug("a server does not say whether it has its names", "server", node, "err", err)
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, s := range some {
		if answer.Data[i] == 0 {
			n.doOnce(s.folded, func() { n.removeName(kv, s.folded, s.rev) })
		}
	}
	return true
}
