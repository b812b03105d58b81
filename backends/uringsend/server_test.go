package uringsend

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/core"
	"chatbench/core/wire"
)

// timeout is how long a test waits for anything.
const timeout = time.Minute

// serve starts a server, and ends it with the test.
func serve(t *testing.T) backends.Server {
	t.Helper()
	available(t)
	room := core.NewRoom(core.Config{Authenticator: core.OpenDoor{}, Now: time.Now()})
	s, err := Backend.Start(backends.Config{
		Listen: "127.0.0.1:0", Room: room, Counters: new(backends.Counters), Log: slog.New(slog.DiscardHandler),
		MaxClients: 100, Backlog: 100, Linger: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		room.Drain()
		_ = s.Shutdown(t.Context()) // the context has ended: it cuts the connections that are left
	})
	return s
}

// login connects and logs in.
func login(t *testing.T, s backends.Server, name string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(timeout))
	c.Write(wire.AppendCred(nil, name, "x"))
	got := make([]byte, len(wire.AppendGranted(nil)))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != string(wire.AppendGranted(nil)) {
		t.Fatalf("%s is answered %q, %v", name, got, err)
	}
	return c
}

// TestTurnAllocatesNothing: neither a message nor a delivery of it allocates.
func TestTurnAllocatesNothing(t *testing.T) {
	if racing {
		t.Skip("allocations are not counted under the race detector")
	}
	const clients, messages = 20, 500
	s := serve(t)
	var conns []net.Conn
	for i := range clients {
		conns = append(conns, login(t, s, fmt.Sprint("c", 10+i)))
	}
	out, buf := wire.AppendChat(nil, "hello"), make([]byte, len(wire.AppendSaid(nil, "c10", []byte("hello"))))
	talk := func() {
		for range messages {
			conns[0].Write(out)
			for _, c := range conns {
				if _, err := io.ReadFull(c, buf); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	talk() // what is allocated only once
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	talk()
	runtime.ReadMemStats(&after)
	// The runtime's own work allocates a little, now and then.
	if n := after.Mallocs - before.Mallocs; n > messages/2 {
		t.Errorf("%d allocations for %d deliveries of %d messages", n, clients*messages, messages)
	}
}

// TestBrokenRing: a server whose ring fails ends, says why, and leaves no client behind.
func TestBrokenRing(t *testing.T) {
	s := serve(t)
	c := login(t, s, "alice")
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if err := unix.Dup3(int(null.Fd()), ringOfProcess(t), unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	c.Write(wire.AppendChat(nil, "hello"))
	if got, err := io.ReadAll(c); len(got) > 0 {
		t.Errorf("%q is heard, %v", got, err)
	}
	select {
	case <-s.Done():
	case <-time.After(timeout):
		t.Fatal("the server goes on")
	}
	if err := s.Err(); err == nil || !strings.Contains(err.Error(), "io_uring_enter") {
		t.Errorf("it ended with %v", err)
	}
}

// ringOfProcess returns the descriptor of the only ring that the process has.
func ringOfProcess(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if to, _ := os.Readlink("/proc/self/fd/" + fd.Name()); to == "anon_inode:[io_uring]" {
			n, _ := strconv.Atoi(fd.Name())
			return n
		}
	}
	t.Fatal("there is no ring")
	return 0
}
