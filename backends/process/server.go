package process

import (
	"fmt"

	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/backends/internal/lifecycle"
)

// server is the transport at work.
type server struct {
	*lifecycle.Server
	loop *loop
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
	s := &server{lifecycle.New(l.listener.Addr, l.stop), l}
	go func() { s.Ended(l.run()) }()
	return s, nil
}
