package process_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"chatbench/backends"
	"chatbench/backends/process"
	"chatbench/core"
	"chatbench/core/wire"
)

const timeout = time.Minute

// rig is a running server.
type rig struct {
	testing.TB
	room   *core.Room
	server backends.Server
}

// begin starts a server. The caller has to end it.
func begin(change func(*core.Config, *backends.Config)) (*core.Room, backends.Server, error) {
	room := core.Config{MaxClients: 500, MaxPending: 500, Authenticator: core.OpenDoor{}, Now: time.Now()}
	cfg := backends.Config{Listen: "127.0.0.1:0", Counters: new(backends.Counters), Log: slog.New(slog.DiscardHandler),
		Backlog: 512, Linger: 2 * time.Second}
	if change != nil {
		change(&room, &cfg)
	}
	cfg.Room = core.NewRoom(room)
	server, err := process.Backend.Start(cfg)
	return cfg.Room, server, err
}

// open starts a server that ends with the test.
func open(t testing.TB, change func(*core.Config, *backends.Config)) *rig {
	t.Helper()
	room, server, err := begin(change)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t, room, server}
	t.Cleanup(func() {
		room.Drain()
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if left := children(os.Getpid()); len(left) > 0 {
			t.Errorf("children are left: %v", left)
		}
	})
	return r
}

// eventually waits until cond holds.
func (r *rig) eventually(cond func() bool, format string, args ...any) {
	r.Helper()
	for deadline := time.Now().Add(timeout); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			r.Fatalf("never happened: "+format, args...)
		}
	}
}

func (r *rig) ended(why core.Reason, n uint64) {
	r.Helper()
	r.eventually(func() bool { return r.room.Snapshot().Ends[why] == n }, "%d ends by %v; there are %d", n, why, r.room.Snapshot().Ends[why])
}

// testClient is a client.
type testClient struct {
	net.Conn
	in *bufio.Reader
}

func dial(t testing.TB, addr string) *testClient {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return newTestClient(t, conn)
}

func newTestClient(t testing.TB, conn net.Conn) *testClient {
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(timeout))
	return &testClient{conn, bufio.NewReader(conn)}
}

// enter logs a client in.
func (c *testClient) enter(t testing.TB, name string) *testClient {
	t.Helper()
	c.Write(wire.AppendCred(nil, name, "x"))
	if got, err := c.frame(); got != "\x01granted\x00" {
		t.Fatalf("%s was sent %q, %v in place of granted", name, got, err)
	}
	return c
}

func (r *rig) login(name string) *testClient {
	r.Helper()
	return dial(r, r.server.Addr().String()).enter(r, name)
}

// frame reads one frame whose body is not empty.
func (c *testClient) frame() (string, error) {
	first, err := c.in.ReadByte()
	if err != nil {
		return "", err
	}
	body, err := c.in.ReadString(0)
	return string(first) + body, err
}

func (c *testClient) say(text string) { c.Write(wire.AppendChat(nil, text)) }

// hears reads the next n messages of a speaker, counted from first.
func (c *testClient) hears(speaker string, first, n int) error {
	for i := first; i < first+n; i++ {
		got, err := c.frame()
		if want := fmt.Sprintf("\x00%s: %d\x00", speaker, i); got != want {
			return fmt.Errorf("%q, %v in place of %q", got, err, want)
		}
	}
	return nil
}

// children lists the children of a process, including zombies.
func children(parent int) map[int]bool {
	all := map[int]bool{}
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", parent))
	for _, task := range tasks {
		list, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", parent, task.Name()))
		for _, field := range strings.Fields(string(list)) {
			if pid, err := strconv.Atoi(field); err == nil {
				all[pid] = true
			}
		}
	}
	return all
}

// newChild returns the only child that is not in before.
func (r *rig) newChild(before map[int]bool) (child int) {
	r.Helper()
	for pid := range children(os.Getpid()) {
		if before[pid] {
			continue
		}
		if child != 0 {
			r.Fatalf("two new children, %d and %d", child, pid)
		}
		child = pid
	}
	if child == 0 {
		r.Fatal("no new child")
	}
	return child
}

// commandLine is what ps shows of a process.
func commandLine(pid int) string {
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return strings.TrimRight(string(line), "\x00")
}
