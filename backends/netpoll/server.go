package netpoll

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	lib "github.com/cloudwego/netpoll"

	"chatbench/backends"
	"chatbench/backends/internal/acceptor"
	"chatbench/backends/internal/loopadapter"
)

// loop is one netpoll event loop, and the adapter that runs on it.
type loop struct {
	cfg      backends.Config
	adapter  *loopadapter.Adapter
	accept   *acceptor.Acceptor
	listener *listener
	events   lib.EventLoop
	served   chan struct{} // Serve has returned
}

func start(cfg backends.Config) (backends.Server, error) {
	accept, err := acceptor.Listen(cfg, name)
	if err != nil {
		return nil, err
	}
	l := &loop{cfg: cfg, accept: accept, served: make(chan struct{})}
	if err := l.open(); err != nil {
		accept.Abandon()
		return nil, fmt.Errorf("netpoll: %w", err)
	}
	accept.Run(l.take)
	return l.adapter.Serve(accept, l.close), nil
}

// open makes the library serve. It returns after the first call of the listener's Accept,
// because an event loop that is shut down before it serves would serve for ever.
func (l *loop) open() (err error) {
	setLog(l.cfg.Log)
	if l.listener, err = newListener(l); err != nil {
		return err
	}
	l.adapter = loopadapter.New(l.cfg, loopadapter.Library{Ring: l.listener.ring, NoCopy: true, PollEvery: time.Millisecond})
	if l.events, err = lib.NewEventLoop(onRequest, lib.WithOnPrepare(l.prepare)); err != nil {
		l.listener.Close()
		return err
	}
	go func() {
		defer close(l.served)
		_ = l.events.Serve(l.listener)
	}()
	l.listener.ring()
	select {
	case <-l.listener.called:
		return nil
	case <-l.served:
		l.listener.Close()
		return fmt.Errorf("the library's poller refuses the listener")
	}
}

// close ends the event loop. The poller belongs to the process, and stays.
func (l *loop) close() {
	_ = l.events.Shutdown(context.Background()) // no connection is left
	<-l.served
}

// take accepts a connection and passes it to the poller, through the listener.
func (l *loop) take() error {
	fd, peer, err := l.accept.FD()
	if err != nil {
		return err
	}
	l.listener.arrivals <- arrival{fd, peer} // before the poller is rung, so that it finds the connection
	l.adapter.ExpectJoin()
	return nil
}

// prepare makes a conn for a connection before the poller reads it.
func (l *loop) prepare(lc lib.Connection) context.Context {
	c := &conn{loop: l, lib: lc}
	_ = lc.SetWriteDeadline(longAgo)
	_ = lc.AddCloseCallback(c.closed)
	c.client = l.adapter.Join(lc.RemoteAddr().(address).AddrPort, c)
	l.adapter.JoinDone()
	return context.WithValue(context.Background(), connKey{}, c)
}

// arrival is an accepted connection that waits for the poller.
type arrival struct {
	fd   int
	peer netip.AddrPort
}

// address is a peer's address as a net.Addr.
type address struct{ netip.AddrPort }

func (address) Network() string { return "tcp" }
