package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"chatbench/core"
)

// toHeader names the addressee of a request with a File frame.
const toHeader = "Chat-To"

// respondersAfter is when a server is asked again that nobody seemed to answer for: NATS
// says so falsely for a moment after a server has begun to listen.
const respondersAfter = 50 * time.Millisecond

func (c *Cluster) fileSubject(node string) string { return "chat." + c.cfg.Room + ".file." + node }

// receiveFiles begins to take frames for clients of this server. The answer is one octet,
// the core.Outcome.
func (c *Cluster) receiveFiles() error {
	_, err := c.conn.Subscribe(c.fileSubject(c.node), func(m *nats.Msg) {
		o := c.room.TakeForward(m.Header.Get(toHeader), m.Data)
		if err := m.Respond([]byte{byte(o)}); err != nil {
			c.cfg.Log.Debug("a file frame is not answered", "err", err)
		}
	})
	if err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	return nil
}

// Forward is core.Cluster's. Each session has one on its way at most, so there are not more
// goroutines than clients.
func (c *Cluster) Forward(f *core.Forward) {
	node := c.names.find(f.To)
	switch {
	case node == "":
		f.Answer(core.NoSuchUser)
	case c.lost.Load():
		f.Answer(core.Unavailable)
	default:
		go func() { f.Answer(c.ask(node, f)) }()
	}
}

// ask passes a frame on to another server, and gives its answer.
func (c *Cluster) ask(node string, f *core.Forward) core.Outcome {
	ctx, cancel := context.WithTimeout(c.ended, askFor)
	defer cancel()
	m := &nats.Msg{Subject: c.fileSubject(node), Header: nats.Header{toHeader: {f.To}}, Data: f.Frames}
	answer, err := c.conn.RequestMsgWithContext(ctx, m)
	if errors.Is(err, nats.ErrNoResponders) {
		c.pause(respondersAfter)
		answer, err = c.conn.RequestMsgWithContext(ctx, m)
	}
	if err != nil || len(answer.Data) != 1 || answer.Data[0] > byte(core.Unavailable) {
		c.cfg.Log.Debug("a file frame is not answered for", "server", node, "err", err)
		return core.Unavailable
	}
	return core.Outcome(answer.Data[0])
}
