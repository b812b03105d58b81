package child_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends/process/child"
	"chatbench/core/wire"
	"chatbench/internal/tcptest"
)

const timeout = time.Minute

// setup is a child, with the test as its parent and its client.
type setup struct {
	*testing.T
	cmd    *exec.Cmd
	to     *os.File // the pipe to the child
	from   *os.File // the pipe from it
	client *net.TCPConn
}

// farewell is how long a child waits for its parent when its client has left, in milliseconds.
const farewell = 500

// start starts a child that accepts frames of at most 100 octets.
func start(t *testing.T) *setup { t.Helper(); return startLate(t, func(*setup) {}) }

// startLate starts a child, and calls before first.
func startLate(t *testing.T, before func(*setup)) *setup {
	t.Helper()
	f := &setup{T: t, cmd: exec.Command("/proc/self/exe")}
	client, served := tcptest.Pair(t)
	f.client = client
	socket, err := served.File()
	if err != nil {
		t.Fatal(err)
	}
	served.Close()
	stdin, to, _ := os.Pipe()
	from, stdout, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	f.to, f.from = to, from
	f.cmd.Stdin, f.cmd.Stdout, f.cmd.Stderr, f.cmd.ExtraFiles = stdin, stdout, os.Stderr, []*os.File{socket}
	f.cmd.Env = child.Environment(false, 100, farewell)
	before(f)
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.SetNonblock(int(stdout.Fd()), true); err != nil { // as the parent does
		t.Fatal(err)
	}
	socket.Close()
	stdin.Close()
	stdout.Close()
	for _, c := range []interface{ SetDeadline(time.Time) error }{f.client, f.to, f.from} {
		c.SetDeadline(time.Now().Add(timeout))
	}
	t.Cleanup(func() {
		f.client.Close()
		f.to.Close()
		f.from.Close()
		f.cmd.Process.Kill()
		f.cmd.Wait()
	})
	return f
}

// expect reads exactly the given octets.
func (f *setup) expect(r io.Reader, want string) {
	f.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(r, got); err != nil || string(got) != want {
		f.Fatalf("%.60q (%d octets), %v in place of %.60q (%d)", got[:n], n, err, want, len(want))
	}
}

// expectEnd reads the end.
func (f *setup) expectEnd(r io.Reader) {
	f.Helper()
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		f.Fatalf("%d octets, %v in place of the end", n, err)
	}
}

// exits waits for the child to end by itself.
func (f *setup) exits(code int) {
	f.Helper()
	late := time.AfterFunc(timeout, func() { f.cmd.Process.Kill() })
	f.cmd.Wait()
	if got := f.cmd.ProcessState; !late.Stop() || got.ExitCode() != code {
		f.Fatalf("the child ended with %v, want exit code %d", got, code)
	}
}

func (f *setup) say(text string) string {
	frame := string(wire.AppendChat(nil, text))
	io.WriteString(f.client, frame)
	return frame
}

// TestBothWays: octets pass in both directions, even a part of a frame.
func TestBothWays(t *testing.T) {
	f := start(t)
	for i := range 100 {
		f.expect(f.from, f.say(fmt.Sprint(i)))
		fmt.Fprint(f.to, "any octets", i)
		f.expect(f.client, fmt.Sprint("any octets", i))
	}
	f.client.Write([]byte("\x00half"))
	f.expect(f.from, "\x00half")
}

// TestClientFinishes: after the client's FIN the parent sees the end of its pipe, and what it
// still writes is sent.
func TestClientFinishes(t *testing.T) {
	f := start(t)
	said := f.say("last")
	f.client.CloseWrite()
	f.expect(f.from, said)
	f.expectEnd(f.from)
	long := strings.Repeat("x", 1<<20)
	go func() { f.to.WriteString(long); f.to.Close() }()
	f.expect(f.client, long)
	f.expectEnd(f.client)
	f.exits(child.Finished)
}

// TestClientLeavesUnread: if a client leaves while the parent takes no input, its child ends by
// itself, and the exit code says how the client has left.
func TestClientLeavesUnread(t *testing.T) {
	frames := bytes.Repeat(wire.AppendChat(nil, strings.Repeat("x", 90)), 1000) // a pipe takes 64 KiB
	for name, c := range map[string]struct {
		leave func(*net.TCPConn)
		code  int
	}{
		"FIN":   {func(c *net.TCPConn) { c.CloseWrite() }, child.Finished},
		"close": {func(c *net.TCPConn) { c.Close() }, child.Finished},
		"reset": {func(c *net.TCPConn) { c.SetLinger(0); c.Close() }, child.Broken},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t)
			if _, err := f.client.Write(frames); err != nil {
				t.Fatal(err)
			}
			f.passedOn()
			began := time.Now()
			c.leave(f.client)
			f.exits(c.code)
			if took := time.Since(began); took < farewell*time.Millisecond {
				t.Errorf("it has ended after %v", took)
			}
		})
	}
}

// passedOn waits until the child's kernel has all that the client has sent, and half of the pipe from the
// child is full. The child then fills the rest, even if the client has left.
func (f *setup) passedOn() {
	f.Helper()
	query := func(of syscall.Conn, ask func(fd int) (int, error)) (n int) {
		raw, err := of.SyscallConn()
		if err == nil {
			raw.Control(func(fd uintptr) { n, err = ask(int(fd)) })
		}
		if err != nil {
			f.Fatal(err)
		}
		return n
	}
	size := query(f.from, func(fd int) (int, error) { return unix.FcntlInt(uintptr(fd), unix.F_GETPIPE_SZ, 0) })
	for deadline := time.Now().Add(timeout); ; time.Sleep(time.Millisecond) {
		unsent := query(f.client, func(fd int) (int, error) { return unix.IoctlGetInt(fd, unix.SIOCOUTQ) })
		passed := query(f.from, func(fd int) (int, error) { return unix.IoctlGetInt(fd, unix.TIOCINQ) })
		if unsent == 0 && passed >= size/2 {
			return
		}
		if time.Now().After(deadline) {
			f.Fatalf("%d octets are unsent, and %d passed on of the %d that fit", unsent, passed, size)
		}
	}
}

// TestParentFinishes: when the parent closes its pipe, the client is sent everything and then FIN.
// What the client sends meanwhile is discarded.
func TestParentFinishes(t *testing.T) {
	f := start(t)
	long := strings.Repeat("x", 1<<20)
	go func() { f.to.WriteString(long); f.to.Close() }()
	f.expect(f.client, long)
	f.expectEnd(f.client)
	f.expectEnd(f.from)
	for range 100 {
		f.client.Write(bytes.Repeat([]byte{0}, 16<<10))
	}
	f.client.CloseWrite()
	f.exits(child.Finished)
}

// TestViolations: nothing is passed on after a read that broke the protocol, and the client can
// still be sent something.
func TestViolations(t *testing.T) {
	for name, in := range map[string]string{
		"unknown type":    "\x00fine\x00\x09",
		"unknown command": "\x02\x07",
		"too long":        "\x00" + strings.Repeat("x", 99),
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t)
			io.WriteString(f.client, in)
			f.expect(f.from, in)
			for range 100 {
				f.say("more")
			}
			f.to.WriteString("that was wrong")
			f.expect(f.client, "that was wrong")
			f.to.Close()
			f.expectEnd(f.client)
			f.expectEnd(f.from)
		})
	}
}

// TestLongestFrame: a frame of exactly the limit is no violation.
func TestLongestFrame(t *testing.T) {
	f := start(t)
	f.expect(f.from, f.say(strings.Repeat("x", 98)))
	f.expect(f.from, f.say("next"))
}

// TestReset: a reset by the client is an error, also while much is being sent to it.
func TestReset(t *testing.T) {
	for _, much := range []bool{false, true} {
		f := start(t)
		if much {
			go io.WriteString(f.to, strings.Repeat("x", 16<<20)) // more than the kernel takes
		}
		f.expect(f.from, f.say("here"))
		f.client.SetLinger(0)
		f.client.Close()
		f.exits(child.Broken)
	}
}

// TestResetFoundByWriting: a client has reset the connection, and the child notices it when it
// sends. What the client sent is passed on. The exit code depends on whether a FIN came first.
func TestResetFoundByWriting(t *testing.T) {
	for _, c := range []struct {
		finish bool
		code   int
	}{{true, child.Finished}, {false, child.Broken}} {
		said := ""
		f := startLate(t, func(f *setup) {
			f.to.WriteString("too late")
			said = f.say("here")
			if c.finish {
				f.client.CloseWrite()
			}
			f.client.SetLinger(0)
			f.client.Close()
		})
		f.expect(f.from, said)
		f.exits(c.code)
	}
}

// TestParentReadsNothing: a parent that reads nothing for a while delays only what is for it.
func TestParentReadsNothing(t *testing.T) {
	f := start(t)
	var said bytes.Buffer
	for said.Len() < 64<<10 {
		said.WriteString("\x00a message\x00")
	}
	go f.client.Write(bytes.Repeat(said.Bytes(), 8))
	for i := range 1000 {
		fmt.Fprint(f.to, "number ", i)
		f.expect(f.client, fmt.Sprint("number ", i))
	}
	f.expect(f.from, strings.Repeat(said.String(), 8))
}
