package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"chatbench/core"
)

// addresseeHeader is the header with the addressee of a request with a File frame.
const addresseeHeader = "Chat-To"

// noResponderDelay is the pause before a request is repeated for which NATS has reported no
// responders: just after a server has subscribed, this report can be wrong.
const noResponderDelay = 50 * time.Millisecond

func (c *Cluster) fileSubject(node string) string { return "chat." + c.cfg.Room + ".file." + node }

// receiveFiles subscribes to frames for clients of this server. The answer is one octet, the
// core.Outcome.
func (c *Cluster) receiveFiles() error {
	_, err := c.conn.Subscribe(c.fileSubject(c.node), func(m *nats.Msg) {
		o := c.room.TakeForward(m.Header.Get(addresseeHeader), m.Data)
		if err := m.Respond([]byte{byte(o)}); err != nil {
			c.cfg.Log.Debug("cannot answer a request with a file frame", "err", err)
		}
	})
	if err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	return nil
}

// Forward implements core.Cluster. Each session has at most one in flight, so there are not more
// goroutines than clients.
func (c *Cluster) Forward(f *core.Forward) {
	node := c.names.serverOf(f.To)
	switch {
	case node == "":
		f.Answer(core.NoSuchUser)
	case c.cutOff.Load():
		f.Answer(core.Unavailable)
	default:
		go func() { f.Answer(c.forward(node, f)) }()
	}
}

// forward sends a frame to another server, and returns its answer.
func (c *Cluster) forward(node string, f *core.Forward) core.Outcome {
	ctx, cancel := context.WithTimeout(c.ended, requestTimeout)
	defer cancel()
	m := &nats.Msg{Subject: c.fileSubject(node), Header: nats.Header{addresseeHeader: {f.To}}, Data: f.Frames}
	answer, err := c.conn.RequestMsgWithContext(ctx, m)
	if errors.Is(err, nats.ErrNoResponders) {
		c.pause(noResponderDelay)
		answer, err = c.conn.RequestMsgWithContext(ctx, m)
	}
	if err != nil || len(answer.Data) != 1 || answer.Data[0] > byte(core.Unavailable) {
		c.cfg.Log.Debug("a server does not answer a request with a file frame", "server", node, "err", err)
		return core.Unavailable
	}
	return core.Outcome(answer.Data[0])
}
