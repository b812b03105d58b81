package gnet

import (
	"fmt"

	lib "github.com/panjf2000/gnet/v2"

	"chatbench/backends"
	"chatbench/backends/internal/acceptor"
	"chatbench/backends/internal/socket"
)

func start(cfg backends.Config) (backends.Server, error) {
	accept, err := acceptor.ListenConns(cfg, name)
	if err != nil {
		return nil, err
	}
	l := newLoop(cfg, accept)
	if err := l.open(); err != nil {
		accept.Abandon()
		return nil, fmt.Errorf("gnet: %w", err)
	}
	accept.Run(l.take)
	return l.adapter.Serve(accept, l.close), nil
}

// open starts the engine.
func (l *loop) open() (err error) {
	l.engine, err = lib.NewClient(l,
		lib.WithNumEventLoop(1),
		lib.WithReadBufferCap(readSize),
		lib.WithLogger(logger{l.cfg.Log, &l.logLimit}))
	if err != nil {
		return err
	}
	return l.engine.Start()
}

// close ends the engine.
func (l *loop) close() {
	if err := l.engine.Stop(); err != nil {
		l.cfg.Log.Error("gnet has ended with an error", "backend", name, "err", err)
	}
}

// take accepts a connection and gives it to the engine, which duplicates its descriptor. It
// returns after OnOpen. If there is no second descriptor the connection is turned away.
func (l *loop) take() error {
	nc, err := l.accept.Conn()
	if err != nil {
		return err
	}
	if _, err = l.engine.Enroll(nc); socket.Exhausted(err) {
		l.cfg.Counters.NoDescriptors.Add(1)
	}
	return err
}
