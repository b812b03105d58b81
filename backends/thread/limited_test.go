package thread_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/backends/thread"
	"chatbench/core"
	"chatbench/core/wire"
)

// limited makes this binary a server with few threads, in place of its tests.
const limited = "CHATBENCH_THREAD_LIMITED"

func TestMain(m *testing.M) {
	if os.Getenv(limited) == "" {
		os.Exit(m.Run())
	}
	if err := serveLimited(); err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
	fmt.Println("served")
	os.Exit(0)
}

// TestOneClientTooMany: when threads run out, because others take them too, who
// comes is turned away and the server lives on. A user of its own has the limit,
// which does not hold for root.
func TestOneClientTooMany(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can become another user")
	}
	uid := uint32(1<<20 + os.Getpid())
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), limited+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := cmd.CombinedOutput()
	if text := string(out); err != nil || !strings.Contains(text, "served") {
		t.Errorf("%v: %s", err, text[:min(len(text), 1000)])
	}
}

// serveLimited is what the other process does.
func serveLimited() error {
	const limit, clients, left = 320, 60, 70
	if err := unix.Setrlimit(unix.RLIMIT_NPROC, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
		return err
	}
	var log bytes.Buffer
	var counters backends.Counters
	room := core.NewRoom(core.Config{Authenticator: core.OpenDoor{}, MaxClients: clients, MaxPending: clients})
	cfg := backends.Config{Listen: "127.0.0.1:0", Room: room, Counters: &counters, MaxClients: 200,
		Log: slog.New(slog.NewTextHandler(&log, nil)), Linger: time.Second}
	if _, err := thread.Backend.Start(cfg); err == nil || !strings.Contains(err.Error(), "ulimit -u") {
		return fmt.Errorf("Start for 200 clients, who may take more threads than there are: %v", err)
	}
	cfg.MaxClients = clients
	server, err := thread.Backend.Start(cfg)
	if err != nil {
		return err
	}
	give := takeThreads(limit - left)
	served, turnedAway := 0, 0
	var conns []net.Conn
	for range clients {
		conn, in, err := knock(server)
		if err != nil {
			return err
		}
		defer conn.Close()
		if in {
			served++
			conns = append(conns, conn)
		} else {
			turnedAway++
		}
	}
	if served < 5 || turnedAway < 20 || counters.NoDescriptors.Load() != int64(turnedAway) || counters.Accepts.Load() != int64(served) {
		return fmt.Errorf("%d served and %d turned away; counted are %d and %d", served, turnedAway,
			counters.Accepts.Load(), counters.NoDescriptors.Load())
	}
	give()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if conn, in, err := knock(server); err == nil && in {
			conn.Close()
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("nobody is let in again")
		}
	}
	for _, conn := range conns {
		conn.Close()
	}
	room.Drain()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return err
	}
	if lines := strings.Count(log.String(), "\n"); lines == 0 || lines > 20 {
		return fmt.Errorf("%d log lines for %d clients turned away", lines, turnedAway)
	}
	return nil
}

// knock connects, and says whether the client was let in.
func knock(server backends.Server) (net.Conn, bool, error) {
	conn, err := net.Dial("tcp", server.Addr().String())
	if err != nil {
		return nil, false, err
	}
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = conn.Write(wire.AppendCred(nil, fmt.Sprint("c", conn.LocalAddr().(*net.TCPAddr).Port), "x"))
	granted := "\x01" + wire.Granted + "\x00"
	got := make([]byte, len(granted))
	_, err = io.ReadFull(conn, got)
	if os.IsTimeout(err) {
		return conn, false, err
	}
	return conn, string(got) == granted, nil
}

// takeThreads has this process have so many threads, until give is called.
func takeThreads(n int) (give func()) {
	var pipe [2]int
	if err := unix.Pipe(pipe[:]); err != nil {
		panic(err)
	}
	have := func() int {
		tasks, _ := os.ReadDir("/proc/self/task")
		return len(tasks)
	}
	for have() < n {
		up := make(chan struct{})
		go func() {
			runtime.LockOSThread() // and the thread ends with the goroutine
			close(up)
			_, _ = unix.Read(pipe[0], make([]byte, 1))
		}()
		<-up
	}
	return func() { _ = unix.Close(pipe[1]) }
}
