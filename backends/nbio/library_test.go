package nbio_test

import (
	"net"
	"sync/atomic"
	"testing"
	"time"

	lib "github.com/lesismal/nbio"
	"golang.org/x/sys/unix"

	"chatbench/internal/tcptest"
)

// These tests are about the library, not the transport. They show why the transport reads
// by itself, and checks a connection before it writes. If one fails after an upgrade, the
// workaround is no longer needed.

// sendAll writes and waits until the other end's kernel has it.
func sendAll(t *testing.T, c *net.TCPConn, p []byte) {
	if _, err := c.Write(p); err != nil {
		t.Fatal(err)
	}
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for waits := 1; waits > 0 && err == nil; time.Sleep(100 * time.Microsecond) {
		raw.Control(func(fd uintptr) { waits, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	}
	if err != nil {
		t.Fatal(err)
	}
}

// serve gives a connection to an engine. The channel gives the error with which it is
// closed.
func serve(t *testing.T, conn net.Conn, set func(*lib.Engine)) chan error {
	engine := lib.NewEngine(lib.Config{NPoller: 1, ReadBufferSize: 1 << 10})
	closed := make(chan error, 1)
	engine.OnClose(func(_ *lib.Conn, err error) { closed <- err })
	set(engine)
	if err := engine.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(engine.Stop)
	if _, err := engine.AddConn(conn); err != nil {
		t.Fatal(err)
	}
	return closed
}

func await(t *testing.T, closed chan error) {
	select {
	case <-closed:
	case <-time.After(time.Minute):
		t.Fatal("the connection is not closed")
	}
}

// TestFINLosesInput: after a FIN the library reads three times and then closes the
// connection, even if there is more to read.
func TestFINLosesInput(t *testing.T) {
	client, server := tcptest.Pair(t)
	const sent = 32 << 10
	sendAll(t, client, make([]byte, sent))
	client.CloseWrite()
	waitState(t, server, unix.BPF_TCP_CLOSE_WAIT)
	var got atomic.Int64
	await(t, serve(t, server, func(e *lib.Engine) {
		e.OnData(func(_ *lib.Conn, data []byte) { got.Add(int64(len(data))) })
	}))
	if got.Load() == sent {
		t.Error("everything was read: the library now reads to the end, and the transport need not")
	}
}

// TestFailedWriteLosesInput: a Write that fails closes the connection at once, though what
// came before the reset is unread.
func TestFailedWriteLosesInput(t *testing.T) {
	client, server := tcptest.Pair(t)
	sendAll(t, client, []byte("last words"))
	client.SetLinger(0)
	client.Close()
	waitState(t, server, unix.BPF_TCP_CLOSE)
	var got atomic.Int64
	await(t, serve(t, server, func(e *lib.Engine) {
		e.OnRead(func(c *lib.Conn) {
			c.Write([]byte("hello"))
			n, _ := c.Read(make([]byte, 100))
			got.Add(int64(max(n, 0)))
		})
	}))
	if got.Load() > 0 {
		t.Error("the unread input could be read: a failed Write no longer closes the connection")
	}
}

// waitState waits until the connection is in a TCP state.
func waitState(t *testing.T, c *net.TCPConn, want uint8) {
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Microsecond) {
		var info *unix.TCPInfo
		raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) })
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("the connection is in state %+v, %v, want %d", info, err, want)
		}
		if info.State == want {
			return
		}
	}
}
