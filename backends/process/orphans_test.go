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

// asServer makes the test binary a server that another test kills.
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

// TestChildrenEndWithParent: when the parent is killed its children end: one
// that waits for either side, one whose client reads nothing, one that sends
// its last words to a client that does not read, one that waits for the FIN of
// its client, and those that wait for a client.
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
	deaf, half := dialNarrow(t, addr).enter(t, "deaf"), dialNarrow(t, addr).enter(t, "half")
	lingers := dial(t, addr).enter(t, "lingers")
	lingers.Write(wire.AppendClose(nil))
	if got, err := lingers.frame(); err == nil {
		t.Fatalf("%q in place of FIN", got)
	}
	text := strings.Repeat("x", 4000)
	for i := range 200 { // what the deaf are sent fills all that is on the way
		talker.say(fmt.Sprint(i, text))
		if _, err := talker.frame(); err != nil {
			t.Fatal(err)
		}
	}
	half.Conn.(*net.TCPConn).CloseWrite()
	defer deaf.Close()
	deadline := time.Now().Add(patience)
	kids := children(parent.Process.Pid)
	for ; len(kids) != 4+2; kids = children(parent.Process.Pid) {
		if time.Now().After(deadline) {
			t.Fatalf("the server has %d children, 4 with clients and 2 that wait are due", len(kids))
		}
		time.Sleep(time.Millisecond)
	}
	for quiet(kids) < 2 && time.Now().Before(deadline) { // half and lingers
		time.Sleep(time.Millisecond)
	}
	parent.Process.Kill()
	for pid := range kids {
		for alive(pid) {
			if time.Now().After(deadline) {
				for pid := range kids {
					syscall.Kill(pid, syscall.SIGKILL)
				}
				t.Fatalf("child %d lives on without its parent", pid)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// dialNarrow connects a client whose kernel keeps little for it.
func dialNarrow(t *testing.T, addr string) *caller {
	t.Helper()
	narrow := func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10) })
	}
	conn, err := (&net.Dialer{Control: narrow}).Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return callerOn(t, conn)
}

// quiet counts the children that have closed the pipe to their parent.
func quiet(kids map[int]bool) (n int) {
	for pid := range kids {
		if _, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/1", pid)); err != nil {
			n++
		}
	}
	return n
}

// alive says whether a process is there and not merely waits to be reaped.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, state, _ := strings.Cut(string(stat), ") ")
	return err == nil && !strings.HasPrefix(state, "Z")
}
