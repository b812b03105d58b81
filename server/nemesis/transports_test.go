package nemesis

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"

	natsd "github.com/nats-io/nats-server/v2/server"

	"chatbench/backends"
	"chatbench/backends/all"
	"chatbench/backends/epoll"
	"chatbench/backends/gnet"
	"chatbench/backends/goroutine"
	forking "chatbench/backends/process"
	"chatbench/core"
	"chatbench/core/wire"
	"chatbench/server"
)

var everyTransport = flag.Bool("every-transport", false, "TestTransports holds every transport to its cases, not four")

// roomCase is a case about a room, between clients of two servers.
type roomCase struct {
	name string
	run  func(*pair)
}

// roomCases are those of the suite of backends that are about the room, each as it has to be
// where the room is on two servers. The last one ends a server.
var roomCases = []roomCase{
	{"one-order-for-all", oneOrderForAll},
	{"burst", burstOfOne},
	{"any-text", anyText},
	{"one-name-twice", oneNameTwice},
	{"joined-and-left", joinedAndLeft},
	{"who", whoIsThere},
	{"relay-every-command", relayEveryCommand},
	{"relay-in-order", relayInOrder},
	{"relay-nobody", relayNobody},
	{"last-words", lastWords},
	{"end-of-a-server", endOfAServer},
}

// TestTransports: a room on two servers is one room, whatever the transport.
func TestTransports(t *testing.T) {
	list := []backends.Backend{epoll.Backend, goroutine.Backend, forking.Backend, gnet.Backend}
	if *everyTransport {
		list = all.All()
	}
	url := startNATS(t)
	for _, b := range list {
		t.Run(b.Name, func(t *testing.T) {
			if err := b.Runs(); err != nil {
				t.Skipf("%s cannot run on this machine: %v", b.Name, err)
			}
			servers := [2]*server.Server{startServer(t, b, url), startServer(t, b, url)}
			for _, c := range roomCases {
				t.Run(c.name, func(t *testing.T) { c.run(&pair{t, servers}) })
			}
		})
	}
}

// startNATS is a NATS server in this process.
func startNATS(t *testing.T) (url string) {
	s, err := natsd.NewServer(&natsd.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	if !s.ReadyForConnections(patience) {
		t.Fatal("NATS does not start")
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s.ClientURL()
}

// startServer is a chat server in this process, in a room that is called like its transport.
func startServer(t *testing.T, b backends.Backend, url string) *server.Server {
	o := server.Defaults()
	o.Backend, o.Listen, o.Open, o.MaxClients, o.Flood = b, "127.0.0.1:0", true, 100, core.Flood{}
	o.Cluster.URLs, o.Cluster.Room, o.Cluster.MaxBytes = url, b.Name, 16<<20
	o.JSON, o.Out, o.Log = true, io.Discard, slog.New(slog.DiscardHandler)
	s, err := server.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Errorf("Stop: %v", err)
		}
	})
	return s
}

// pair is two servers of one room. Clients of a case leave at its end, so that names of other
// cases may still be there for a moment: each case has its own.
type pair struct {
	*testing.T
	servers [2]*server.Server
}

// oneOrderForAll: everybody hears everything, once and in one order, and what one says in its own.
func oneOrderForAll(p *pair) {
	const lines = 200
	var guests []*guest
	for i := range 4 {
		guests = append(guests, p.enter(i%2, fmt.Sprint("order", i)))
	}
	for _, g := range guests {
		go func() {
			for i := range lines {
				g.say(fmt.Sprint(i)) // what is not said is not heard
			}
		}()
	}
	first := guests[0].lines(lines * len(guests))
	for _, g := range guests[1:] {
		if !slices.Equal(g.lines(lines*len(guests)), first) {
			p.Errorf("%s and %s heard two orders", guests[0].name, g.name)
		}
	}
	for _, g := range guests {
		n := 0
		for _, line := range first {
			if number, is := strings.CutPrefix(line, g.name+": "); is {
				if number != fmt.Sprint(n) {
					p.Fatalf("%s is heard with %s, want %d", g.name, number, n)
				}
				n++
			}
		}
		if n != lines {
			p.Errorf("%d lines of %s are heard, want %d", n, g.name, lines)
		}
	}
}

// burstOfOne: many lines in one write, more than a message between servers holds.
func burstOfOne(p *pair) {
	const lines = 5000
	near, far := p.enter(0, "burst-near"), p.enter(1, "burst-far")
	var all []byte
	for i := range lines {
		all = wire.AppendChat(all, fmt.Sprintf("%d %s", i, strings.Repeat("x", 40)))
	}
	go near.Write(all)
	for _, g := range []*guest{far, near} {
		for i, line := range g.lines(lines) {
			if want := fmt.Sprintf("burst-near: %d %s", i, strings.Repeat("x", 40)); line != want {
				p.Fatalf("%s heard %q, want %q", g.name, line, want)
			}
		}
	}
}

// anyText: an empty line, the longest, and one that is made safe.
func anyText(p *pair) {
	near, far := p.enter(0, "text-near"), p.enter(1, "text-far")
	longest := strings.Repeat("y", wire.MaxFrame-2)
	for _, c := range []struct{ said, heard string }{{"", ""}, {longest, longest}, {"a\nb\x1b", "a␤b\ufffd"}, {"안녕", "안녕"}} {
		near.send(wire.AppendChat(nil, c.said))
		far.hears("text-near: " + c.heard)
		far.send(wire.AppendChat(nil, c.said))
		near.hears("text-far: " + c.heard)
	}
}

// oneNameTwice: a name is in the room once, in whatever form, and free when its owner has left.
func oneNameTwice(p *pair) {
	ann := p.enter(0, "Ann")
	for at, name := range []string{"ann", "ANN"} {
		if _, denied := p.knock(at, name); denied != wire.NameTaken {
			p.Errorf("%s at the server %d: denied %q, want %q", name, at, denied, wire.NameTaken)
		}
	}
	ann.send(wire.AppendClose(nil))
	p.enterSoon(1, "ann")
}

// joinedAndLeft: those at one server are told who comes and goes by way of the other.
func joinedAndLeft(p *pair) {
	for at := range 2 {
		stays := p.enter(at, fmt.Sprint("stays", at))
		visitor := p.enter(1-at, fmt.Sprint("visitor", at))
		stays.isTold(visitor.name, "joined")
		visitor.Close()
		stays.isTold(visitor.name, "left")
	}
}

// whoIsThere: each server names all.
func whoIsThere(p *pair) {
	near, far := p.enter(0, "who-near"), p.enter(1, "who-far")
	near.sees("who-near", "who-far")
	far.sees("who-near", "who-far")
}

// relayEveryCommand: a file frame goes to whom it names, with the name of its sender in place.
func relayEveryCommand(p *pair) {
	ann, bob := p.enter(0, "file-ann"), p.enter(1, "file-bob")
	ann.sees(bob.name)
	bob.sees(ann.name)
	const file = " dir/a file.txt"
	for _, way := range [][2]*guest{{ann, bob}, {bob, ann}} {
		from, to := way[0], way[1]
		for _, c := range []struct {
			command    wire.Command
			sent, want string
		}{
			{wire.LsReq, "", ""}, {wire.LsStart, "", ""}, {wire.LsBody, file, file}, {wire.LsEnd, "", ""},
			{wire.DnReq, file, file}, {wire.DnAck, file + " 10.9.8.7 50000", file + " 127.0.0.1 50000"}, {wire.DnNack, file, file},
		} {
			from.send(wire.AppendFile(nil, c.command, strings.ToUpper(to.name), []byte(c.sent)))
			to.expectFile(c.command, from.name+c.want)
		}
		to.isTold("File not found: dir/a file.txt")
	}
}

// relayInOrder: file frames from one to another keep their order, while both talk.
func relayInOrder(p *pair) {
	const frames = 50
	ann, bob := p.enter(0, "many-ann"), p.enter(1, "many-bob")
	ann.sees(bob.name)
	var all []byte
	for i := range frames {
		all = wire.AppendFile(all, wire.LsBody, bob.name, fmt.Append(nil, " ", i))
		all = wire.AppendChat(all, fmt.Sprint(i))
	}
	ann.send(all)
	for i := range frames {
		bob.expectFile(wire.LsBody, fmt.Sprint(ann.name, " ", i))
	}
}

// relayNobody: who is nowhere is said to the one who asks.
func relayNobody(p *pair) {
	ann := p.enter(0, "nobody-ann")
	ann.send(wire.AppendFile(nil, wire.DnReq, "Zoe", []byte(" file")))
	ann.isTold("No such user: Zoe")
}

// lastWords: what is said before a goodbye, or a FIN, is said.
func lastWords(p *pair) {
	hears := p.enter(1, "words-far")
	for i, leave := range []func(*guest) error{
		func(g *guest) error { _, err := g.Write(wire.AppendClose(nil)); return err },
		func(g *guest) error { return g.Conn.(*net.TCPConn).CloseWrite() },
	} {
		g := p.enter(0, fmt.Sprint("words", i))
		g.send(wire.AppendChat(nil, "last words"))
		if err := leave(g); err != nil {
			p.Fatal(err)
		}
		hears.hears(g.name + ": last words")
	}
}

// endOfAServer: those at the other server hear what was said at last, and who has left, and the
// names are free.
func endOfAServer(p *pair) {
	far, near := p.enter(1, "end-far"), p.enter(0, "end-near")
	far.isTold(near.name, "joined")
	near.send(wire.AppendChat(nil, "the end"))
	near.hears("end-near: the end")
	go func() { // it closes when the server does
		for {
			if _, err := near.next(); err != nil {
				near.Close()
				return
			}
		}
	}()
	if err := p.servers[0].Stop(context.Background()); err != nil {
		p.Error(err)
	}
	far.hears("end-near: the end")
	far.isTold("end-near", "left")
	p.enterSoon(1, "end-near").sees("end-near", "end-far")
}
