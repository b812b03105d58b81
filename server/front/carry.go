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
	// fromClient is the buffer for what a client says: little, and mostly nothing.
	fromClient = 2 << 10
	// toClient is the buffer for what it is sent, which it has only while there is
	// something: as much as one record of TLS holds.
	toClient = 16 << 10
	// betweenUs bounds what the kernel holds between the transport and the front for
	// a client that takes nothing: otherwise it grows to megabytes before the
	// transport finds the client slow.
	betweenUs = 64 << 10
	// writeTimeout is how long a client may take over one buffer. The core ends a
	// client that is slow long before; this is for one that it has given up.
	writeTimeout = 30 * time.Second
)

var buffers = sync.Pool{New: func() any { return new([toClient]byte) }}

// halfCloser is a connection of which the sending half can be closed.
type halfCloser interface{ CloseWrite() error }

// layered is a connection over another one, as *tls.Conn is.
type layered interface{ NetConn() net.Conn }

// Carrier carries clients to a transport. Any goroutine may call its methods.
type Carrier struct {
	target netip.AddrPort
	dialer net.Dialer
	secret []byte
	linger time.Duration

	Open     atomic.Int64 // connections carried now
	NoTarget atomic.Int64 // clients for which the transport took no connection

	mu     sync.Mutex
	over   bool // guarded by mu: nobody is carried any more
	work   sync.WaitGroup
	ending context.Context
	cut    context.CancelFunc
}

// NewCarrier makes one. target is where the transport listens, secret what its
// proxyproto.Policy asks for, and linger how long a client may take to say FIN after
// the server has. It connects from a loopback address, whatever the target is.
func NewCarrier(target netip.AddrPort, secret []byte, linger time.Duration) *Carrier {
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if target.Addr().Is6() {
		loopback = netip.IPv6Loopback()
	}
	if target.Addr().IsUnspecified() {
		target = netip.AddrPortFrom(loopback, target.Port())
	}
	c := &Carrier{target: target, secret: secret, linger: linger}
	c.dialer.Control = narrow
	if !target.Addr().IsLoopback() {
		c.dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(loopback, 0))
	}
	c.ending, c.cut = context.WithCancel(context.Background())
	return c
}

// narrow bounds the receive buffer before the connection is made. Later it would take
// back some of the window that the transport was told of: what the transport then
// acknowledges lies outside, and is dropped with the acknowledgement.
func narrow(_, _ string, raw syscall.RawConn) (err error) {
	failed := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, betweenUs) })
	return errors.Join(err, failed)
}

// Shutdown waits for all that is carried to end, which the transport sees to, and
// cuts what is left when ctx ends: then it returns ctx's error.
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

// begin counts one more that is carried, unless that is over.
func (c *Carrier) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over {
		c.work.Add(1)
	}
	return !c.over
}

// Carry connects to the transport in the name of a client at peer, and carries
// octets both ways until both have ended. It closes conn. The error is one of
// connecting; afterwards an end is an end. After Shutdown it closes conn alone.
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
	// Stopped last: closing conn may take its time too, and is cut short with the rest.
	defer context.AfterFunc(c.ending, func() { reset(target); abort(conn) })()
	defer target.Close()
	defer conn.Close()
	var up sync.WaitGroup
	up.Go(func() {
		if err := copyUp(target, conn); err != nil || wasReset(conn) {
			c.settle(target)
			reset(target) // the transport learns that the client did not say FIN
			return
		}
		target.CloseWrite()
	})
	unread := false
	switch err := copyDown(conn, target); {
	case err == nil:
		// The transport has ended, and may read nothing more either: what the client
		// still says then has no end of its own.
		if half, ok := conn.(halfCloser); ok {
			half.CloseWrite()
		}
		c.bound(conn, target)
	case errors.Is(err, errClient):
		// What it said before is still there to be read. The transport, which may read
		// nothing of this client for now, is to find out that it is gone.
		unread = true
		c.bound(conn, target)
	default:
		target.SetWriteDeadline(time.Unix(1, 0))
		abort(conn)
	}
	up.Wait()
	if unread {
		c.settle(target)
	}
	return nil
}

// bound gives what a client still says the linger to come to the transport.
func (c *Carrier) bound(conn net.Conn, target *net.TCPConn) {
	until := time.Now().Add(c.linger)
	conn.SetReadDeadline(until)
	target.SetWriteDeadline(until)
}

// dial connects to the transport and says who the client is.
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

// wasReset says whether a client of TLS that seems to have said FIN was reset. The
// kernel tells of a reset once, and that may have been when it was written to: then
// what is read looks like a FIN, and TLS takes a FIN for its own end.
func wasReset(conn net.Conn) (closed bool) {
	secure, ok := conn.(*tls.Conn)
	if !ok {
		return false
	}
	below, ok := secure.NetConn().(*watched)
	if !ok || !below.ended.Load() {
		return false // TLS has its own end
	}
	raw, err := below.SyscallConn()
	if err != nil {
		return false
	}
	raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		closed = err == nil && info.State == unix.BPF_TCP_CLOSE // after a FIN it is CLOSE_WAIT
	})
	return closed
}

// socket is a TCP connection, or one of which some octets have been read already.
type socket interface {
	net.Conn
	syscall.Conn
}

// watched is a socket below TLS. It notes that there was nothing more to read.
type watched struct {
	socket
	ended atomic.Bool
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.socket.Read(p)
	if errors.Is(err, io.EOF) {
		w.ended.Store(true)
	}
	return n, err
}

// settle waits until the transport's kernel has all that the client said: a reset, which
// closing with unread input is too, would destroy what is still to be sent.
func (c *Carrier) settle(target *net.TCPConn) {
	raw, err := target.SyscallConn()
	for until := time.Now().Add(c.linger); err == nil && time.Now().Before(until) && c.ending.Err() == nil; {
		left := 0
		err = raw.Control(func(fd uintptr) { left, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
		if left == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// reset closes a connection so that the other end is told of an error.
func reset(c *net.TCPConn) {
	c.SetLinger(0)
	c.Close()
}

// abort closes a connection at once. Close alone says goodbye first where the
// protocol has a word for it, and a client that takes nothing makes that take seconds.
func abort(conn net.Conn) {
	if l, ok := conn.(layered); ok {
		l.NetConn().Close()
	}
	conn.Close()
}

// copyUp carries what a client says, to its FIN.
func copyUp(to *net.TCPConn, from net.Conn) error {
	buf := make([]byte, fromClient)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				// The transport takes no more. It may still have something to say:
				// its end comes by the other direction.
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

// drain reads and forgets what a client still says.
func drain(from net.Conn, buf []byte) error {
	for {
		if _, err := from.Read(buf); err != nil {
			return fmt.Errorf("front: %w", err)
		}
	}
}

// errClient says that the client takes nothing any more.
var errClient = errors.New("the client is gone, or takes nothing")

// copyDown carries what the transport sends, to its FIN. While there is nothing it
// holds no buffer. An error that is errClient is of the client.
func copyDown(to net.Conn, from *net.TCPConn) error {
	raw, err := from.SyscallConn()
	if err != nil {
		return fmt.Errorf("front: %w", err)
	}
	for {
		buf := (*[toClient]byte)(nil)
		n, failed := 0, error(nil)
		err := raw.Read(func(fd uintptr) (done bool) {
			buf = buffers.Get().(*[toClient]byte)
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
			to.SetWriteDeadline(time.Time{}) // what is written otherwise, as answers of TLS, has none
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
