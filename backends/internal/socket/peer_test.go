package socket

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends"
)

// TestPeerEnding: the socket tells how its peer has left, behind what is unread.
func TestPeerEnding(t *testing.T) {
	finish := func(c *net.TCPConn, _ int) { c.CloseWrite() }
	reset := func(c *net.TCPConn, _ int) { c.SetLinger(0); c.Close() }
	for name, c := range map[string]struct {
		leave       func(c *net.TCPConn, conn int)
		first, then Ending
	}{
		"stays":        {func(*net.TCPConn, int) {}, Connected, Connected},
		"finishes":     {finish, Finished, Finished},
		"resets":       {reset, Reset, AlreadyReported},
		"resets after": {func(c *net.TCPConn, fd int) { finish(c, fd); reset(c, fd) }, Finished, AlreadyReported},
		"reported by a write": {func(c *net.TCPConn, fd int) {
			reset(c, fd)
			for end := time.Now().Add(time.Minute); !PeerHasLeft(fd) && time.Now().Before(end); {
				time.Sleep(time.Millisecond)
			}
			if _, err := unix.Write(fd, []byte("x")); err != unix.ECONNRESET {
				t.Errorf("write: %v", err)
			}
		}, AlreadyReported, AlreadyReported},
	} {
		t.Run(name, func(t *testing.T) {
			listener, addr := listen(t, backends.Config{Listen: "127.0.0.1:0"})
			client, conn, _ := dial(t, listener, addr)
			if _, err := client.Write([]byte("unread")); err != nil {
				t.Fatal(err)
			}
			c.leave(client.(*net.TCPConn), conn)
			for end := time.Now().Add(time.Minute); c.first != Connected && time.Now().Before(end); time.Sleep(time.Millisecond) {
				if left, closed := peerState(conn); left && (closed || c.then != AlreadyReported) {
					break
				}
			}
			if got := PeerEnding(conn); got != c.first {
				t.Errorf("%d in place of %d", got, c.first)
			}
			if got := PeerEnding(conn); got != c.then {
				t.Errorf("%d in place of %d the second time", got, c.then)
			}
		})
	}
}
