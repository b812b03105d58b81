package nemesis

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"

	"chatbench/internal/spawntest"
	"chatbench/internal/tcptest"
)

const (
	nodes            = 3 // NATS servers, and as many chatd
	clientsPerServer = 4 // clients of each chatd
	steadyClients    = 2 // clients of each chatd that neither insist on a name nor leave by themselves
	timeout          = 2 * time.Minute
	room             = "nemesis"
)

// transports are the transports of the chatd.
var transports = [nodes]string{"epoll", "goroutine", "process"}

// cluster is three NATS servers, three chatd, and clients that talk on them.
type cluster struct {
	*testing.T
	nats, chatd [nodes]*process
	links       [nodes][nodes]*link // of a chatd to a NATS server
	bridged     bool                // each process has a network namespace of its own
	js          jetstream.JetStream
	ctx         context.Context // until the end of the test
	talking     context.Context // until clients stop talking
	stopTalking context.CancelFunc
	cancel      context.CancelFunc
	noLeaving   atomic.Bool // clients do not leave by themselves
	longCut     atomic.Bool // a chatd was cut off so long that its names may have been given to others
	running     sync.WaitGroup

	mu         sync.RWMutex
	sessions   []*session
	violations []string

	// The longest times after the NATS server that led the stream was killed: until NATS had
	// another leader, and then until the room went on.
	elections, afterElection time.Duration
}

// newCluster starts all servers and clients. They end with the test.
func newCluster(t *testing.T) *cluster {
	cl := &cluster{T: t, bridged: noBridge == ""}
	cl.ctx, cl.cancel = context.WithCancel(testContext)
	cl.talking, cl.stopTalking = context.WithCancel(cl.ctx)
	dir := t.TempDir()
	if *keep != "" {
		var err error
		if dir, err = os.MkdirTemp(*keep, "nemesis-*"); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(cl.end) // runs before the directory is removed
	if err := cl.prepare(dir); err != nil {
		t.Fatal(err)
	}
	for _, p := range cl.nats {
		if err := p.start(); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range cl.chatd {
		if err := cl.startChatd(p); err != nil {
			t.Fatal(err)
		}
	}
	for node := range nodes {
		for i := range clientsPerServer {
			p := &user{cl: cl, node: node, index: i, insists: i == 0, leaves: i == 1}
			cl.running.Go(p.run)
		}
	}
	return cl
}

// prepare makes the processes, without starting them, the links between them, and the test's own
// connection to NATS.
func (cl *cluster) prepare(dir string) error {
	ports, err := tcptest.FreePorts(3 * nodes)
	if err != nil {
		return err
	}
	var routes, urls []string
	var hosts [nodes]string
	for i := range nodes {
		name := fmt.Sprint("nats", i)
		cl.nats[i], hosts[i], err = cl.newProcess(name, i, dir)
		if err != nil {
			return err
		}
		routes = append(routes, fmt.Sprintf("nats://%s:%d", hosts[i], ports[nodes+i]))
		urls = append(urls, fmt.Sprintf("nats://%s:%d", hosts[i], ports[i]))
	}
	for i, p := range cl.nats {
		spec, err := json.Marshal(natsSpec{
			Name: p.name, Host: hosts[i], Port: ports[i], RoutePort: ports[nodes+i],
			Routes: strings.Join(routes, ","), Store: filepath.Join(dir, p.name), Log: p.log,
		})
		if err != nil {
			return err
		}
		p.env = []string{natsVariable + "=" + string(spec)}
	}
	for i, transport := range transports {
		p, _, err := cl.newProcess(fmt.Sprint("chatd", i), nodes+i, dir)
		if err != nil {
			return err
		}
		var urlsOfLinks []string
		for k := range nodes {
			if cl.links[i][k], err = newLink(cl.host(), strings.TrimPrefix(urls[k], "nats://")); err != nil {
				return err
			}
			urlsOfLinks = append(urlsOfLinks, "nats://"+cl.links[i][k].listener.Addr().String())
		}
		p.env = []string{chatdVariable + "=yes"}
		p.args = []string{
			"-backend", transport, "-listen", net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[2*nodes+i])), "-open", "-json",
			"-flood", "off", "-login-throttle", "off", "-login-timeout", timeout.String(), "-log-level", "debug",
			"-cluster", strings.Join(urlsOfLinks, ","), "-cluster-room", room, "-cluster-replicas", strconv.Itoa(nodes), "-cluster-size", "256MiB",
		}
		cl.chatd[i] = p
	}
	conn, err := nats.Connect(strings.Join(urls, ","), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(200*time.Millisecond))
	if err != nil {
		return err
	}
	cl.Cleanup(conn.Close)
	cl.js, err = jetstream.New(conn)
	return err
}

// newProcess makes a process, on loopback or in a network namespace of its own, and returns its address.
func (cl *cluster) newProcess(name string, i int, dir string) (p *process, host string, err error) {
	p = &process{name: name, log: filepath.Join(dir, name+".log")}
	if !cl.bridged {
		p.at, err = spawntest.Shared()
		return p, "127.0.0.1", err
	}
	if p.at, err = spawntest.New(unix.CLONE_NEWNET); err != nil {
		return nil, "", err
	}
	host = fmt.Sprint(bridgeNetwork, 11+i)
	if err := ip("link add v%s type veth peer name eth0 netns %d", name, p.at.ID()); err != nil {
		return nil, "", err
	}
	if err := ip("link set v%s master %s up", name, bridgeName); err != nil {
		return nil, "", err
	}
	for _, line := range []string{"ip link set lo up", "ip address add " + host + "/24 dev eth0", "ip link set eth0 up"} {
		if err := p.at.Run(line); err != nil {
			return nil, "", err
		}
	}
	return p, host, nil
}

// host is the test's own address among the nodes.
func (cl *cluster) host() string {
	if cl.bridged {
		return bridgeNetwork + "1"
	}
	return "127.0.0.1"
}

// dial connects to a chatd, which listens on loopback.
func (cl *cluster) dial(node int) (conn net.Conn, err error) {
	p := cl.chatd[node]
	err = p.at.Do(func() (err error) {
		conn, err = net.DialTimeout("tcp", p.args[3], 2*time.Second)
		return err
	})
	return conn, err
}

// startChatd starts a chatd. If NATS is not ready yet it ends, and is started again.
func (cl *cluster) startChatd(p *process) (err error) {
	for range 5 {
		if err = p.start(); err == nil || !cl.pause(500*time.Millisecond) {
			return err
		}
	}
	return err
}

// unexpectedEnds lists the processes that have ended without being killed.
func (cl *cluster) unexpectedEnds() (wrong []string) {
	for _, p := range append(cl.nats[:], cl.chatd[:]...) {
		if p == nil || p.run.Load() == nil {
			continue
		}
		if b := p.run.Load(); !b.running() && !b.killed.Load() {
			wrong = append(wrong, fmt.Sprintf("%s has ended by itself: %v", p.name, b.err))
		}
	}
	return wrong
}

// end ends all processes. It is an error if a chatd does not end well after SIGTERM.
func (cl *cluster) end() {
	cl.cancel()
	for _, p := range cl.chatd {
		if p == nil || p.run.Load() == nil {
			continue
		}
		if b := p.run.Load(); b.running() {
			b.resume() // it may be stopped, if a fault was interrupted
			if err := b.stop(); err != nil {
				cl.Errorf("%s: %v", p.name, err)
			}
		}
	}
	for _, p := range append(cl.nats[:], cl.chatd[:]...) {
		if p != nil && p.run.Load() != nil {
			p.run.Load().killGroup()
		}
	}
	cl.running.Wait()
	for _, p := range append(cl.nats[:], cl.chatd[:]...) {
		if p != nil && cl.bridged {
			p.at.End() // processes that were started there die with it
		}
	}
	for _, all := range cl.links {
		for _, l := range all {
			if l != nil {
				l.listener.Close()
			}
		}
	}
	if !cl.Failed() || testContext.Err() != nil {
		return
	}
	for _, p := range append(cl.nats[:], cl.chatd[:]...) {
		if p != nil && p.run.Load() != nil {
			cl.Logf("the end of the log of %s:\n%s", p.name, p.tail())
		}
	}
}

// pause waits, and returns false if the test ends meanwhile.
func (cl *cluster) pause(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-cl.ctx.Done():
		return false
	}
}

// await waits until done is true, and returns whether it is, and how long that took.
func (cl *cluster) await(done func() bool) (is bool, took time.Duration) {
	began := time.Now()
	for !done() {
		if time.Since(began) > timeout || !cl.pause(20*time.Millisecond) {
			return false, time.Since(began)
		}
	}
	return true, time.Since(began)
}

// waitForProgress waits until steadyClients clients of each chatd are in the room, and all clients in the room
// have received lines from all chatd that were said after a time. It returns how long after that
// time this was.
func (cl *cluster) waitForProgress(after time.Time) time.Duration {
	on, _ := cl.await(func() bool {
		all, by := cl.in()
		for _, n := range by {
			if n < steadyClients {
				return false
			}
		}
		for _, v := range all {
			if !v.hasReceivedSince(after) {
				return false
			}
		}
		return true
	})
	if !on && cl.ctx.Err() == nil {
		_, by := cl.in()
		cl.violate("the room did not go on within %v; clients on each chatd: %v", timeout, by)
	}
	return time.Since(after)
}

// leader is the NATS server that leads the stream. If that cannot be found out, known is false, and
// node is otherwise.
func (cl *cluster) leader(otherwise int) (node int, known bool) {
	ctx, cancel := context.WithTimeout(cl.ctx, 5*time.Second)
	defer cancel()
	s, err := cl.js.Stream(ctx, "CHAT_"+room)
	if err != nil || s.CachedInfo().Cluster == nil {
		return otherwise, false
	}
	for i, p := range cl.nats {
		if p.name == s.CachedInfo().Cluster.Leader {
			return i, true
		}
	}
	return otherwise, false
}

// The bridge that joins the nodes' network namespaces.
const (
	bridgeName    = "room"
	bridgeNetwork = "10.214.1."
)

// noBridge says why the nodes are on loopback, "" if they are not.
var noBridge = "only -nemesis uses network namespaces"

// enterNetworkNamespace executes this program again, in a network namespace of its own, and then
// makes a bridge there. If that is not possible, noBridge says why.
func enterNetworkNamespace() {
	if os.Getenv(namespaceVariable) != "" {
		noBridge = ""
		for _, line := range []string{
			"link set lo up", "link add " + bridgeName + " type bridge",
			"address add " + bridgeNetwork + "1/24 dev " + bridgeName, "link set " + bridgeName + " up",
		} {
			if err := ip("%s", line); err != nil {
				noBridge = err.Error()
				return
			}
		}
		return
	}
	self, err := os.Executable()
	if err == nil {
		_, err = exec.LookPath("ip")
	}
	switch {
	case os.Geteuid() != 0:
		noBridge = "only root can make network namespaces"
		return
	case err != nil:
		noBridge = err.Error()
		return
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		noBridge = "cannot make a network namespace: " + err.Error()
		return
	}
	err = unix.Exec(self, os.Args, append(os.Environ(), namespaceVariable+"=yes"))
	fmt.Fprintln(os.Stderr, "nemesis: cannot execute this program again:", err)
	os.Exit(1)
}

// ip runs ip(8).
func ip(format string, args ...any) error {
	line := fmt.Sprintf(format, args...)
	if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", line, err, strings.TrimSpace(string(out)))
	}
	return nil
}
