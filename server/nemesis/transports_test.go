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

var everyTransport = flag.Bool("every-transport", false, "TestTransports tests every transport, not only four")

// roomCase is a test case of a room on two servers.
type roomCase struct {
	name string
	run  func(*serverPair)
}

// roomCases are the cases of the conformance suite that are about the room, for a room on two
// servers. The last one ends a server.
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
	{"last-words", linesBeforeTheEnd},
	{"end-of-a-server", endOfAServer},
}

// A room on two servers behaves like one room, with every transport.
func TestTransports(t *testing.T) {
	t.Parallel()
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
				t.Run(c.name, func(t *testing.T) { c.run(&serverPair{t, servers}) })
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
	if !s.ReadyForConnections(timeout) {
		t.Fatal("NATS does not start")
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s.ClientURL()
}

// startServer starts a chat server in this process. Its room has the name of its transport.
func startServer(t *testing.T, b backends.Backend, url string) *server.Server {
	o := server.Defaults()
	o.Backend, o.Listen, o.Open, o.MaxClients, o.Flood = b, "127.0.0.1:0", true, 100, core.Flood{}
	o.Cluster.URLs, o.Cluster.Room, o.Cluster.MaxBytes = url, b.Name, 16<<20
	o.LoginTimeout, o.Drain = timeout, timeout
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

// serverPair is two servers of one room. The clients of a case leave at its end, but their names may still
// be taken for a moment, so each case uses other names.
type serverPair struct {
	*testing.T
	servers [2]*server.Server
}

// oneOrderForAll: all clients receive all lines, once and in the same order; those of one client in
// the order in which it said them.
func oneOrderForAll(p *serverPair) {
	const lines = 200
	var clients []*roomClient
	for i := range 4 {
		clients = append(clients, p.enter(i%2, fmt.Sprint("order", i)))
	}
	for _, g := range clients {
		go func() {
			for i := range lines {
				g.say(fmt.Sprint(i)) // an error shows as a line that nobody receives
			}
		}()
	}
	first := clients[0].lines(lines * len(clients))
	for _, g := range clients[1:] {
		if !slices.Equal(g.lines(lines*len(clients)), first) {
			p.Errorf("%s and %s received different orders", clients[0].name, g.name)
		}
	}
	for _, g := range clients {
		n := 0
		for _, line := range first {
			if number, is := strings.CutPrefix(line, g.name+": "); is {
				if number != fmt.Sprint(n) {
					p.Fatalf("%s: line %s, want %d", g.name, number, n)
				}
				n++
			}
		}
		if n != lines {
			p.Errorf("received %d lines of %s, want %d", n, g.name, lines)
		}
	}
}

// burstOfOne: many lines in one write, more than fit into a message between servers.
func burstOfOne(p *serverPair) {
	const lines = 5000
	near, far := p.enter(0, "burst-near"), p.enter(1, "burst-far")
	var all []byte
	for i := range lines {
		all = wire.AppendChat(all, fmt.Sprintf("%d %s", i, strings.Repeat("x", 40)))
	}
	go near.Write(all)
	for _, g := range []*roomClient{far, near} {
		for i, line := range g.lines(lines) {
			if want := fmt.Sprintf("burst-near: %d %s", i, strings.Repeat("x", 40)); line != want {
				p.Fatalf("%s received %q, want %q", g.name, line, want)
			}
		}
	}
}

// anyText: an empty line, one of the greatest length, and one that is made safe.
func anyText(p *serverPair) {
	near, far := p.enter(0, "text-near"), p.enter(1, "text-far")
	longest := strings.Repeat("y", wire.MaxFrame-2)
	for _, c := range []struct{ said, received string }{{"", ""}, {longest, longest}, {"a\nb\x1b", "a␤b\ufffd"}, {"안녕", "안녕"}} {
		near.send(wire.AppendChat(nil, c.said))
		far.waitForLine("text-near: " + c.received)
		far.send(wire.AppendChat(nil, c.said))
		near.waitForLine("text-far: " + c.received)
	}
}

// oneNameTwice: a name is in the room once, in whatever form, and free when its owner has left.
func oneNameTwice(p *serverPair) {
	ann := p.enter(0, "Ann")
	for at, name := range []string{"ann", "ANN"} {
		if _, denied := p.tryLogin(at, name); denied != wire.NameTaken {
			p.Errorf("%s at the server %d: denied %q, want %q", name, at, denied, wire.NameTaken)
		}
	}
	ann.send(wire.AppendClose(nil))
	p.enterSoon(1, "ann")
}

// joinedAndLeft: clients of one server are told who joins and leaves on the other.
func joinedAndLeft(p *serverPair) {
	for at := range 2 {
		stays := p.enter(at, fmt.Sprint("stays", at))
		visitor := p.enter(1-at, fmt.Sprint("visitor", at))
		stays.waitForNotice(visitor.name, "joined")
		visitor.Close()
		stays.waitForNotice(visitor.name, "left")
	}
}

// whoIsThere: each server lists the clients of both.
func whoIsThere(p *serverPair) {
	near, far := p.enter(0, "who-near"), p.enter(1, "who-far")
	near.waitForNames("who-near", "who-far")
	far.waitForNames("who-near", "who-far")
}

// relayEveryCommand: a file frame reaches its addressee, with the name of its sender.
func relayEveryCommand(p *serverPair) {
	ann, bob := p.enter(0, "file-ann"), p.enter(1, "file-bob")
	ann.waitForNames(bob.name)
	bob.waitForNames(ann.name)
	const file = " dir/a file.txt"
	for _, way := range [][2]*roomClient{{ann, bob}, {bob, ann}} {
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
		to.waitForNotice("File not found: dir/a file.txt")
	}
}

// relayInOrder: file frames between two clients keep their order, while the sender talks.
func relayInOrder(p *serverPair) {
	const frames = 50
	ann, bob := p.enter(0, "many-ann"), p.enter(1, "many-bob")
	ann.waitForNames(bob.name)
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

// relayNobody: the sender of a file frame is told if there is no such user on any server.
func relayNobody(p *serverPair) {
	ann := p.enter(0, "nobody-ann")
	ann.send(wire.AppendFile(nil, wire.DnReq, "Zoe", []byte(" file")))
	ann.waitForNotice("No such user: Zoe")
}

// linesBeforeTheEnd: lines sent before a Close frame or a FIN are delivered.
func linesBeforeTheEnd(p *serverPair) {
	far := p.enter(1, "words-far")
	for i, leave := range []func(*roomClient) error{
		func(g *roomClient) error { _, err := g.Write(wire.AppendClose(nil)); return err },
		func(g *roomClient) error { return g.Conn.(*net.TCPConn).CloseWrite() },
	} {
		g := p.enter(0, fmt.Sprint("words", i))
		g.send(wire.AppendChat(nil, "last words"))
		if err := leave(g); err != nil {
			p.Fatal(err)
		}
		far.waitForLine(g.name + ": last words")
	}
}

// endOfAServer: clients of the other server receive the last lines, and are told who has left. The
// names become free.
func endOfAServer(p *serverPair) {
	far, near := p.enter(1, "end-far"), p.enter(0, "end-near")
	far.waitForNotice(near.name, "joined")
	near.send(wire.AppendChat(nil, "the end"))
	near.waitForLine("end-near: the end")
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
	far.waitForLine("end-near: the end")
	far.waitForNotice("end-near", "left")
	p.enterSoon(1, "end-near").waitForNames("end-near", "end-far")
}
