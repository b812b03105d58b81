package chaos

import (
	"context"
	"fmt"
	"slices"
	"time"

	"chatbench/client"
	"chatbench/internal/spawntest"
)

// goneAfter is how long a peer that has fallen silent may have a place: see
// internal/tcp, where keepalive and TCP_USER_TIMEOUT are set.
const goneAfter = 105 * time.Second

// quiet is one chatd at the near end of a link, and a client at the far end.
type quiet struct {
	what   string
	server *server
	far    *client.Client
	talker *client.Client // at the near end; nil: nothing is said
	gone   time.Duration  // after which the far one had no place any more; 0: it has
}

// silence is a network that falls silent. Small, it comes back before anybody is
// given up, and nothing is lost.
func silence(x *run) {
	x.doing("four chatd in a network namespace, a client of each in another, the link between them is cut")
	l := x.link()
	var all []*quiet
	for _, secure := range []bool{false, true} {
		for _, talks := range []bool{false, true} {
			all = append(all, x.quiet(l, secure, talks))
		}
	}
	if err := l.cut(); err != nil {
		x.Fatal(err)
	}
	cut := time.Now()
	if !x.size.patient {
		x.hiccup(l, all)
		return
	}
	here := func(q *quiet) bool { return q.gone == 0 }
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
			q.gone = time.Since(cut) // it is not, and its row says how long that was waited for
		}
		x.within(q.what+" gone after", q.gone, goneAfter)
	}
}

// quiet starts one.
func (x *run) quiet(l *link, secure, talks bool) *quiet {
	x.Helper()
	q := &quiet{what: "idle"}
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
	ctx, cancel := context.WithTimeout(life, patience)
	defer cancel()
	err := p.Do(func() (err error) {
		c, err = client.Dial(ctx, cfg)
		return err
	})
	if err != nil {
		x.Fatal(err)
	}
	x.Cleanup(func() { go c.Close() }) // a cut link would have it wait for an answer
	return c
}

// talk says something at the near end, if anybody is to.
func (q *quiet) talk(text string) {
	if q.talker != nil {
		if err := q.talker.Say(text); err != nil {
			q.server.x.Errorf("%s: the one who is near: %v", q.what, err)
		}
	}
}

// stays is how many clients have a place when the far one has none.
func (q *quiet) stays() int64 {
	if q.talker != nil {
		return 1
	}
	return 0
}

// hiccup mends the link after a moment: whatever was said meanwhile is heard.
func (x *run) hiccup(l *link, all []*quiet) {
	const lines = 5
	for i := range lines {
		for _, q := range all {
			q.talk(fmt.Sprint(i))
		}
		x.pause(x.size.trouble / lines)
	}
	if err := l.mend(); err != nil {
		x.Fatal(err)
	}
	lost := int64(0)
	for _, q := range all {
		if q.talker != nil {
			lost += lines - q.hears(lines)
		}
	}
	x.exactly("messages lost over a cut of "+x.size.trouble.String(), lost, 0)
	for _, q := range all {
		x.exactly(q.what+": clients", q.server.stats().Room.Clients, q.stays()+1)
	}
}

// hears gives how many of so many messages the far one hears in order.
func (q *quiet) hears(lines int64) (n int64) {
	patient := time.After(patience)
	for n < lines {
		select {
		case e, ok := <-q.far.Events():
			if said, is := e.(client.Said); is && said.Text == fmt.Sprint(n) {
				n++
			} else if !ok {
				return n
			}
		case <-patient:
			return n
		}
	}
	return n
}
