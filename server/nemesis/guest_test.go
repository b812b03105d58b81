package nemesis

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"chatbench/core/wire"
)

// guest is a client of a case.
type guest struct {
	*talk
	p    *pair
	name string
}

// connect connects to one of the servers.
func (p *pair) connect(at int) *talk {
	p.Helper()
	conn, err := net.DialTimeout("tcp", p.servers[at].Addr().String(), patience)
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { conn.Close() })
	return newTalk(conn)
}

// knock has a client log in, and gives why it is turned away: "" if it is not.
func (p *pair) knock(at int, name string) (g *guest, denied string) {
	p.Helper()
	c := p.connect(at)
	denied, err := c.login(name, patience)
	if err != nil {
		p.Fatalf("%s: log in: %v", name, err)
	}
	c.SetDeadline(time.Now().Add(patience))
	return &guest{c, p, name}, denied
}

func (p *pair) enter(at int, name string) *guest {
	p.Helper()
	g, denied := p.knock(at, name)
	if denied != "" {
		p.Fatalf("%s is denied: %s", name, denied)
	}
	return g
}

// enterSoon enters when the name is free, which it is a moment after its owner has left.
func (p *pair) enterSoon(at int, name string) *guest {
	p.Helper()
	for until := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		g, denied := p.knock(at, name)
		if denied == "" {
			return g
		}
		if denied != wire.NameTaken || time.Now().After(until) {
			p.Fatalf("%s is denied: %s", name, denied)
		}
	}
}

// send writes frames.
func (g *guest) send(frames []byte) {
	g.p.Helper()
	if _, err := g.Write(frames); err != nil {
		g.p.Fatalf("%s: %v", g.name, err)
	}
}

// until reads until a frame is of a type and is what is wanted.
func (g *guest) until(what string, kind wire.Type, wanted func(body string) bool) wire.Frame {
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

// hears reads until a line is said.
func (g *guest) hears(said string) {
	g.p.Helper()
	g.until(said, wire.Chat, func(body string) bool { return body == said })
}

// isTold reads until a notice has all these parts.
func (g *guest) isTold(parts ...string) {
	g.p.Helper()
	g.until(strings.Join(parts, " "), wire.Chat, func(body string) bool {
		return strings.HasPrefix(body, wire.ServerName+": ") && !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(body, part) })
	})
}

// lines reads so many lines of other clients than the server.
func (g *guest) lines(n int) (all []string) {
	g.p.Helper()
	for len(all) < n {
		f := g.until(fmt.Sprintf("line %d of %d", len(all), n), wire.Chat, func(body string) bool { return !strings.HasPrefix(body, wire.ServerName+": ") })
		all = append(all, string(f.Body))
	}
	return all
}

// sees asks who is in the room until all of these are.
func (g *guest) sees(names ...string) {
	g.p.Helper()
	for until := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
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
			g.p.Fatalf("%s is told that %q are there, and not all of %q", g.name, there, names)
		}
	}
}

// expectFile reads until a file frame, which has to be as given.
func (g *guest) expectFile(command wire.Command, body string) {
	g.p.Helper()
	f := g.until(body, wire.File, func(string) bool { return true })
	if f.Command != command || string(f.Body) != body {
		g.p.Fatalf("%s was sent %d %q in place of %d %q", g.name, f.Command, f.Body, command, body)
	}
}
