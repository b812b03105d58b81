package process_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"chatbench/backends"
	"chatbench/core"
	"chatbench/core/wire"
)

// asServer is the environment variable that makes the test binary a server, for a test to kill.
const asServer = "PROCESS_TEST_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(asServer) != "" {
		_, server, err := begin(func(room *core.Config, cfg *backends.Config) {
			room.LagLimit = 64 << 20
			cfg.SendBuffer, cfg.SpawnAhead, cfg.Linger = 4<<10, 2, time.Hour
		})
		fmt.Println(server.Addr(), err)
		select {}
	}
	os.Exit(m.Run())
}

// TestChildrenEndWithParent: when the parent is killed its children end: one that waits for
// both sides, one whose client reads nothing, one that sends what is left to a client that does
// not read, one that waits for its client's FIN, and those that wait for a client.
func TestChildrenEndWithParent(t *testing.T) {
	parent := exec.Command("/proc/self/exe")
	parent.Env = append(os.Environ(), asServer+"=1")
	parent.Stderr = os.Stderr
	out, err := parent.StdoutPipe()
	if err == nil {
		err = parent.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer parent.Wait()
	defer parent.Process.Kill()
	line, _ := bufio.NewReader(out).ReadString('\n')
	addr, _, _ := strings.Cut(line, " ")

	talker := dial(t, addr).enter(t, "talker")
	neverReads, half := dialNarrow(t, addr).enter(t, "neverReads"), dialNarrow(t, addr).enter(t, "half")
	lingers := dial(t, addr).enter(t, "lingers")
	lingers.Write(wire.AppendClose(nil))
	if got, err := lingers.frame(); err == nil {
		t.Fatalf("%q in place of FIN", got)
	}
	text := strings.Repeat("x", 4000)
	for i := range 200 { // fills every buffer on the way to those who do not read
		talker.say(fmt.Sprint(i, text))
		if _, err := talker.frame(); err != nil {
			t.Fatal(err)
		}
	}
	half.Conn.(*net.TCPConn).CloseWrite()
	defer neverReads.Close()
	deadline := time.Now().Add(timeout)
	pids := children(parent.Process.Pid)
	for ; len(pids) != 4+2; pids = children(parent.Process.Pid) {
		if time.Now().After(deadline) {
			t.Fatalf("the server has %d children, want 4 with clients and 2 that wait", len(pids))
		}
		time.Sleep(time.Millisecond)
	}
	for closedPipes(pids) < 2 && time.Now().Before(deadline) { // half and lingers
		time.Sleep(time.Millisecond)
	}
	parent.Process.Kill()
	for pid := range pids {
		for alive(pid) {
			if time.Now().After(deadline) {
				for pid := range pids {
					syscall.Kill(pid, syscall.SIGKILL)
				}
				t.Fatalf("child %d is still alive without its parent", pid)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// dialNarrow connects a client whose kernel keeps little for it.
func dialNarrow(t *testing.T, addr string) *testClient {
	t.Helper()
	narrow := func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10) })
	}
	conn, err := (&net.Dialer{Control: narrow}).Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return newTestClient(t, conn)
}

// closedPipes counts the children that have closed the pipe to their parent.
func closedPipes(pids map[int]bool) (n int) {
	for pid := range pids {
		if _, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/1", pid)); err != nil {
			n++
		}
	}
	return n
}

// alive says whether a process exists and has not ended: a zombie has.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, state, _ := strings.Cut(string(stat), ") ")
	return err == nil && !strings.HasPrefix(state, "Z")
}
