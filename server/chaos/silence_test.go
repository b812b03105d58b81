package chaos

import (
	"context"
	"fmt"
	"slices"
	"time"

	"chatbench/client"
	"chatbench/internal/spawntest"
)

// goneAfter is how long a peer that does not answer any more may keep its connection: see
// internal/tcp, where keepalive and TCP_USER_TIMEOUT are set.
const goneAfter = 105 * time.Second

// silentPeer is a chatd at the near end of a link, and a client at the far end.
type silentPeer struct {
	what   string
	server *server
	far    *client.Client
	talker *client.Client // at the near end; nil: nothing is said
	gone   time.Duration  // when the server had given the far client up; 0: it has not
}

// silence: a network link loses all packets. In the short experiment the link is restored
// before any client is given up, and nothing may be lost.
func silence(x *run) {
	x.doing("four chatd in a network namespace, a client of each in another, the link between them is cut")
	l := x.link()
	var all []*silentPeer
	for _, secure := range []bool{false, true} {
		for _, talks := range []bool{false, true} {
			all = append(all, x.newSilentPeer(l, secure, talks))
		}
	}
	if err := l.cut(); err != nil {
		x.Fatal(err)
	}
	cut := time.Now()
	if !x.size.waitForTimeouts {
		x.shortOutage(l, all)
		return
	}
	here := func(q *silentPeer) bool { return q.gone == 0 }
	for time.Since(cut) < goneAfter*3/2 && slices.ContainsFunc(all, here) {
		for _, q := range all {
			q.talk("is anybody there?")
		}
		x.pause(time.Second)
		for _, q := range all {
			if q.gone == 0 && q.server.stats().Room.Clients == q.stays() {
				q.gone = time.Since(cut)
			}
		}
	}
	for _, q := range all {
		if q.gone == 0 {
			q.gone = time.Since(cut) // it was not given up; the row shows how long the test waited
		}
		x.within(q.what+" gone after", q.gone, goneAfter)
	}
}

// newSilentPeer starts a chatd and its clients.
func (x *run) newSilentPeer(l *link, secure, talks bool) *silentPeer {
	x.Helper()
	q := &silentPeer{what: "idle"}
	args := []string{"-listen", nearAddress + ":0", "-users", x.usersFile("near", "far")}
	cfg := client.Config{User: "far", Password: password}
	if secure {
		certFile, keyFile, trust := x.certificate()
		args = append(args, "-tls-cert", certFile, "-tls-key", keyFile)
		cfg.TLS = trust
	} else {
		args = append(args, "-insecure")
	}
	q.server = x.serveAt(l.near, args...)
	cfg.Server = q.server.addr
	q.far = x.dialAt(l.far, cfg)
	if talks {
		q.what, cfg.User = "unacknowledged", "near"
		q.talker = x.dialAt(l.near, cfg)
		go func() {
			for range q.talker.Events() {
			}
		}()
	}
	if secure {
		q.what += " by TLS"
	}
	return q
}

// dialAt logs a client in from a place.
func (x *run) dialAt(p *spawntest.Thread, cfg client.Config) (c *client.Client) {
	x.Helper()
	ctx, cancel := context.WithTimeout(testContext, timeout)
	defer cancel()
	err := p.Do(func() (err error) {
		c, err = client.Dial(ctx, cfg)
		return err
	})
	if err != nil {
		x.Fatal(err)
	}
	x.Cleanup(func() { go c.Close() }) // over a cut link Close waits for an answer
	return c
}

// talk says something at the near end, if there is a talker.
func (q *silentPeer) talk(text string) {
	if q.talker != nil {
		if err := q.talker.Say(text); err != nil {
			q.server.x.Errorf("%s: near client: %v", q.what, err)
		}
	}
}

// stays is how many clients the server has when the far one is given up.
func (q *silentPeer) stays() int64 {
	if q.talker != nil {
		return 1
	}
	return 0
}

// shortOutage restores the link after a moment: all that was said meanwhile must be delivered.
func (x *run) shortOutage(l *link, all []*silentPeer) {
	const lines = 5
	for i := range lines {
		for _, q := range all {
			q.talk(fmt.Sprint(i))
		}
		x.pause(x.size.faultTime / lines)
	}
	if err := l.restore(); err != nil {
		x.Fatal(err)
	}
	lost := int64(0)
	for _, q := range all {
		if q.talker != nil {
			lost += lines - q.receives(lines)
		}
	}
	x.exactly("messages lost over a cut of "+x.size.faultTime.String(), lost, 0)
	for _, q := range all {
		x.exactly(q.what+": clients", q.server.stats().Room.Clients, q.stays()+1)
	}
}

// receives returns how many of the messages the far client receives in order.
func (q *silentPeer) receives(lines int64) (n int64) {
	expired := time.After(timeout)
	for n < lines {
		select {
		case e, ok := <-q.far.Events():
			if said, is := e.(client.Said); is && said.Text == fmt.Sprint(n) {
				n++
			} else if !ok {
				return n
			}
		case <-expired:
			return n
		}
	}
	return n
}
