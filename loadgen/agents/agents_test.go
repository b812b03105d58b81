package agents

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"chatbench/core/units"
	"chatbench/loadgen"
	"chatbench/loadgen/null"
)

// asAgent makes the test's own program an agent that joins the address in it.
const asAgent = "TEST_AGENT_JOIN"

func TestMain(m *testing.M) {
	if join := os.Getenv(asAgent); join != "" {
		threads, _ := strconv.Atoi(os.Getenv("TEST_AGENT_THREADS"))
		err := Serve(context.Background(), Options{Join: join, Name: os.Getenv("TEST_AGENT_NAME"), Threads: threads, Wait: 10 * time.Second})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// startAgent starts an agent as a process, in a network namespace if one is named.
func startAgent(t *testing.T, namespace, join, name string, threads int) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	if namespace != "" {
		cmd = exec.Command("ip", "netns", "exec", namespace, os.Args[0])
	}
	cmd.Env = append(os.Environ(), asAgent+"="+join, "TEST_AGENT_NAME="+name, fmt.Sprint("TEST_AGENT_THREADS=", threads))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd
}

// serveNull runs a null server for the length of a test.
func serveNull(t *testing.T, address string) string {
	t.Helper()
	s, err := null.Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s.Addr()
}

// newCoordinator listens for that many agents.
func newCoordinator(t *testing.T, address string, agents int) *Coordinator {
	t.Helper()
	c, err := Listen(address, make([]string, agents))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// plain is a load of 300 messages, 200 of them timed, to 9 clients.
func plain(server string) loadgen.Config {
	return loadgen.Config{
		Server: server, Clients: 9, Senders: 4, Rate: 1000, Seed: 3,
		Warmup: 100 * time.Millisecond, Duration: 200 * time.Millisecond, Drain: 20 * time.Second,
	}
}

// checkComplete checks that every message of plain was delivered to everybody, was timed once if
// it belongs to the timed section, and that nothing was wrong.
func checkComplete(t *testing.T, r *loadgen.Result) {
	t.Helper()
	if !r.Ledger.Clean() || r.Messages.InAll != 300 || r.Messages.Due != 200 || r.Messages.Unsent != 0 || r.Deliveries.InAll != 9*300 || r.Deliveries.Due != 9*200 {
		t.Errorf("%+v, %+v, %+v", r.Ledger, r.Messages, r.Deliveries)
	}
	if r.Elsewhere == nil {
		t.Fatal("no latencies across agents")
	}
	own, across := r.FromDue.Count, r.Elsewhere.Latency.Count
	if own+across != 9*200 || own == 0 || across == 0 || own != r.FromSend.Count || r.Elsewhere.Bound <= 0 {
		t.Errorf("%d latencies of one clock, %d across two, to within %d ns", own, across, r.Elsewhere.Bound)
	}
	if r.Login.Count != 9 || r.Generator.Lag.Count != 200 {
		t.Errorf("%d logins, %d lags", r.Login.Count, r.Generator.Lag.Count)
	}
}

// waitExit waits for a process, which must exit with status 0.
func waitExit(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Wait(); err != nil {
		t.Errorf("an agent: %v", err)
	}
}

// TestProcesses: two agents, with one and with two threads, as processes of their own put several loads
// on a server, in an open and a closed loop.
func TestProcesses(t *testing.T) {
	c := newCoordinator(t, "127.0.0.1:0", 2)
	one, two := startAgent(t, "", c.Addr(), "one", 1), startAgent(t, "", c.Addr(), "two", 2)
	if err := c.Gather(t.Context(), 20*time.Second); err != nil {
		t.Fatal(err)
	}
	server := serveNull(t, "127.0.0.1:0")
	for _, poisson := range []bool{false, true} {
		cfg := plain(server)
		hooks := ""
		cfg.OnTimedStart, cfg.OnTimedEnd, cfg.OnQuiet = func() { hooks += "start " }, func() { hooks += "end " }, func() { hooks += "quiet" }
		if cfg.Poisson = poisson; poisson {
			cfg.Rate = 500
		}
		r, err := c.Run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if poisson {
			if all := r.FromDue.Count + r.Elsewhere.Latency.Count; !r.Ledger.Clean() || all != 9*int64(r.Messages.Due) || r.Messages.InAll == 0 {
				t.Errorf("poisson: %+v, %+v, %d latencies", r.Ledger, r.Messages, all)
			}
		} else {
			checkComplete(t, r)
		}
		if hooks != "start end quiet" || len(r.Generator.Threads) != 3 {
			t.Errorf("hooks: %s; %d threads", hooks, len(r.Generator.Threads))
		}
	}
	cfg := plain(server)
	cfg.Rate, cfg.Window = 0, 4
	r, err := c.Run(t.Context(), cfg)
	for range 3 {
		if err != nil || r.FromSend.Count > 0 {
			break
		}
		cfg.Duration *= 10 // no agent had a CPU in the timed section
		r, err = c.Run(t.Context(), cfg)
	}
	if err != nil {
		t.Fatal(err)
	}
	if !r.Ledger.Clean() || r.Void() || r.Deliveries.InAll != 9*r.Messages.InAll || r.FromSend.Count == 0 || r.Elsewhere.Latency.Count != 0 {
		t.Errorf("closed loop: %v, %+v of %d messages", r.Violations, r.Deliveries, r.Messages.InAll)
	}
	for _, a := range c.Agents() {
		if a.Bound <= 0 || a.RoundTrip > 10*time.Second || a.Offset.Abs() > time.Minute || a.Name != "one" && a.Name != "two" || a.Host == "" || a.Kernel == "" {
			t.Errorf("%+v", a)
		}
	}
	c.Close()
	waitExit(t, one)
	waitExit(t, two)
}

// TestNamespaces: the same with each agent in a network namespace of its own, as if on separate machines:
// they reach the server only by different addresses of this machine.
func TestNamespaces(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("there is no ip command here")
	}
	// Names and networks of this process alone, from the range for such tests: 198.18.0.0/15.
	names := []string{fmt.Sprintf("cbA%d", os.Getpid()%100000), fmt.Sprintf("cbB%d", os.Getpid()%100000)}
	address := func(i, host int) string {
		n := (2*os.Getpid() + i) % (1 << 15)
		return fmt.Sprintf("198.%d.%d.%d", 18+n>>14, n>>6&255, n&63<<2+host)
	}
	ip := func(args string) error {
		out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ip %s: %w: %s", args, err, out)
		}
		return nil
	}
	for i, name := range names {
		t.Cleanup(func() { ip("netns del " + name); ip("link del " + name) })
		for _, args := range []string{
			"netns add NAME", "link add NAME type veth peer name eth0 netns NAME", "addr add HERE/30 dev NAME", "link set NAME up",
			"-n NAME addr add THERE/30 dev eth0", "-n NAME link set eth0 up", "-n NAME link set lo up",
		} {
			if err := ip(strings.NewReplacer("NAME", name, "THERE", address(i, 2), "HERE", address(i, 1)).Replace(args)); err != nil {
				t.Skip(err)
			}
		}
	}
	c := newCoordinator(t, "0.0.0.0:0", 2)
	_, port, _ := net.SplitHostPort(c.Addr())
	one := startAgent(t, names[0], address(0, 1)+":"+port, "one", 1)
	two := startAgent(t, names[1], address(1, 1)+":"+port, "two", 1)
	if err := c.Gather(t.Context(), 20*time.Second); err != nil {
		t.Fatal(err)
	}
	_, port, _ = net.SplitHostPort(serveNull(t, "0.0.0.0:0"))
	r, err := c.Run(t.Context(), plain("0.0.0.0:"+port))
	if err != nil {
		t.Fatal(err)
	}
	checkComplete(t, r)
	c.Close()
	waitExit(t, one)
	waitExit(t, two)
}

// TestLost: an agent that is killed ends the load, which has no result. Another one replaces
// it, and the next load is complete.
func TestLost(t *testing.T) {
	c := newCoordinator(t, "127.0.0.1:0", 2)
	defer c.Close()
	one, two := startAgent(t, "", c.Addr(), "one", 1), startAgent(t, "", c.Addr(), "two", 1)
	if err := c.Gather(t.Context(), 20*time.Second); err != nil {
		t.Fatal(err)
	}
	server := serveNull(t, "127.0.0.1:0")
	cfg := plain(server)
	cfg.Duration = time.Minute
	cfg.OnTimedStart = func() { two.Process.Kill() }
	began := time.Now()
	if _, err := c.Run(t.Context(), cfg); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "two") || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v", err)
	}
	if took := time.Since(began); took > 40*time.Second {
		t.Errorf("to find out that an agent is lost took %v", took)
	}
	if _, err := c.Run(t.Context(), plain(server)); !errors.Is(err, ErrLost) {
		t.Errorf("with one of two agents: %v", err)
	}
	if err := Serve(t.Context(), Options{Join: c.Addr(), Name: "two", Threads: 2}); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "give -threads 1") {
		t.Errorf("in its place one with two threads: %v", err)
	}
	three := startAgent(t, "", c.Addr(), "three", 1)
	if err := c.Gather(t.Context(), 20*time.Second); err != nil {
		t.Fatal(err)
	}
	r, err := c.Run(t.Context(), plain(server))
	if err != nil {
		t.Fatal(err)
	}
	checkComplete(t, r)
	_, _ = one, three
}

// TestFailures: an error of a load at an agent, or because of the plan, is the error of Run,
// and the agents are ready for the next load.
func TestFailures(t *testing.T) {
	c := newCoordinator(t, "127.0.0.1:0", 2)
	defer c.Close()
	if err := c.Gather(t.Context(), 10*time.Millisecond); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "loadgen agent -join "+c.Addr()) {
		t.Errorf("nobody has joined: %v", err)
	}
	for _, name := range []string{"one", "two"} {
		startAgent(t, "", c.Addr(), name, 1)
	}
	if err := c.Gather(t.Context(), 20*time.Second); err != nil {
		t.Fatal(err)
	}
	server := serveNull(t, "127.0.0.1:0")
	for says, change := range map[string]func(*loadgen.Config){
		"nothing listens on 127.0.0.1:1": func(c *loadgen.Config) { c.Server = "127.0.0.1:1" },
		"1 clients for 2 threads":        func(c *loadgen.Config) { c.Clients, c.Senders = 1, 1 },
		"give a rate (open loop":         func(c *loadgen.Config) { c.Rate = 0 },
	} {
		cfg := plain(server)
		change(&cfg)
		_, err := c.Run(t.Context(), cfg)
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("want %q: %v", says, err)
		}
		if want := loadgen.ErrConfig; !strings.Contains(says, "listens") && !errors.Is(err, want) || strings.Contains(says, "listens") && !errors.Is(err, loadgen.ErrUnreachable) {
			t.Errorf("%v is of no class", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cfg := plain(server)
	cfg.Duration = time.Minute
	cfg.OnTimedStart = cancel
	if _, err := c.Run(ctx, cfg); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	r, err := c.Run(t.Context(), plain(server))
	if err != nil {
		t.Fatal(err)
	}
	checkComplete(t, r)
}

// TestRefused: an agent of another version, a second agent of the same name and one agent too many are
// refused with one line each; a connection that says nothing does not block the others.
func TestRefused(t *testing.T) {
	c := newCoordinator(t, "127.0.0.1:0", 1)
	defer c.Close()
	greet := func(m message) string {
		conn, err := net.Dial("tcp", c.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		p := newPeer(conn, maxLine)
		p.write(m)
		got, err := p.read()
		if err != nil || got.Kind != refuse || strings.Contains(got.Why, "\n") {
			t.Errorf("%+v: %+v, %v", m, got, err)
		}
		return got.Why
	}
	good := greeting(Options{Name: "one", Threads: 1})
	for says, change := range map[string]func(*message){
		"built from 0123 (protocol 2)":       func(m *message) { m.Version = "0123" },
		"(protocol 3), the coordinator from": func(m *message) { m.Protocol = 3 },
		"it makes other texts":               func(m *message) { m.Digest = "00" },
		"plan than the coordinator":          func(m *message) { m.Digest = "" },
		"at least one thread":                func(m *message) { m.Threads = 0 },
	} {
		m := good
		change(&m)
		if why := greet(m); !strings.Contains(why, says) {
			t.Errorf("%q, want %q", why, says)
		}
	}
	startAgent(t, "", c.Addr(), "one", 1)
	if err := c.Gather(t.Context(), 20*time.Second); err != nil {
		t.Fatal(err)
	}
	if why := greet(good); !strings.Contains(why, "an agent named one has already joined") {
		t.Errorf("a second: %q", why)
	}
	good.Name = "two"
	if why := greet(good); !strings.Contains(why, "there is no place for an agent named two") {
		t.Errorf("one too many: %q", why)
	}
	err := Serve(t.Context(), Options{Join: c.Addr(), Name: "one", Threads: 1})
	if !errors.Is(err, ErrRefused) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v", err)
	}
	if err := Serve(t.Context(), Options{Join: "127.0.0.1:1", Name: "one", Threads: 1}); err == nil || !strings.Contains(err.Error(), "no coordinator listens at 127.0.0.1:1") {
		t.Errorf("%v", err)
	}
	conn, err := net.Dial("tcp", c.Addr())
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(conn, "GET / HTTP/1.0\n")
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("a stranger is told %d octets, %v", n, err)
	}
}

// TestPlan: a plan contains everything of a load that an agent needs.
func TestPlan(t *testing.T) {
	cfg := loadgen.Config{
		Server: "a:1", Clients: 1, Senders: 2, Rate: units.Rate(3), Poisson: true, Window: 4, Size: 5, Warmup: 6, Duration: 7, Seed: 8,
		Objective: 9, Ramp: 10, Joining: 11, Connect: 12, Drain: 13,
	}
	got := planOf(&cfg).config()
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", cfg) {
		t.Errorf("%+v\nwant %+v", got, cfg)
	}
	joined := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 7), Port: 5}
	for server, want := range map[string]string{"0.0.0.0:9": "10.0.0.7:9", "[::]:9": "10.0.0.7:9", ":9": "10.0.0.7:9", "127.0.0.1:9": "127.0.0.1:9", "host:9": "host:9"} {
		if got := serverFor(server, joined); got != want {
			t.Errorf("%s: %s, want %s", server, got, want)
		}
	}
}
