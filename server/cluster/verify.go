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
	// defaultVerifyInterval is how often the other servers are asked whether they still have the
	// names that the bucket lists for them.
	defaultVerifyInterval = 10 * time.Second
	// maxVerifyNames is how many names one request has at most.
	maxVerifyNames = 500
)

// The bucket may list names that nobody has any more: a NATS server that was killed may have lost
// their removal. Those of dead servers are removed by repair. Whether the others are in use only
// their servers know, so each server asks them.

func (c *Cluster) namesSubject(node string) string { return "chat." + c.cfg.Room + ".names." + node }

// serveNames subscribes to requests whether this server has names. A request is folded names,
// separated by NULs. The answer has an octet for each, 1 or 0.
func (c *Cluster) serveNames() error {
	_, err := c.conn.Subscribe(c.namesSubject(c.node), func(m *nats.Msg) {
		if err := m.Respond(c.names.has(strings.Split(string(m.Data), "\x00"))); err != nil {
			c.cfg.Log.Debug("cannot answer a request for names", "err", err)
		}
	})
	if err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	return nil
}

// has says for each name whether a client of this server has it, or is claiming it.
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

// listedName is a name that the bucket lists.
type listedName struct {
	folded string
	rev    uint64
}

// verify asks the other servers about the names that the bucket lists for them, until the Cluster
// is closed. It removes the names that they do not have.
func (n *names) verify() {
	for n.c.pause(n.verifyInterval) {
		n.mu.Lock()
		kv, byNode := n.kv, map[string][]listedName{}
		for folded, e := range n.view.names {
			if e.Node != n.c.node {
				byNode[e.Node] = append(byNode[e.Node], listedName{folded, e.rev})
			}
		}
		n.mu.Unlock()
		for node, list := range byNode {
			for batch := range slices.Chunk(list, maxVerifyNames) {
				if n.c.cutOff.Load() || !n.verifyBatch(kv, node, batch) {
					break
				}
			}
		}
	}
}

// verifyBatch asks one server about some names. It returns false if the server does not answer.
func (n *names) verifyBatch(kv jetstream.KeyValue, node string, batch []listedName) (answered bool) {
	ctx, cancel := context.WithTimeout(n.c.ended, requestTimeout)
	defer cancel()
	var folded []string
	for _, s := range batch {
		folded = append(folded, s.folded)
	}
	answer, err := n.c.conn.RequestWithContext(ctx, n.c.namesSubject(node), []byte(strings.Join(folded, "\x00")))
	if err != nil || len(answer.Data) != len(batch) {
		n.c.cfg.Log.Debug("a server does not answer a request for names", "server", node, "err", err)
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, s := range batch {
		if answer.Data[i] == 0 {
			n.enqueueOnce(s.folded, func() { n.removeName(kv, s.folded, s.rev) })
		}
	}
	return true
}
