package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/client"
	"chatbench/core"
)

// manager is a fake service manager: a socket that receives states.
type manager struct {
	*testing.T
	conn *net.UnixConn
}

// newManager makes this process a service of a manager, with a watchdog if that is not 0.
func newManager(t *testing.T, watchdog time.Duration) *manager {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_PID", fmt.Sprint(os.Getpid()))
	t.Setenv("WATCHDOG_USEC", "")
	if watchdog > 0 {
		t.Setenv("WATCHDOG_USEC", fmt.Sprint(watchdog.Microseconds()))
	}
	return &manager{t, conn}
}

// next is the next state, or "" if none comes in time.
func (m *manager) next(within time.Duration) string {
	m.Helper()
	if err := m.conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		m.Fatal(err)
	}
	b := make([]byte, 4096)
	n, err := m.conn.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return ""
	} else if err != nil {
		m.Fatal(err)
	}
	return string(b[:n])
}

// await reads states until one that begins with start.
func (m *manager) await(start string) string {
	m.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if state := m.next(patience); strings.HasPrefix(state, start) {
			return state
		}
	}
	m.Fatalf("%s did not come", start)
	return ""
}

// TestNotify: the service manager is notified of start, reload and stop.
func TestNotify(t *testing.T) {
	m := newManager(t, 0)
	path := usersFile(t)
	writeUsers(t, path, "alice")
	r := start(t, func(o *Options) { o.Open, o.Users = false, path })
	m.await("READY=1")
	if status := m.await("STATUS="); status != "STATUS=0 clients on "+r.addr {
		t.Errorf("the status is %q", status)
	}
	signalSelf(t, unix.SIGHUP)
	var since int64
	state := m.await("RELOADING=1")
	if n, err := fmt.Sscanf(state, "RELOADING=1\nMONOTONIC_USEC=%d", &since); n != 1 || err != nil || since <= 0 {
		t.Errorf("the state of a reload is %q", state)
	}
	m.await("READY=1")
	signalSelf(t, unix.SIGTERM)
	m.await("STOPPING=1")
	if _, err := r.end(); err != nil {
		t.Error(err)
	}
}

// TestFailedReload: the server goes on as it was, and is ready again.
func TestFailedReload(t *testing.T) {
	m := newManager(t, 0)
	path := usersFile(t)
	writeUsers(t, path, "alice")
	start(t, func(o *Options) { o.Open, o.Users = false, path })
	m.await("READY=1")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	signalSelf(t, unix.SIGHUP)
	m.await("RELOADING=1")
	m.await("READY=1")
}

// TestWatchdog: the watchdog is notified while the ticker runs, and no longer when the room is
// stuck.
func TestWatchdog(t *testing.T) {
	m := newManager(t, 200*time.Millisecond)
	log := new(logged)
	s, err := Start(t.Context(), options(log))
	if err != nil {
		t.Fatal(err)
	}
	n := newNotifier(s.Addr(), s.opts.Log)
	defer n.close()
	s.notify.Store(n)
	m.await("WATCHDOG=1")
	m.await("WATCHDOG=1")
	c, err := client.Dial(t.Context(), client.Config{Server: s.Addr().String(), User: "alice", Password: "x"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	stuck, release := make(chan struct{}), make(chan struct{})
	go s.room.Kick(func(core.User) bool { // under the room's lock
		close(stuck)
		<-release
		return false
	}, "")
	<-stuck
	n.tell("X_STUCK=1")
	m.await("X_STUCK=1")
	for more := 0; m.next(time.Second) != ""; more++ { // the tick that was under way may have one
		if more > 1 {
			t.Fatal("the room is stuck, and the watchdog is still notified")
		}
	}
	close(release)
	m.await("WATCHDOG=1")
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestNoManager: without a service manager nothing is sent, and nothing fails.
func TestNoManager(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	n := newNotifier(peer, options(new(logged)).Log)
	if n != nil {
		t.Error("newNotifier is not nil")
	}
	n.ready()
	n.reloading()()
	n.stopping()
	n.tick(time.Now(), func() int { t.Error("clients are counted without a manager"); return 0 })
	n.close()
}

// TestDeafManager: a manager that does not read blocks nothing.
func TestDeafManager(t *testing.T) {
	newManager(t, 0)
	n := newNotifier(peer, options(new(logged)).Log)
	for range 10_000 { // more than queue and socket hold
		n.ready()
	}
	n.close()
}

// TestManagerGone: if the manager cannot be reached, that is logged once.
func TestManagerGone(t *testing.T) {
	m := newManager(t, 0)
	m.conn.Close()
	log := new(logged)
	n := newNotifier(peer, options(log).Log)
	n.ready()
	n.stopping()
	n.close()
	log.mu.Lock()
	defer log.mu.Unlock()
	if got := strings.Count(log.text.String(), "cannot report to the service manager"); got != 1 {
		t.Errorf("logged %d times: %s", got, log.text.String())
	}
}
