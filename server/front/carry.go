package front

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/core/proxyproto"
)

const (
	dialTimeout = 5 * time.Second
	// upBufferSize is the size of the buffer for octets from a client: they are few.
	upBufferSize = 2 << 10
	// downBufferSize is the size of the buffer for octets to a client, one TLS record. A
	// client has such a buffer only while there are some.
	downBufferSize = 16 << 10
	// innerReceiveBuffer is the receive buffer of the front's connection to the transport, in octets of
	// payload (the kernel doubles it, and takes net.core.rmem_max if that is less). It bounds what the
	// kernel keeps for a client that does not read. Otherwise that grows to megabytes before the
	// transport finds the client slow.
	innerReceiveBuffer = 256 << 10
	// innerSegment is the largest TCP segment on that connection, in octets: Linux's TCP_MSS_DEFAULT.
	// See boundInput.
	innerSegment = 536
	// writeTimeout is how long writing one buffer to a client may take. The core ends a
	// slow client long before that. The timeout is for clients that the core has ended.
	writeTimeout = 30 * time.Second
)

var buffers = sync.Pool{New: func() any { return new([downBufferSize]byte) }}

// halfCloser is a connection whose sending direction can be closed.
type halfCloser interface{ CloseWrite() error }

// layered is a connection on top of another one, as *tls.Conn is.
type layered interface{ NetConn() net.Conn }

// Carrier connects clients with a transport, and copies octets between them. Any goroutine
// may call its methods.
type Carrier struct {
	target netip.AddrPort
	dialer net.Dialer
	secret []byte
	linger time.Duration

	Open     atomic.Int64 // connections carried now
	NoTarget atomic.Int64 // clients for which the connection to the transport failed

	mu     sync.Mutex
	over   bool // guarded by mu: Shutdown was called
	work   sync.WaitGroup
	ending context.Context
	cut    context.CancelFunc
}

// NewCarrier makes a Carrier. target is where the transport listens, secret is that of its
// proxyproto.Policy, and linger is how long a client may take to send FIN after the server
// has. The Carrier always connects from a loopback address.
func NewCarrier(target netip.AddrPort, secret []byte, linger time.Duration) *Carrier {
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if target.Addr().Is6() {
		loopback = netip.IPv6Loopback()
	}
	if target.Addr().IsUnspecified() {
		target = netip.AddrPortFrom(loopback, target.Port())
	}
	c := &Carrier{target: target, secret: secret, linger: linger}
	c.dialer.Control = boundInput
	c.dialer.SetMultipathTCP(false) // for which TCP_MAXSEG may not exist
	if !target.Addr().IsLoopback() {
		c.dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(loopback, 0))
	}
	c.ending, c.cut = context.WithCancel(context.Background())
	return c
}

// boundInput bounds what the kernel keeps of the transport's output, before the connection is
// made. The window that the transport was told of must not be taken back afterwards: what lies
// outside of it is dropped together with the acknowledgements it carries, and then nothing
// that the client sends is delivered while it does not read. Linux takes it back, among
// other cases, if
//   - the receive buffer is made smaller later;
//   - octets arrive for which there is no memory (ICSK_ACK_NOMEM in tcp_output.c). Since Linux 6.6
//     the window is that share of the free memory which is payload in the largest segment that has
//     arrived (tcp_measure_rcv_mss), nearly all of it after a large one. Small segments have less
//     payload, even when the kernel has merged them. While no segment is larger than 536 octets the share
//     stays one half, as it always was before, which is enough.
func boundInput(_, _ string, raw syscall.RawConn) (err error) {
	failed := raw.Control(func(fd uintptr) {
		err = errors.Join(unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, innerReceiveBuffer),
			unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, innerSegment))
	})
	return errors.Join(err, failed)
}

// Shutdown waits until all connections have ended, which the transport is to bring about. If
// ctx ends before, it cuts those that are left and returns ctx's error.
func (c *Carrier) Shutdown(ctx context.Context) error {
	c.mu.Lock()
	c.over = true
	c.mu.Unlock()
	stop := context.AfterFunc(ctx, c.cut)
	c.work.Wait()
	if !stop() {
		return ctx.Err()
	}
	c.cut()
	return nil
}

// begin counts one more connection. It returns false after Shutdown.
func (c *Carrier) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over {
		c.work.Add(1)
	}
	return !c.over
}

// Carry connects to the transport for a client at peer, and copies octets both ways until
// both directions have ended. It closes conn. It returns an error only if it cannot connect.
// After Shutdown it only closes conn.
func (c *Carrier) Carry(conn net.Conn, peer netip.AddrPort) error {
	if !c.begin() {
		abort(conn)
		return nil
	}
	defer c.work.Done()
	target, err := c.dial(peer)
	if err != nil {
		c.NoTarget.Add(1)
		abort(conn)
		return err
	}
	c.Open.Add(1)
	defer c.Open.Add(-1)
	// Deferred first, so that it is stopped last: closing conn may take long too, and can be cut.
	defer context.AfterFunc(c.ending, func() { reset(target); abort(conn) })()
	defer target.Close()
	defer conn.Close()
	var up sync.WaitGroup
	var limit deadline
	up.Go(func() {
		if err := copyUp(target, conn); err != nil || wasReset(conn) {
			c.waitDelivered(target, limit.or(c.linger))
			reset(target) // so that the transport does not take this for a FIN of the client
			return
		}
		target.CloseWrite()
	})
	unread := false
	switch err := copyDown(conn, target); {
	case err == nil:
		// The transport has ended, and may not read any more either. So the octets that the
		// client still sends need a time limit.
		if half, ok := conn.(halfCloser); ok {
			half.CloseWrite()
		}
		limit.set(conn, target, c.linger)
	case errors.Is(err, errClient):
		// What the client sent before is still to be read. The transport, which may not be
		// reading from this client now, must learn that it is gone.
		unread = true
		limit.set(conn, target, c.linger)
	default:
		target.SetWriteDeadline(time.Unix(1, 0))
		abort(conn)
	}
	up.Wait()
	if unread {
		c.waitDelivered(target, limit.or(c.linger))
	}
	return nil
}

// deadline is when the octets that a client still sends must have been delivered; zero: not limited.
type deadline struct{ at atomic.Pointer[time.Time] }

// set limits the time for them, from now on.
func (d *deadline) set(conn net.Conn, target *net.TCPConn, linger time.Duration) {
	until := time.Now().Add(linger)
	d.at.Store(&until)
	conn.SetReadDeadline(until)
	target.SetWriteDeadline(until)
}

// or is the deadline, or the end of linger from now on if it is not set.
func (d *deadline) or(linger time.Duration) time.Time {
	if at := d.at.Load(); at != nil {
		return *at
	}
	return time.Now().Add(linger)
}

// dial connects to the transport and sends the header that names the client.
func (c *Carrier) dial(peer netip.AddrPort) (*net.TCPConn, error) {
	ctx, cancel := context.WithTimeout(c.ending, dialTimeout)
	defer cancel()
	conn, err := c.dialer.DialContext(ctx, "tcp", c.target.String())
	if err != nil {
		return nil, fmt.Errorf("front: %w", err)
	}
	target := conn.(*net.TCPConn)
	header, err := proxyproto.Header(peer, target.LocalAddr().(*net.TCPAddr).AddrPort(), c.secret)
	if err == nil {
		_, err = target.Write(header)
	}
	if err != nil {
		target.Close()
		return nil, fmt.Errorf("front: %w", err)
	}
	return target, nil
}

// wasReset says whether a TLS connection that seems to have ended with FIN was reset. The
// kernel reports a reset only once, perhaps to a write. Reads then return EOF as after a
// FIN, which TLS takes for an end.
func wasReset(conn net.Conn) (closed bool) {
	secure, ok := conn.(*tls.Conn)
	if !ok {
		return false
	}
	below, ok := secure.NetConn().(*eofSocket)
	if !ok || !below.ended.Load() {
		return false // it has ended with TLS's close_notify
	}
	raw, err := below.SyscallConn()
	if err != nil {
		return false
	}
	raw.Control(func(fd uintptr) { closed = isClosed(fd) })
	return closed
}

// socket is a *net.TCPConn or a *prefixedConn.
type socket interface {
	net.Conn
	syscall.Conn
}

// eofSocket is a socket below TLS. It records whether a read has returned EOF.
type eofSocket struct {
	socket
	ended atomic.Bool
}

func (w *eofSocket) Read(p []byte) (int, error) {
	n, err := w.socket.Read(p)
	if errors.Is(err, io.EOF) {
		w.ended.Store(true)
	}
	return n, err
}

// waitDelivered waits until the kernel has delivered to the transport all that the client sent, or
// cannot any more. A reset, also one caused by closing with unread input, would discard what is not
// delivered.
func (c *Carrier) waitDelivered(target *net.TCPConn, until time.Time) {
	raw, err := target.SyscallConn()
	for err == nil && time.Now().Before(until) && c.ending.Err() == nil {
		left := 0
		err = raw.Control(func(fd uintptr) {
			if left, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ); left > 0 && isClosed(fd) {
				left = 0 // the transport has reset the connection
			}
		})
		if left == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// isClosed says whether a TCP connection was reset: after a FIN its state is CLOSE_WAIT.
func isClosed(fd uintptr) bool {
	info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	return err == nil && info.State == unix.BPF_TCP_CLOSE
}

// reset closes a connection with a reset, so that the other end sees an error.
func reset(c *net.TCPConn) {
	c.SetLinger(0)
	c.Close()
}

// abort closes a connection at once. Close alone first sends the closing message of the
// protocol, if it has one, which takes seconds if the client does not read.
func abort(conn net.Conn) {
	if l, ok := conn.(layered); ok {
		l.NetConn().Close()
	}
	conn.Close()
}

// copyUp copies octets from a client to the transport, until the client's FIN.
func copyUp(to *net.TCPConn, from net.Conn) error {
	buf := make([]byte, upBufferSize)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				// The transport does not read any more. It may still send something: the
				// other direction ends by itself.
				return drain(from, buf)
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("front: %w", err)
		}
	}
}

// drain reads and discards what a client still sends.
func drain(from net.Conn, buf []byte) error {
	for {
		if _, err := from.Read(buf); err != nil {
			return fmt.Errorf("front: %w", err)
		}
	}
}

// errClient means that writing to the client failed.
var errClient = errors.New("the client is gone, or does not read")

// copyDown copies octets from the transport to a client, until the transport's FIN. While
// there are none it has no buffer. An error of the client is an errClient.
func copyDown(to net.Conn, from *net.TCPConn) error {
	raw, err := from.SyscallConn()
	if err != nil {
		return fmt.Errorf("front: %w", err)
	}
	for {
		buf := (*[downBufferSize]byte)(nil)
		n, failed := 0, error(nil)
		err := raw.Read(func(fd uintptr) (done bool) {
			buf = buffers.Get().(*[downBufferSize]byte)
			for {
				n, failed = unix.Read(int(fd), buf[:])
				if failed != unix.EINTR {
					break
				}
			}
			if failed == unix.EAGAIN {
				buffers.Put(buf)
				buf = nil
				return false
			}
			return true
		})
		if err == nil && failed == nil && n > 0 {
			to.SetWriteDeadline(time.Now().Add(writeTimeout))
			if _, err = to.Write(buf[:n]); err != nil {
				err = fmt.Errorf("%w: %w", errClient, err)
			}
			to.SetWriteDeadline(time.Time{}) // other writes, such as answers of TLS itself, have no deadline
		}
		if buf != nil {
			buffers.Put(buf)
		}
		switch {
		case err != nil || failed != nil:
			return fmt.Errorf("front: %w", errors.Join(err, failed))
		case n == 0:
			return nil
		}
	}
}
