// Package null is the null server: it does the least that a server of this wire protocol can do.
// The load generator finds its own ceiling against it. It accepts any login,
// sends every message to everybody, and forwards FILE frames to the user that they name.
//
// It is not a chat server: it has no limits, no checks of texts, no drain, and
// of FILE frames it checks only that the addressee is logged in. A slow reader makes it wait: nothing is read
// until all clients have caught up.
//
// One thread serves all clients. Each message is stored once in a ring; a
// client has only an offset into it, and gets everything new in one system
// call a turn. Listen may be called from any goroutine; Serve occupies the
// goroutine that calls it, and its thread, until the context ends.
package null

import (
	"context"
	"fmt"
	"net"
	"runtime"

	"golang.org/x/sys/unix"

	"chatbench/core/wire"
	"chatbench/loadgen/pin"
)

const (
	readSize  = 256 << 10
	maxEvents = 1024
	maxTurn   = ringSize / 32 // octets of messages in one turn before they are sent
)

// Server is a null server that is bound to its address.
type Server struct {
	CPU []int // what its thread may run on; empty: any CPU. Set it before Serve

	listener *net.TCPListener
	accept   int // the listener's descriptor
	epoll    int
	wake     int // eventfd: the context has ended
	ring     *ring
	clients  []*client          // by descriptor
	members  []*client          // the clients that are logged in
	names    map[string]*client // of members
	pending  []*client          // members to whom a frame was forwarded in this turn
	flushed  uint64             // the ring's tail at the last flush
	behind   uint64             // octets that the slowest member has not been given
	events   []unix.EpollEvent
	in       []byte
}

type client struct {
	fd        int
	member    int // place in members, -1 before login
	name      string
	at        uint64 // next octet of the ring to send
	blocked   bool
	out       []byte // frames forwarded to it
	sent      int    // octets of them that are written
	isPending bool   // it is in pending
	decoder   wire.Decoder
}

// Listen binds the address; port 0 picks a free one.
func Listen(address string) (*Server, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("null: %w", err)
	}
	return &Server{listener: l.(*net.TCPListener), names: make(map[string]*client), events: make([]unix.EpollEvent, maxEvents), in: make([]byte, readSize)}, nil
}

// Addr is the address that clients connect to.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Serve runs the server until the context ends, and frees everything.
func (s *Server) Serve(ctx context.Context) (err error) {
	runtime.LockOSThread() // for good: the thread ends with its goroutine, CPU mask and all
	defer s.listener.Close()
	if err := pin.Thread(s.CPU); err != nil {
		return fmt.Errorf("null: %w", err)
	}
	file, err := s.listener.File()
	if err != nil {
		return fmt.Errorf("null: %w", err)
	}
	defer file.Close()
	s.accept = int(file.Fd())
	if err := s.open(); err != nil {
		return fmt.Errorf("null: %w", err)
	}
	defer s.close()
	stop := context.AfterFunc(ctx, func() { unix.Write(s.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) })
	defer stop()
	for ctx.Err() == nil {
		if err := s.turn(); err != nil {
			return fmt.Errorf("null: %w", err)
		}
	}
	return nil
}

func (s *Server) open() (err error) {
	if err = unix.SetNonblock(s.accept, true); err != nil {
		return err
	}
	if s.ring, err = newRing(); err != nil {
		return err
	}
	if s.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	if s.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return err
	}
	for _, fd := range []int{s.accept, s.wake} {
		if err = s.watch(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) close() {
	for _, c := range s.clients {
		if c != nil {
			unix.Close(c.fd)
		}
	}
	unix.Close(s.epoll)
	unix.Close(s.wake)
	s.ring.close()
}

func (s *Server) watch(op, fd int, events uint32) error {
	return unix.EpollCtl(s.epoll, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

// turn reads all input that is ready, then sends everybody what is new.
func (s *Server) turn() error {
	n, err := unix.EpollWait(s.epoll, s.events, -1)
	if err != nil && err != unix.EINTR {
		return err
	}
	for i := range max(n, 0) {
		events, fd := s.events[i].Events, int(s.events[i].Fd)
		switch fd {
		case s.wake:
			continue
		case s.accept:
			s.acceptAll()
			continue
		}
		if events&unix.EPOLLOUT != 0 {
			if c := s.clients[fd]; c != nil && c.blocked {
				c.blocked = false
				s.watch(unix.EPOLL_CTL_MOD, fd, unix.EPOLLIN)
				s.flush(c)
			}
		}
		if c := s.clients[fd]; c != nil && events&^unix.EPOLLOUT != 0 && s.behind <= maxBehind {
			s.read(c)
		}
	}
	s.flushAll()
	s.deliver()
	return nil
}

func (s *Server) acceptAll() {
	for {
		fd, _, err := unix.Accept4(s.accept, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			return
		}
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		for len(s.clients) <= fd {
			s.clients = append(s.clients, nil)
		}
		s.clients[fd] = &client{fd: fd, member: -1}
		if s.watch(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN) != nil {
			s.end(s.clients[fd])
		}
	}
}

// end closes a connection at once.
func (s *Server) end(c *client) {
	if m := c.member; m >= 0 {
		last := s.members[len(s.members)-1]
		s.members[m], last.member = last, m
		s.members = s.members[:len(s.members)-1]
		c.member = -1
		delete(s.names, c.name)
	}
	s.clients[c.fd] = nil
	unix.Close(c.fd)
}

func (s *Server) read(c *client) {
	n, err := unix.Read(c.fd, s.in)
	if err == unix.EAGAIN || err == unix.EINTR {
		return
	}
	if n <= 0 || err != nil {
		s.end(c)
		return
	}
	for in := s.in[:n]; ; {
		f, rest, ok, err := c.decoder.Next(in)
		if err != nil || ok && !s.take(c, f) {
			s.end(c)
			return
		}
		if !ok {
			return
		}
		in = rest
	}
}

// take handles one frame; false ends the connection.
func (s *Server) take(c *client, f wire.Frame) bool {
	switch {
	case f.Type == wire.Cred && c.member < 0:
		name, _ := wire.SplitName(f.Body)
		c.name = string(name)
		c.at = s.ring.tail
		c.member = len(s.members)
		s.members = append(s.members, c)
		s.names[c.name] = c
		_, err := unix.Write(c.fd, wire.AppendGranted(nil))
		return err == nil
	case f.Type == wire.Chat && c.member >= 0:
		s.ring.append(c.name, f.Body)
		if s.ring.tail-s.flushed > maxTurn {
			s.flushAll()
		}
		return true
	case f.Type == wire.File && c.member >= 0:
		s.forward(c, f)
		return true
	}
	return false
}

// flushAll sends everybody what is new.
func (s *Server) flushAll() {
	if s.flushed == s.ring.tail && s.behind <= maxBehind {
		return
	}
	s.flushed, s.behind = s.ring.tail, 0
	for i := len(s.members) - 1; i >= 0; i-- { // from the end: flush may remove the member
		c := s.members[i]
		s.flush(c)
		s.behind = max(s.behind, s.ring.tail-c.at, uint64(len(c.out)-c.sent))
	}
}

// flush sends a client the rest of an unfinished frame, then the new messages,
// then the frames that were forwarded to it.
func (s *Server) flush(c *client) {
	if c.sent > 0 {
		s.write(c)
	}
	for c.sent == 0 && !c.blocked && c.at < s.ring.tail {
		n, err := s.ring.send(c.fd, c.at)
		c.at += uint64(n)
		switch {
		case err == unix.EAGAIN:
			s.block(c)
		case err != nil && err != unix.EINTR:
			s.drop(c)
			return
		}
	}
	s.write(c)
}

// block waits until the client can be written to again.
func (s *Server) block(c *client) {
	c.blocked = true
	s.watch(unix.EPOLL_CTL_MOD, c.fd, unix.EPOLLIN|unix.EPOLLOUT)
}

// drop ends a broken connection, so that the server does not wait for it.
func (s *Server) drop(c *client) {
	s.end(c)
	c.at, c.out, c.sent, c.blocked = s.ring.tail, nil, 0, true
}
