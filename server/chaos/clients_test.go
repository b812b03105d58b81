package chaos

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"chatbench/client"
)

// password is the password of all users; the load generator uses it too.
const password = "load"

// hashOfPassword is precomputed: under the race detector a hash takes seconds.
const hashOfPassword = "$2a$10$WqkQ0m5P9sJ8vYb3TzXcLe0okQvOwrX4PllI1s12teKq4H0bdTKyu"

// usersFile makes a file of users with that password.
func (x *run) usersFile(names ...string) (path string) {
	x.Helper()
	path = x.TempDir() + "/users"
	x.write(path, usersText(names...))
	return path
}

func usersText(names ...string) string {
	var text strings.Builder
	for _, name := range names {
		fmt.Fprintf(&text, "%s:%s\n", name, hashOfPassword)
	}
	return text.String()
}

// write replaces a file atomically.
func (x *run) write(path, text string) {
	x.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		x.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		x.Fatal(err)
	}
}

// clientGroup is clients that use the client library. They say and receive messages, and may
// reconnect.
type clientGroup struct {
	x       *run
	clients []*groupClient
	in      atomic.Int64
	lost    atomic.Int64 // conversations that ended by themselves
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// groupClient is one of the clients of a group.
type groupClient struct {
	name       string
	reconnects bool
	received   atomic.Int64 // messages

	mu     sync.Mutex
	client *client.Client // nil while it is not logged in
	err    error          // of its last conversation, or of the last try to log in
}

// joinClients logs n clients in, and waits until all are. secure configures TLS; nil: without
// TLS.
func (x *run) joinClients(addr string, n int, reconnects bool, secure *tls.Config) *clientGroup {
	x.Helper()
	c := &clientGroup{x: x}
	ctx, cancel := context.WithCancel(testContext)
	c.cancel = cancel
	for i := range n {
		p := &groupClient{name: clientName(i), reconnects: reconnects}
		c.clients = append(c.clients, p)
		cfg := client.Config{Server: addr, User: p.name, Password: password, TLS: secure}
		c.running.Go(func() { c.converse(ctx, p, cfg) })
	}
	x.Cleanup(c.leave)
	c.await(int64(n), timeout)
	return c
}

// await waits until n clients are logged in, and returns how long that took.
func (c *clientGroup) await(n int64, timeout time.Duration) time.Duration {
	c.x.Helper()
	defer func() {
		if c.x.Failed() {
			c.x.Logf("%d are logged in; %s: %v", c.in.Load(), c.clients[0].name, c.clients[0].lastErr())
		}
	}()
	return c.x.wait(timeout, func() bool { return c.in.Load() >= n }, "%d of %d are logged in", n, len(c.clients))
}

func clientName(i int) string { return fmt.Sprintf("p%d", i) }

// clientNames is the names of a group.
func clientNames(n int) (names []string) {
	for i := range n {
		names = append(names, clientName(i))
	}
	return names
}

// converse logs in as chat does, reads, and reconnects if the client does that, until ctx ends.
func (c *clientGroup) converse(ctx context.Context, p *groupClient, cfg client.Config) {
	for backoff := new(client.Backoff); ctx.Err() == nil; {
		trying, cancel := context.WithTimeout(ctx, 20*time.Second)
		conversation, err := client.Dial(trying, cfg)
		cancel()
		if err != nil {
			p.set(nil, err)
			select {
			case <-time.After(backoff.Next()):
			case <-ctx.Done():
			}
			continue
		}
		backoff.Reset()
		p.set(conversation, nil)
		c.in.Add(1)
		stop := context.AfterFunc(ctx, conversation.Close)
		for e := range conversation.Events() {
			if _, said := e.(client.Said); said {
				p.received.Add(1)
			}
		}
		stop()
		err = conversation.Err()
		p.set(nil, err)
		c.in.Add(-1)
		if ctx.Err() == nil {
			c.lost.Add(1)
		}
		conversation.Close()
		if !p.reconnects {
			return
		}
	}
}

func (p *groupClient) set(c *client.Client, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.client, p.err = c, err
}

func (p *groupClient) lastErr() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// say sends a message, if the client is logged in.
func (p *groupClient) say(text string) error {
	p.mu.Lock()
	c := p.client
	p.mu.Unlock()
	if c == nil {
		return errors.New("not in the room")
	}
	return c.Say(text)
}

// say lets a client send a message, which must succeed.
func (c *clientGroup) say(i int, text string) {
	c.x.Helper()
	if err := c.clients[i].say(text); err != nil {
		c.x.Fatalf("%s: %v", c.clients[i].name, err)
	}
}

// waitForMessages waits until all clients have received n messages.
func (c *clientGroup) waitForMessages(n int64) {
	c.x.Helper()
	c.x.wait(timeout, func() bool { return c.fewest() >= n }, "all clients have received %d messages", n)
}

// fewest and most are the smallest and greatest number of messages that a client has received.
func (c *clientGroup) fewest() int64 {
	n := c.clients[0].received.Load()
	for _, p := range c.clients {
		n = min(n, p.received.Load())
	}
	return n
}

func (c *clientGroup) most() int64 {
	n := int64(0)
	for _, p := range c.clients {
		n = max(n, p.received.Load())
	}
	return n
}

// leave ends all clients.
func (c *clientGroup) leave() {
	c.cancel()
	c.running.Wait()
}
