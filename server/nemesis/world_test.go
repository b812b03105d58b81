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
)

const (
	nodes    = 3 // NATS servers, and chatd
	people   = 4 // by way of each chatd
	steady   = 2 // of them, those who neither insist on a name nor leave by themselves
	patience = 90 * time.Second
	room     = "nemesis"
)

// transports are those of the chatd.
var transports = [nodes]string{"epoll", "goroutine", "process"}

// world is three NATS servers and three chatd, and people who talk by way of them.
type world struct {
	*testing.T
	nats, chatd [nodes]*process
	links       [nodes][nodes]*link // of a chatd to a NATS server
	bridged     bool                // each has a network namespace of its own
	js          jetstream.JetStream
	living      context.Context // until the end
	talking     context.Context // until nobody says anything any more
	hush, leave context.CancelFunc
	still       atomic.Bool // nobody leaves by itself
	longCut     atomic.Bool // a chatd was cut off so long that its names may have been given to others
	crowd       sync.WaitGroup

	mu         sync.RWMutex
	visits     []*visit
	violations []string

	// After the death of the NATS server that led the stream, at most: how long NATS servers took
	// to agree on another, and how long the room took then.
	elections, afterElection time.Duration
}

// newWorld starts all of it. It ends with the test.
func newWorld(t *testing.T) *world {
	w := &world{T: t, bridged: noBridge == ""}
	w.living, w.leave = context.WithCancel(life)
	w.talking, w.hush = context.WithCancel(w.living)
	dir := t.TempDir()
	if *keep != "" {
		var err error
		if dir, err = os.MkdirTemp(*keep, "nemesis-*"); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(w.end) // before the directory goes
	if err := w.prepare(dir); err != nil {
		t.Fatal(err)
	}
	for _, p := range w.nats {
		if err := p.start(); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range w.chatd {
		if err := w.startChatd(p); err != nil {
			t.Fatal(err)
		}
	}
	for node := range nodes {
		for i := range people {
			p := &person{w: w, node: node, index: i, insists: i == 0, restless: i == 1}
			w.crowd.Go(p.live)
		}
	}
	return w
}

// prepare makes the processes, without starting them, the links between them, and a connection
// to NATS of the test's own.
func (w *world) prepare(dir string) error {
	ports, err := spawntest.FreePorts(3 * nodes)
	if err != nil {
		return err
	}
	var routes, urls []string
	var hosts [nodes]string
	for i := range nodes {
		name := fmt.Sprint("nats", i)
		w.nats[i], hosts[i], err = w.newProcess(name, i, dir)
		if err != nil {
			return err
		}
		routes = append(routes, fmt.Sprintf("nats://%s:%d", hosts[i], ports[nodes+i]))
		urls = append(urls, fmt.Sprintf("nats://%s:%d", hosts[i], ports[i]))
	}
	for i, p := range w.nats {
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
		p, _, err := w.newProcess(fmt.Sprint("chatd", i), nodes+i, dir)
		if err != nil {
			return err
		}
		var ways []string
		for k := range nodes {
			if w.links[i][k], err = newLink(w.host(), strings.TrimPrefix(urls[k], "nats://")); err != nil {
				return err
			}
			ways = append(ways, "nats://"+w.links[i][k].listener.Addr().String())
		}
		p.env = []string{chatdVariable + "=yes"}
		p.args = []string{
			"-backend", transport, "-listen", net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[2*nodes+i])), "-open", "-json",
			"-flood", "off", "-login-throttle", "off", "-log-level", "debug",
			"-cluster", strings.Join(ways, ","), "-cluster-room", room, "-cluster-replicas", strconv.Itoa(nodes), "-cluster-size", "256MiB",
		}
		w.chatd[i] = p
	}
	conn, err := nats.Connect(strings.Join(urls, ","), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(200*time.Millisecond))
	if err != nil {
		return err
	}
	w.Cleanup(conn.Close)
	w.js, err = jetstream.New(conn)
	return err
}

// newProcess makes one, on loopback or in a network namespace of its own, and gives its address.
func (w *world) newProcess(name string, i int, dir string) (p *process, host string, err error) {
	p = &process{name: name, log: filepath.Join(dir, name+".log")}
	if !w.bridged {
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
func (w *world) host() string {
	if w.bridged {
		return bridgeNetwork + "1"
	}
	return "127.0.0.1"
}

// dial connects to a chatd, which listens on loopback.
func (w *world) dial(node int) (conn net.Conn, err error) {
	p := w.chatd[node]
	err = p.at.Do(func() (err error) {
		conn, err = net.DialTimeout("tcp", p.args[3], 2*time.Second)
		return err
	})
	return conn, err
}

// startChatd starts a chatd. One that finds no NATS at work ends, and is started again.
func (w *world) startChatd(p *process) (err error) {
	for range 5 {
		if err = p.start(); err == nil || !w.pause(500*time.Millisecond) {
			return err
		}
	}
	return err
}

// fallen is the processes that have ended, and not by us.
func (w *world) fallen() (wrong []string) {
	for _, p := range append(w.nats[:], w.chatd[:]...) {
		if p == nil || p.boot.Load() == nil {
			continue
		}
		if b := p.boot.Load(); !b.running() && !b.killed.Load() {
			wrong = append(wrong, fmt.Sprintf("%s has ended by itself: %v", p.name, b.err))
		}
	}
	return wrong
}

// end ends all of it: chatd by SIGTERM, and they have to end well.
func (w *world) end() {
	w.leave()
	for _, p := range w.chatd {
		if p == nil || p.boot.Load() == nil {
			continue
		}
		if b := p.boot.Load(); b.running() {
			b.goOn() // a fault may have been interrupted
			if err := b.stop(); err != nil {
				w.Errorf("%s: %v", p.name, err)
			}
		}
	}
	for _, p := range append(w.nats[:], w.chatd[:]...) {
		if p != nil && p.boot.Load() != nil {
			p.boot.Load().sweep()
		}
	}
	w.crowd.Wait()
	for _, p := range append(w.nats[:], w.chatd[:]...) {
		if p != nil && w.bridged {
			p.at.End() // what was started there dies with it
		}
	}
	for _, all := range w.links {
		for _, l := range all {
			if l != nil {
				l.listener.Close()
			}
		}
	}
	if !w.Failed() || life.Err() != nil {
		return
	}
	for _, p := range append(w.nats[:], w.chatd[:]...) {
		if p != nil && p.boot.Load() != nil {
			w.Logf("the end of the log of %s:\n%s", p.name, p.tail())
		}
	}
}

// pause waits, and says whether the test goes on.
func (w *world) pause(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-w.living.Done():
		return false
	}
}

// await waits for something to be so, and says whether it is, and how long that took.
func (w *world) await(done func() bool) (is bool, took time.Duration) {
	began := time.Now()
	for !done() {
		if time.Since(began) > patience || !w.pause(20*time.Millisecond) {
			return false, time.Since(began)
		}
	}
	return true, time.Since(began)
}

// goesOn waits until as many are in the room by way of each chatd as need not wait for a name, and
// all who are have heard lines of all chatd that were said after a time. It gives how long
// after.
func (w *world) goesOn(after time.Time) time.Duration {
	on, _ := w.await(func() bool {
		all, by := w.in()
		for _, n := range by {
			if n < steady {
				return false
			}
		}
		for _, v := range all {
			if !v.hasHeard(after) {
				return false
			}
		}
		return true
	})
	if !on && w.living.Err() == nil {
		_, by := w.in()
		w.violate("the room did not go on within %v, with %v in it by way of the chatd", patience, by)
	}
	return time.Since(after)
}

// leader is the NATS server that leads the stream; otherwise, and not sure, if it cannot be found out.
func (w *world) leader(otherwise int) (node int, sure bool) {
	ctx, cancel := context.WithTimeout(w.living, 5*time.Second)
	defer cancel()
	s, err := w.js.Stream(ctx, "CHAT_"+room)
	if err != nil || s.CachedInfo().Cluster == nil {
		return otherwise, false
	}
	for i, p := range w.nats {
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

// noBridge is why the nodes are on loopback, "" if they are not.
var noBridge = "it is for -nemesis"

// enterNetwork has this program begin anew in a network namespace of its own, and makes a bridge
// there. If that is not possible, noBridge says why.
func enterNetwork() {
	if os.Getenv(insideVariable) != "" {
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
		noBridge = "it takes root to make network namespaces"
		return
	case err != nil:
		noBridge = err.Error()
		return
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		noBridge = "this kernel makes no network namespace for us: " + err.Error()
		return
	}
	err = unix.Exec(self, os.Args, append(os.Environ(), insideVariable+"=yes"))
	fmt.Fprintln(os.Stderr, "nemesis: this program cannot begin anew:", err)
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
