package nemesis

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"chatbench/core/wire"
)

// roomClient is a client of a roomCase.
type roomClient struct {
	*chatConn
	p    *serverPair
	name string
}

// connect connects to one of the servers.
func (p *serverPair) connect(at int) *chatConn {
	p.Helper()
	conn, err := net.DialTimeout("tcp", p.servers[at].Addr().String(), timeout)
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { conn.Close() })
	return newChatConn(conn)
}

// tryLogin sends the login of a client, again and again while its server is cut off: it is for a moment
// after this process has not run for some seconds. denied is the reason of a denial, "" if it is let in.
func (p *serverPair) tryLogin(at int, name string) (g *roomClient, denied string) {
	p.Helper()
	for until := time.Now().Add(timeout); ; time.Sleep(10 * time.Millisecond) {
		c := p.connect(at)
		denied, err := c.login(name, timeout)
		if err != nil {
			p.Fatalf("%s: log in: %v", name, err)
		}
		if denied != cutOffDenial || time.Now().After(until) {
			c.SetDeadline(time.Now().Add(timeout))
			return &roomClient{c, p, name}, denied
		}
	}
}

func (p *serverPair) enter(at int, name string) *roomClient {
	p.Helper()
	g, denied := p.tryLogin(at, name)
	if denied != "" {
		p.Fatalf("%s is denied: %s", name, denied)
	}
	return g
}

// enterSoon enters when the name is free, which takes a moment after its owner has left.
func (p *serverPair) enterSoon(at int, name string) *roomClient {
	p.Helper()
	for until := time.Now().Add(timeout); ; time.Sleep(10 * time.Millisecond) {
		g, denied := p.tryLogin(at, name)
		if denied == "" {
			return g
		}
		if denied != wire.NameTaken || time.Now().After(until) {
			p.Fatalf("%s is denied: %s", name, denied)
		}
	}
}

// send writes frames.
func (g *roomClient) send(frames []byte) {
	g.p.Helper()
	if _, err := g.Write(frames); err != nil {
		g.p.Fatalf("%s: %v", g.name, err)
	}
}

// until reads until a frame of a type for which wanted is true.
func (g *roomClient) until(what string, kind wire.Type, wanted func(body string) bool) wire.Frame {
	g.p.Helper()
	for {
		f, err := g.next()
		if err != nil {
			g.p.Fatalf("%s: %v, before %s", g.name, err, what)
		}
		if f.Type == kind && wanted(string(f.Body)) {
			return f
		}
	}
}

// waitForLine reads until a line.
func (g *roomClient) waitForLine(said string) {
	g.p.Helper()
	g.until(said, wire.Chat, func(body string) bool { return body == said })
}

// waitForNotice reads until a notice with all these parts.
func (g *roomClient) waitForNotice(parts ...string) {
	g.p.Helper()
	g.until(strings.Join(parts, " "), wire.Chat, func(body string) bool {
		return strings.HasPrefix(body, wire.ServerName+": ") && !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(body, part) })
	})
}

// lines reads n lines of clients, and skips notices.
func (g *roomClient) lines(n int) (all []string) {
	g.p.Helper()
	for len(all) < n {
		f := g.until(fmt.Sprintf("line %d of %d", len(all), n), wire.Chat, func(body string) bool { return !strings.HasPrefix(body, wire.ServerName+": ") })
		all = append(all, string(f.Body))
	}
	return all
}

// waitForNames asks who is in the room, until all these names are.
func (g *roomClient) waitForNames(names ...string) {
	g.p.Helper()
	for until := time.Now().Add(timeout); ; time.Sleep(5 * time.Millisecond) {
		g.send(wire.AppendChat(nil, "/who"))
		var there []string
		g.until("the answer to /who", wire.Chat, func(body string) (is bool) {
			there, is = whoNames(strings.TrimPrefix(body, wire.ServerName+": "))
			return is
		})
		if !slices.ContainsFunc(names, func(name string) bool { return !slices.Contains(there, name) }) {
			return
		}
		if time.Now().After(until) {
			g.p.Fatalf("%s is told that %q are in the room, want all of %q", g.name, there, names)
		}
	}
}

// expectFile reads until a file frame, which has to be this one.
func (g *roomClient) expectFile(command wire.Command, body string) {
	g.p.Helper()
	f := g.until(body, wire.File, func(string) bool { return true })
	if f.Command != command || string(f.Body) != body {
		g.p.Fatalf("%s received %d %q, want %d %q", g.name, f.Command, f.Body, command, body)
	}
}
