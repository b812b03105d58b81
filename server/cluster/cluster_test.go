package cluster

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"chatbench/core"
	"chatbench/core/wire"
)

// natsServer is a NATS server with JetStream within this process.
type natsServer struct {
	t    *testing.T
	opts *server.Options
	*server.Server
}

func startNATS(t *testing.T) *natsServer {
	s := &natsServer{t: t, opts: &server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true}}
	s.start()
	t.Cleanup(s.stop)
	return s
}

// start starts it, again at the address and with the streams that it had.
func (s *natsServer) start() {
	s.t.Helper()
	made, err := server.NewServer(s.opts.Clone())
	if err != nil {
		s.t.Fatal(err)
	}
	s.Server = made
	go made.Start()
	if !made.ReadyForConnections(20 * time.Second) {
		s.t.Fatal("NATS does not start")
	}
	s.opts.Port = made.Addr().(*net.TCPAddr).Port
}

func (s *natsServer) stop() {
	s.Shutdown()
	s.WaitForShutdown()
}

// startThree is three NATS servers that are one, of which each keeps a copy.
func startThree(t *testing.T) (all []*natsServer) {
	var routes []string
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		routes = append(routes, "nats://"+l.Addr().String())
		l.Close()
	}
	for i, route := range routes {
		_, port, _ := strings.Cut(strings.TrimPrefix(route, "nats://"), ":")
		number, err := strconv.Atoi(port)
		if err != nil {
			t.Fatal(err)
		}
		s := &natsServer{t: t, opts: &server.Options{
			ServerName: fmt.Sprint("nats", i), Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
			Cluster: server.ClusterOpts{Name: "chat", Host: "127.0.0.1", Port: number},
			Routes:  server.RoutesFromStr(strings.Join(routes, ",")),
		}}
		s.start()
		t.Cleanup(s.stop)
		all = append(all, s)
	}
	return all
}

// world is the servers of a test, and their clients.
type world struct {
	t        *testing.T
	nats     *natsServer // of several, the first
	urls     string
	replicas int
	nodes    []*node
}

// node is one server of the room, without a transport.
type node struct {
	*Cluster
	room    *core.Room
	clients []*client
}

// client is somebody in the room, and what it was given.
type client struct {
	*core.Session
	got []byte
}

type quiet struct{}

func (quiet) WakeRoom()          {}
func (quiet) Wake(*core.Session) {}

// newWorld is a room on so many servers.
func newWorld(t *testing.T, servers int) *world {
	t.Parallel()
	w := &world{t: t, nats: startNATS(t), replicas: 1}
	w.urls = w.nats.ClientURL()
	for range servers {
		w.join(core.Config{Announce: true})
	}
	return w
}

// join starts one more server.
func (w *world) join(cfg core.Config) *node {
	w.t.Helper()
	var log io.Writer = io.Discard
	if testing.Verbose() {
		log = os.Stderr
	}
	n := &node{}
	var err error
	n.Cluster, err = Open(w.t.Context(), Config{
		URLs: w.urls, Room: "test", MaxAge: time.Hour, MaxBytes: 64 << 20, Replicas: w.replicas,
		History: cfg.History, Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	n.lostAfter, n.names.deadAfter, n.names.verifyEvery = 4*time.Second, 6*time.Second, time.Second
	cfg.Authenticator, cfg.Now, cfg.Cluster, cfg.Node = core.OpenDoor{}, time.Now(), n.Cluster, n.Node()
	n.room = core.NewRoom(cfg)
	if err := n.Start(w.t.Context(), n.room); err != nil {
		w.t.Fatal(err)
	}
	w.nodes = append(w.nodes, n)
	w.t.Cleanup(n.Close)
	return n
}

// until is a transport for all clients, until something is true.
func (w *world) until(what string, done func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !done(); time.Sleep(time.Millisecond) {
		for _, n := range w.nodes {
			n.room.Tick(time.Now())
			for _, c := range n.clients {
				c.take()
			}
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("waited in vain until %s", what)
		}
	}
}

func (c *client) take() {
	for p := c.Next(); p != nil; p = c.Next() {
		c.got = append(c.got, p...)
		c.Wrote(len(p))
	}
}

// knock has a client log in, which need not be let in.
func (w *world) knock(n *node, name string) *client {
	w.t.Helper()
	c := &client{Session: n.room.Join(netip.MustParseAddrPort("192.0.2.1:4000"), quiet{}, nil)}
	n.clients = append(n.clients, c)
	c.Feed(wire.AppendCred(nil, name, "x"))
	w.until(name+" is answered", func() bool { return bytes.HasPrefix(c.got, []byte{byte(wire.Cred)}) })
	return c
}

// enter has a client log in.
func (w *world) enter(n *node, name string) *client {
	w.t.Helper()
	c := w.knock(n, name)
	if c.State() != core.StateGrant {
		w.t.Fatalf("%s is told %q", name, c.got)
	}
	c.got = nil
	return c
}

// has says whether a client was given some octets.
func (c *client) has(part string) func() bool {
	return func() bool { return bytes.Contains(c.got, []byte(part)) }
}

// files is the file frames that a client was given.
func (c *client) files() (frames []byte) {
	d := wire.Decoder{Max: wire.MaxFromServer}
	for rest := c.got; ; {
		f, after, ok, err := d.Next(rest)
		if err != nil || !ok {
			return frames
		}
		if rest = after; f.Type == wire.File {
			frames = wire.AppendFile(frames, f.Command, string(f.Body), nil)
		}
	}
}

func (c *client) say(text string) { c.Feed(wire.AppendChat(nil, text)) }

// said is the frames of others than the server that a client heard.
func (c *client) said() (frames []string) {
	for f := range strings.SplitSeq(string(c.got), "\x00") {
		if strings.Contains(f, ": ") && !strings.HasPrefix(f, "server: ") {
			frames = append(frames, f)
		}
	}
	return frames
}

// same fails unless all heard the same, and of each of these names the lines 0 to n-1.
func same(t *testing.T, n int, names []string, all ...*client) {
	t.Helper()
	first := all[0].said()
	for _, c := range all[1:] {
		if got := c.said(); strings.Join(got, "|") != strings.Join(first, "|") {
			t.Errorf("one heard %q, another %q", first, got)
		}
	}
	next := map[string]int{}
	for _, f := range first {
		name, text, _ := strings.Cut(f, ": ")
		if text != fmt.Sprint(next[name]) {
			t.Fatalf("%s is heard with %q, want %d", name, text, next[name])
		}
		next[name]++
	}
	for _, name := range names {
		if next[name] != n {
			t.Errorf("%d lines of %s are heard, want %d", next[name], name, n)
		}
	}
}

// Everybody hears one order, by way of whatever server.
func TestOneOrder(t *testing.T) {
	w := newWorld(t, 2)
	ann, bob := w.enter(w.nodes[0], "ann"), w.enter(w.nodes[1], "bob")
	const lines = 2000
	for i := range lines {
		ann.say(fmt.Sprint(i))
		bob.say(fmt.Sprint(i))
	}
	w.until("all is heard", func() bool { return len(ann.said()) >= 2*lines && len(bob.said()) >= 2*lines })
	same(t, lines, []string{"ann", "bob"}, ann, bob)
	for _, n := range w.nodes {
		if st := n.room.Snapshot(); st.Messages != 2*lines || n.room.Undelivered() != 0 {
			t.Errorf("%d messages, %d octets undelivered", st.Messages, n.room.Undelivered())
		}
		st := n.Stats()
		if st.Sequence == 0 || st.Sequence != w.nodes[0].Stats().Sequence {
			t.Errorf("%d messages of the stream are delivered, %d to the first", st.Sequence, w.nodes[0].Stats().Sequence)
		}
		if took := st.Latency; took.Count == 0 || took.Count > st.Sequence || took.Sum <= 0 || took.Within[len(took.Within)-1] != took.Count {
			t.Errorf("%d messages: they took %+v", st.Sequence, took)
		}
	}
}

// A name is in the room once, and free when its owner has left.
func TestNames(t *testing.T) {
	w := newWorld(t, 2)
	a, b := w.nodes[0], w.nodes[1]
	ann := w.enter(a, "Ann")
	if c := w.knock(b, "ANN"); !c.has("denied name is taken")() {
		t.Errorf("told %q", c.got)
	}
	if c := w.knock(a, "ann"); !c.has("denied name is taken")() {
		t.Errorf("told %q", c.got)
	}
	bob := w.enter(b, "bob")
	w.until("the names are known", func() bool { return a.names.find("bob") == b.Node() && b.names.find("ann") == a.Node() })
	bob.say("/who")
	w.until("bob is told", bob.has("server: 2 here: Ann, bob\x00"))
	ann.Leave(core.ReasonEOF)
	a.clients = a.clients[:0]
	w.until("the name is free", func() bool { return b.names.find("ann") == "" })
	w.enter(b, "ann")
	if _, n := b.Elsewhere(1000); n != 0 {
		t.Errorf("%d are elsewhere", n)
	}
}

// Presence does not grow with those who come and go.
func TestNamesDoNotLeak(t *testing.T) {
	w := newWorld(t, 2)
	a, b := w.nodes[0], w.nodes[1]
	for i := range 200 {
		c := w.enter(a, fmt.Sprint("user", i%20))
		c.Leave(core.ReasonEOF)
		a.clients = nil
		w.until("the name is given back", func() bool { return a.names.waiting() == 0 })
	}
	w.until("nobody is there", func() bool {
		_, n := b.Elsewhere(1000)
		b.names.mu.Lock()
		defer b.names.mu.Unlock()
		return n == 0 && len(b.names.view.names) == 0
	})
	a.names.mu.Lock()
	defer a.names.mu.Unlock()
	if len(a.names.own) != 0 {
		t.Errorf("%d names are held", len(a.names.own))
	}
}

// File frames find their addressee on another server, in order.
func TestFiles(t *testing.T) {
	w := newWorld(t, 2)
	ann, bob := w.enter(w.nodes[0], "ann"), w.enter(w.nodes[1], "Bob")
	w.until("bob is known", func() bool { return w.nodes[0].names.find("bob") != "" })
	const files = 100
	for i := range files {
		ann.Feed(wire.AppendFile(nil, wire.LsBody, "BOB", fmt.Append(nil, " ", i)))
	}
	var want []byte
	for i := range files {
		want = wire.AppendFile(want, wire.LsBody, "ann", fmt.Append(nil, " ", i))
	}
	w.until("all is there", func() bool { return len(bob.files()) >= len(want) })
	if !bytes.Equal(bob.files(), want) {
		t.Errorf("bob is given %q", bob.got)
	}
	ann.Feed(wire.AppendFile(nil, wire.DnAck, "bob", []byte(" a 10.9.8.7 5000")))
	w.until("the address is there", bob.has("\x02\x05ann a 192.0.2.1 5000\x00"))
	ann.Feed(wire.AppendFile(nil, wire.LsReq, "Zoe", nil))
	w.until("ann is told", ann.has("server: No such user: Zoe\x00"))
}

// A server that starts has what was said last for its newcomers.
func TestHistory(t *testing.T) {
	w := newWorld(t, 1)
	ann := w.enter(w.nodes[0], "ann")
	for i := range 50 {
		ann.say(fmt.Sprint(i))
		w.until("it is heard", ann.has(fmt.Sprintf("ann: %d\x00", i)))
	}
	b := w.join(core.Config{History: 5})
	bob := w.knock(b, "bob")
	w.until("bob is told", bob.has("ann: 49"))
	if n := strings.Count(string(bob.got), "server: earlier, "); n != 5 {
		t.Errorf("%d lines: %q", n, bob.got)
	}
	s, err := b.js.Stream(t.Context(), b.streamName())
	if err == nil {
		err = s.Purge(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	c := w.join(core.Config{History: 5}) // it does not wait for what is not there any more
	cid := w.enter(c, "cid")
	cid.say("0")
	w.until("it is heard", ann.has("cid: 0"))
}

// Whoever delivers much waits for a transport that does not come to write.
func TestPace(t *testing.T) {
	w := newWorld(t, 1)
	n := w.nodes[0]
	ann := w.enter(n, "ann")
	for range 40 {
		for range 10 {
			ann.say(strings.Repeat("x", 4000))
		}
		for n.room.Undelivered() > 0 { // and she is not given what she is owed
			time.Sleep(time.Millisecond)
		}
	}
	if !n.room.Unwritten(paceBehind) {
		t.Fatal("nobody is behind")
	}
	other := &Cluster{room: n.room, ended: t.Context()}
	began := time.Now()
	other.pace(paceEvery - 1)
	other.pace(1)
	if d := time.Since(began); d < paceFor {
		t.Errorf("waited for %v, want %v", d, paceFor)
	}
}
