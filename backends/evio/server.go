package evio

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	lib "github.com/tidwall/evio"
	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/internal/tcp"
)

// errEnded is the error when evio's loop has ended without a Shutdown.
var errEnded = errors.New("evio: the loop ended by itself, as it does when accept(2) fails: find out what uses up the descriptors")

// server is the running transport.
type server struct {
	loop  *loop
	addr  netip.AddrPort
	other net.Conn // the bell's other end
	done  chan struct{}
	err   error // these are set before done is closed
	cut   error
}

func start(cfg backends.Config) (backends.Server, error) {
	s := &server{loop: newLoop(cfg), done: make(chan struct{})}
	go s.run(cfg)
	select {
	case err := <-s.loop.ready:
		if err == nil {
			return s, nil
		}
		select {
		case <-s.done:
		case <-time.After(time.Second): // evio waits for ever for a loop that ends too early
		}
		return nil, fmt.Errorf("evio: %w", err)
	case <-s.done:
		return nil, s.err
	}
}

// run serves until evio ends.
func (s *server) run(cfg backends.Config) {
	l := s.loop
	var failed error // of serving
	err := lib.Serve(lib.Events{
		NumLoops: 1,
		Serving: func(e lib.Server) lib.Action {
			if failed = s.serving(cfg, e); failed != nil {
				return lib.Shutdown
			}
			return lib.None
		},
		Opened: l.opened,
		Data:   l.data,
		Closed: l.closed,
	}, tcp.Network(cfg.Listen)+"://"+cfg.Listen)
	l.bell.detach()
	l.over()
	if l.acceptor != nil {
		l.acceptor.stop()
	}
	if s.other != nil {
		s.other.Close()
	}
	s.err = ending(cfg, errors.Join(err, failed, l.failed))
	if s.err == nil && !l.stopping.Load() {
		s.err = errEnded
	}
	s.cut = l.cut
	close(s.done)
}

// ending is the error with which Serve has ended, as it is shown to an operator.
func ending(cfg backends.Config, err error) error {
	var listening *net.OpError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &listening) && listening.Op == "listen":
		return tcp.Explain(cfg.Listen, listening)
	}
	return fmt.Errorf("evio: %w", err)
}

// serving is called when evio listens and has no loop yet. It sets the backlog, and connects
// the bell.
func (s *server) serving(cfg backends.Config, e lib.Server) error {
	s.addr = addrPort(e.Addrs[0])
	err := eachListener(s.addr, func(fd int) error {
		// Without a descriptor for its loop evio panics, and then hangs.
		if !spare(fd) {
			return fmt.Errorf("fewer than %d descriptors are left: %w: raise the limit (ulimit -n)", minDescriptors, unix.EMFILE)
		}
		if cfg.Backlog <= 0 {
			return nil
		}
		// A second listen changes the backlog and nothing else.
		if err := unix.Listen(fd, cfg.Backlog); err != nil {
			return fmt.Errorf("set the backlog: %w", err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	d := net.Dialer{Timeout: 5 * time.Second, KeepAlive: -1}
	other, err := d.Dial("tcp", s.addr.String())
	if err != nil {
		return fmt.Errorf("connecting to itself: %w", err)
	}
	s.other, s.loop.bellPeer, s.loop.addr = other, addrPort(other.LocalAddr()), s.addr
	return nil
}

// Addr is where the server is bound.
func (s *server) Addr() netip.AddrPort { return s.addr }

// Done is closed when the server has ended.
func (s *server) Done() <-chan struct{} { return s.done }

// Err is why the loop has ended by itself; valid after Done.
func (s *server) Err() error { return s.err }

// Shutdown turns away new connections and waits for the others to end; those which are left
// when ctx ends are cut.
func (s *server) Shutdown(ctx context.Context) error {
	s.loop.stopping.Store(true)
	s.loop.acceptor.closing.Store(true)
	s.loop.bell.ring()
	select {
	case <-s.done:
	case <-ctx.Done():
		why := fmt.Errorf("evio: connections were cut: %w", ctx.Err())
		s.loop.cutting.Store(&why)
		s.loop.bell.ring()
		<-s.done
	}
	return s.cut
}
