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

// password is everybody's; the load generator's clients have it too.
const password = "load"

// hashOfPassword is made beforehand: under the race detector a hash takes seconds.
const hashOfPassword = "$2a$10$WqkQ0m5P9sJ8vYb3TzXcLe0okQvOwrX4PllI1s12teKq4H0bdTKyu"

// usersFile is a file of users who all have the password.
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

// write puts a file in place of another in one step.
func (x *run) write(path, text string) {
	x.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		x.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		x.Fatal(err)
	}
}

// crowd is people with the client library, who talk, hear, and come back if they are
// to.
type crowd struct {
	x       *run
	people  []*person
	in      atomic.Int64
	lost    atomic.Int64 // conversations that ended by themselves
	leaving context.CancelFunc
	gone    sync.WaitGroup
}

// person is one of them.
type person struct {
	name  string
	back  bool // comes back
	heard atomic.Int64

	mu     sync.Mutex
	client *client.Client // while it is in; nil else
	err    error          // of its last conversation, or of the last try to begin one
}

// joinCrowd logs so many in, and waits until all are. secure is how they come by
// TLS, nil for in clear.
func (x *run) joinCrowd(addr string, n int, back bool, secure *tls.Config) *crowd {
	x.Helper()
	c := &crowd{x: x}
	ctx, cancel := context.WithCancel(life)
	c.leaving = cancel
	for i := range n {
		p := &person{name: personName(i), back: back}
		c.people = append(c.people, p)
		cfg := client.Config{Server: addr, User: p.name, Password: password, TLS: secure}
		c.gone.Go(func() { c.converse(ctx, p, cfg) })
	}
	x.Cleanup(c.leave)
	c.await(int64(n), patience)
	return c
}

// await waits until so many are in.
func (c *crowd) await(n int64, patience time.Duration) time.Duration {
	c.x.Helper()
	defer func() {
		if c.x.Failed() {
			c.x.Logf("%d are in; %s: %v", c.in.Load(), c.people[0].name, c.people[0].why())
		}
	}()
	return c.x.wait(patience, func() bool { return c.in.Load() >= n }, "%d of %d are in", n, len(c.people))
}

func personName(i int) string { return fmt.Sprintf("p%d", i) }

// personNames is the names of a crowd.
func personNames(n int) (names []string) {
	for i := range n {
		names = append(names, personName(i))
	}
	return names
}

// converse is a person's whole life: it logs in as chat does, and later again.
func (c *crowd) converse(ctx context.Context, p *person, cfg client.Config) {
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
				p.heard.Add(1)
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
		if !p.back {
			return
		}
	}
}

func (p *person) set(c *client.Client, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.client, p.err = c, err
}

func (p *person) why() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// say says something, if it is in.
func (p *person) say(text string) error {
	p.mu.Lock()
	c := p.client
	p.mu.Unlock()
	if c == nil {
		return errors.New("not in the room")
	}
	return c.Say(text)
}

// say has one of them say something, which has to be possible.
func (c *crowd) say(i int, text string) {
	c.x.Helper()
	if err := c.people[i].say(text); err != nil {
		c.x.Fatalf("%s: %v", c.people[i].name, err)
	}
}

// hears waits until all have heard so many messages.
func (c *crowd) hears(n int64) {
	c.x.Helper()
	c.x.wait(patience, func() bool { return c.fewest() >= n }, "everybody hears %d messages", n)
}

// fewest and most are how many messages one of them has heard.
func (c *crowd) fewest() int64 {
	n := c.people[0].heard.Load()
	for _, p := range c.people {
		n = min(n, p.heard.Load())
	}
	return n
}

func (c *crowd) most() int64 {
	n := int64(0)
	for _, p := range c.people {
		n = max(n, p.heard.Load())
	}
	return n
}

// leave has all of them go.
func (c *crowd) leave() {
	c.leaving()
	c.gone.Wait()
}
