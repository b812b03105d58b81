package evio_test

import (
	"bufio"
	"errors"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	lib "github.com/tidwall/evio"
	"golang.org/x/sys/unix"

	"chatbench/core"
	"chatbench/core/wire"
)

// leaveDescriptors lowers the file limit so that n descriptors can be opened.
func leaveDescriptors(t *testing.T, n int) {
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Setrlimit(unix.RLIMIT_NOFILE, &before) })
	lowest, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(lowest)
	lowered := unix.Rlimit{Cur: uint64(lowest + n), Max: before.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lowered); err != nil {
		t.Fatal(err)
	}
}

// TestAcceptFailureEndsEvio shows with evio alone why it must not accept by itself: one
// connection for which there is no descriptor ends its server, and closes all connections.
func TestAcceptFailureEndsEvio(t *testing.T) {
	addr, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- lib.Serve(lib.Events{Serving: func(s lib.Server) lib.Action {
			addr <- s.Addrs[0].String()
			return lib.None
		}}, "tcp://127.0.0.1:0")
	}()
	to := <-addr
	first, err := net.Dial("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	port := first.RemoteAddr().(*net.TCPAddr).Port
	var newcomers []int
	for range 5 {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		newcomers = append(newcomers, fd)
	}
	awaitServing(t)
	leaveDescriptors(t, 0)
	for _, fd := range newcomers { // it may hang up while they connect
		_ = unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("Serve has ended with %v, where v1.0.8 says nothing", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("evio goes on: it may accept by itself now")
	}
	first.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := first.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connected client is not closed: %v", err)
	}
}

// awaitServing waits until evio waits for the end of a loop. It would wait for ever if the loop had ended
// before that.
func awaitServing(t *testing.T) {
	t.Helper()
	stacks := make([]byte, 1<<20)
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		for _, stack := range strings.Split(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
			if strings.Contains(stack, "[sync.Cond.Wait") && strings.Contains(stack, "waitForShutdown") {
				return
			}
		}
	}
	t.Fatal("evio does not wait for its loop")
}

// TestRefusesBeforeTheLastDescriptor: clients alone cannot use so many descriptors that evio
// ends. Connected clients go on talking, and when some have left others are let in.
func TestRefusesBeforeTheLastDescriptor(t *testing.T) {
	s, counters := serve(t, core.Config{Authenticator: core.OpenDoor{}, Now: time.Now()})
	alice := login(t, s, "alice")
	leaveDescriptors(t, 60)
	var clients []net.Conn
	for counters.NoDescriptors.Load() < 5 {
		c := dial(t, s)
		c.Write(wire.AppendCred(nil, string(rune('a'+len(clients)))+"x", "x"))
		if n, _ := c.Read(make([]byte, 100)); n == 0 {
			c.Close()
			continue
		}
		if clients = append(clients, c); len(clients) > 25 {
			t.Fatal("nobody is refused")
		}
	}
	if len(clients) == 0 {
		t.Fatal("nobody is let in")
	}
	alice.Write(wire.AppendChat(nil, "still here"))
	if text, err := bufio.NewReader(clients[0]).ReadString('e'); err != nil {
		t.Fatalf("the others receive %q, %v", text, err)
	}
	for _, c := range clients {
		c.Close()
	}
	for end := time.Now().Add(time.Minute); ; {
		c := dial(t, s)
		c.Write(wire.AppendCred(nil, "next", "x"))
		n, _ := c.Read(make([]byte, 100))
		c.Close()
		if n > 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatal("nobody is let in again")
		}
	}
}
