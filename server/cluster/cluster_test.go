package cluster

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"chatbench/core"
	"chatbench/core/wire"
)

// TestMain lets all tests run at once, whatever the number of CPUs: they wait more than they compute.
func TestMain(m *testing.M) {
	flag.Set("test.parallel", "20")
	os.Exit(m.Run())
}

// patience is how long a test waits for what must come.
const patience = 2 * time.Minute

// testCluster is the servers and clients of a test.
type testCluster struct {
	t        *testing.T
	nats     *natsServer // the first one, if there are several
	urls     string
	replicas int
	nodes    []*node
	pause    time.Duration // the longest time for which this process seems not to have run
}

// node is one server of the room, without a transport.
type node struct {
	*Cluster
	room    *core.Room
	clients []*client
}

// client is a client, and the octets that it has received.
type client struct {
	*core.Session
	got []byte
}

type noWaker struct{}

func (noWaker) WakeRoom()          {}
func (noWaker) Wake(*core.Session) {}

// newTestCluster starts a room on a number of servers.
func newTestCluster(t *testing.T, servers int) *testCluster {
	t.Parallel()
	tc := &testCluster{t: t, nats: startNATS(t), replicas: 1}
	tc.urls = tc.nats.ClientURL()
	for range servers {
		tc.addServer(core.Config{Announce: true})
	}
	return tc
}

// addServer adds a server to the room. As an operator would, it starts it again while that fails: NATS
// servers may take long to elect a leader.
func (tc *testCluster) addServer(cfg core.Config) *node {
	tc.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		n, err := tc.startServer(cfg)
		if err == nil {
			tc.nodes = append(tc.nodes, n)
			tc.t.Cleanup(n.Close)
			return n
		}
		if time.Now().After(deadline) {
			tc.t.Fatal(err)
		}
	}
}

func (tc *testCluster) startServer(cfg core.Config) (n *node, err error) {
	var log io.Writer = io.Discard
	if testing.Verbose() {
		log = os.Stderr
	}
	n = &node{}
	n.Cluster, err = Open(tc.t.Context(), Config{
		URLs: tc.urls, Room: "test", MaxAge: time.Hour, MaxBytes: 64 << 20, Replicas: tc.replicas,
		History: cfg.History, Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		return nil, err
	}
	n.cutOffAfter, n.names.deadAfter, n.names.verifyInterval = 4*time.Second, 6*time.Second, time.Second
	cfg.Authenticator, cfg.Now, cfg.LoginTimeout, cfg.Cluster, cfg.Node = core.OpenDoor{}, time.Now(), patience, n.Cluster, n.Node()
	n.room = core.NewRoom(cfg)
	return n, n.Start(tc.t.Context(), n.room)
}

// waitUntil waits until done is true. Meanwhile it acts as the transport of all clients.
func (tc *testCluster) waitUntil(what string, done func() bool) {
	tc.t.Helper()
	began := time.Now()
	for last := began; !done(); time.Sleep(time.Millisecond) {
		tc.pause, last = max(tc.pause, time.Since(last)), time.Now()
		for _, n := range tc.nodes {
			n.room.Tick(time.Now())
			for _, c := range n.clients {
				c.readAll()
			}
		}
		if time.Since(began) > patience {
			tc.t.Fatalf("timed out waiting until %s", what)
		}
	}
}

func (c *client) readAll() {
	for p := c.Next(); p != nil; p = c.Next() {
		c.got = append(c.got, p...)
		c.Wrote(len(p))
	}
}

// tryLogin logs a new client in, again and again while its server is cut off, and waits for another
// answer. A server is cut off for a moment after this process has not run for some seconds.
func (tc *testCluster) tryLogin(n *node, name string) (c *client) {
	tc.t.Helper()
	tc.waitUntil(name+"'s server is not cut off", func() bool {
		c = tc.tryLoginOnce(n, name)
		return !c.received("denied " + errCutOff.Error())()
	})
	return c
}

// tryLoginOnce sends the login of a new client, and waits for the answer.
func (tc *testCluster) tryLoginOnce(n *node, name string) *client {
	tc.t.Helper()
	c := &client{Session: n.room.Join(netip.MustParseAddrPort("192.0.2.1:4000"), noWaker{}, nil)}
	n.clients = append(n.clients, c)
	c.Feed(wire.AppendCred(nil, name, "x"))
	tc.waitUntil(name+" is answered", func() bool { return bytes.HasPrefix(c.got, []byte{byte(wire.Cred)}) })
	return c
}

// login logs a new client in. It must be let in.
func (tc *testCluster) login(n *node, name string) *client {
	tc.t.Helper()
	c := tc.tryLogin(n, name)
	if c.State() != core.StateGrant {
		tc.t.Fatalf("%s is told %q", name, c.got)
	}
	c.got = nil
	return c
}

// received returns a condition: the client has received these octets.
func (c *client) received(part string) func() bool {
	return func() bool { return bytes.Contains(c.got, []byte(part)) }
}

// fileFrames is the file frames that a client has received.
func (c *client) fileFrames() (frames []byte) {
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

// lines is the lines of clients, not of the server, that a client has received.
func (c *client) lines() (frames []string) {
	for f := range strings.SplitSeq(string(c.got), "\x00") {
		if strings.Contains(f, ": ") && !strings.HasPrefix(f, "server: ") {
			frames = append(frames, f)
		}
	}
	return frames
}

// checkLines fails unless all clients have received the same lines, among them the lines 0 to n-1
// of each of these names, in order.
func checkLines(t *testing.T, n int, names []string, all ...*client) {
	t.Helper()
	first := all[0].lines()
	for _, c := range all[1:] {
		if got := c.lines(); strings.Join(got, "|") != strings.Join(first, "|") {
			t.Errorf("one client received %q, another %q", first, got)
		}
	}
	next := map[string]int{}
	for _, f := range first {
		name, text, _ := strings.Cut(f, ": ")
		if text != fmt.Sprint(next[name]) {
			t.Fatalf("%s: line %q, want %d", name, text, next[name])
		}
		next[name]++
	}
	for _, name := range names {
		if next[name] != n {
			t.Errorf("received %d lines of %s, want %d", next[name], name, n)
		}
	}
}

// All clients receive the lines in the same order, on whatever server.
func TestOneOrder(t *testing.T) {
	tc := newTestCluster(t, 2)
	ann, bob := tc.login(tc.nodes[0], "ann"), tc.login(tc.nodes[1], "bob")
	const lines = 2000
	for i := range lines {
		ann.say(fmt.Sprint(i))
		bob.say(fmt.Sprint(i))
	}
	tc.waitUntil("all lines are received", func() bool { return len(ann.lines()) >= 2*lines && len(bob.lines()) >= 2*lines })
	checkLines(t, lines, []string{"ann", "bob"}, ann, bob)
	for _, n := range tc.nodes {
		if st := n.room.Snapshot(); st.Messages != 2*lines || n.room.Undelivered() != 0 {
			t.Errorf("%d messages, %d octets undelivered", st.Messages, n.room.Undelivered())
		}
		st := n.Stats()
		if st.Sequence == 0 || st.Sequence != tc.nodes[0].Stats().Sequence {
			t.Errorf("%d messages of the stream were delivered, to the first server %d", st.Sequence, tc.nodes[0].Stats().Sequence)
		}
		if took := st.Latency; took.Count == 0 || took.Count > st.Sequence || took.Sum <= 0 || took.Within[len(took.Within)-1] != took.Count {
			t.Errorf("latency of %d messages: %+v", st.Sequence, took)
		}
	}
}

// A name is in the room once, and free when its owner has left.
func TestNames(t *testing.T) {
	tc := newTestCluster(t, 2)
	a, b := tc.nodes[0], tc.nodes[1]
	ann := tc.login(a, "Ann")
	if c := tc.tryLogin(b, "ANN"); !c.received("denied name is taken")() {
		t.Errorf("told %q", c.got)
	}
	if c := tc.tryLogin(a, "ann"); !c.received("denied name is taken")() {
		t.Errorf("told %q", c.got)
	}
	bob := tc.login(b, "bob")
	tc.waitUntil("the names are known", func() bool { return a.names.serverOf("bob") == b.Node() && b.names.serverOf("ann") == a.Node() })
	bob.say("/who")
	tc.waitUntil("bob is told", bob.received("server: 2 here: Ann, bob\x00"))
	ann.Leave(core.ReasonEOF)
	a.clients = a.clients[:0]
	tc.waitUntil("the name is free", func() bool { return b.names.serverOf("ann") == "" })
	tc.login(b, "ann")
	if _, n := b.RemoteNames(1000); n != 0 {
		t.Errorf("%d clients on other servers, want 0", n)
	}
}

// Clients that leave leave no names behind.
func TestNamesDoNotLeak(t *testing.T) {
	tc := newTestCluster(t, 2)
	a, b := tc.nodes[0], tc.nodes[1]
	for i := range 200 {
		var c *client
		tc.waitUntil("the name is free", func() bool { // at once, unless the request that removed it was answered late
			c = tc.tryLogin(a, fmt.Sprint("user", i%20))
			return c.State() == core.StateGrant
		})
		c.Leave(core.ReasonEOF)
		a.clients = nil
		tc.waitUntil("the name is released", func() bool { return a.names.queued() == 0 })
	}
	tc.waitUntil("nobody is there", func() bool {
		_, n := b.RemoteNames(1000)
		b.names.mu.Lock()
		defer b.names.mu.Unlock()
		return n == 0 && len(b.names.view.names) == 0
	})
	a.names.mu.Lock()
	defer a.names.mu.Unlock()
	if len(a.names.own) != 0 {
		t.Errorf("%d names are left", len(a.names.own))
	}
}

// File frames reach their addressee on another server, in order.
func TestFiles(t *testing.T) {
	tc := newTestCluster(t, 2)
	ann, bob := tc.login(tc.nodes[0], "ann"), tc.login(tc.nodes[1], "Bob")
	tc.waitUntil("bob is known", func() bool { return tc.nodes[0].names.serverOf("bob") != "" })
	const files = 100
	for i := range files {
		ann.Feed(wire.AppendFile(nil, wire.LsBody, "BOB", fmt.Append(nil, " ", i)))
	}
	var want []byte
	for i := range files {
		want = wire.AppendFile(want, wire.LsBody, "ann", fmt.Append(nil, " ", i))
	}
	tc.waitUntil("all frames are there", func() bool { return len(bob.fileFrames()) >= len(want) })
	if !bytes.Equal(bob.fileFrames(), want) {
		t.Errorf("bob is given %q", bob.got)
	}
	ann.Feed(wire.AppendFile(nil, wire.DnAck, "bob", []byte(" a 10.9.8.7 5000")))
	tc.waitUntil("the address is there", bob.received("\x02\x05ann a 192.0.2.1 5000\x00"))
	ann.Feed(wire.AppendFile(nil, wire.LsReq, "Zoe", nil))
	tc.waitUntil("ann is told", ann.received("server: No such user: Zoe\x00"))
}

// A server that starts has the last lines of the stream as its history.
func TestHistory(t *testing.T) {
	tc := newTestCluster(t, 1)
	ann := tc.login(tc.nodes[0], "ann")
	for i := range 50 {
		ann.say(fmt.Sprint(i))
		tc.waitUntil("the line is received", ann.received(fmt.Sprintf("ann: %d\x00", i)))
	}
	b := tc.addServer(core.Config{History: 5})
	bob := tc.tryLogin(b, "bob")
	tc.waitUntil("bob is told", bob.received("ann: 49"))
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
	c := tc.addServer(core.Config{History: 5}) // it does not wait for messages that were purged
	cid := tc.login(c, "cid")
	cid.say("0")
	tc.waitUntil("the line is received", ann.received("cid: 0"))
}

// Delivery waits for a transport that is behind with writing.
func TestPace(t *testing.T) {
	tc := newTestCluster(t, 1)
	n := tc.nodes[0]
	ann := tc.login(n, "ann")
	for range 40 {
		for range 10 {
			ann.say(strings.Repeat("x", 4000))
		}
		for n.room.Undelivered() > 0 { // and the test writes nothing to ann
			time.Sleep(time.Millisecond)
		}
	}
	if !n.room.HasUnwritten(paceLag) {
		t.Fatal("no client is behind")
	}
	other := &Cluster{room: n.room, ended: t.Context()}
	began := time.Now()
	other.pace(paceEvery - 1)
	other.pace(1)
	if d := time.Since(began); d < paceTimeout {
		t.Errorf("waited for %v, want %v", d, paceTimeout)
	}
}
