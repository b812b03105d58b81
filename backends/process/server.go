package process

import (
	"context"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"chatbench/backends"
)

// server is the transport at work.
type server struct {
	loop *loop
	addr netip.AddrPort
	done chan struct{}
	err  error // set before done is closed
}

// program is this program, also when its file was replaced or removed.
const program = "/proc/self/exe"

func start(cfg backends.Config) (backends.Server, error) {
	if err := unix.Access(program, unix.X_OK); err != nil {
		return nil, fmt.Errorf("process: cannot run %s for the clients: %w (is /proc mounted?)", program, err)
	}
	l, err := newLoop(cfg)
	if err != nil {
		return nil, err
	}
	s := &server{loop: l, addr: l.listener.addr, done: make(chan struct{})}
	go func() {
		s.err = l.run()
		close(s.done)
	}()
	return s, nil
}

func (s *server) Addr() netip.AddrPort  { return s.addr }
func (s *server) Done() <-chan struct{} { return s.done }
func (s *server) Err() error            { return s.err }

func (s *server) Shutdown(ctx context.Context) error {
	s.loop.stop(false)
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		s.loop.stop(true)
		<-s.done
		return context.Cause(ctx)
	}
}
