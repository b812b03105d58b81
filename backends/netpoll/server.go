package netpoll

import (
	"context"
	"fmt"
	"net/netip"

	lib "github.com/cloudwego/netpoll"

	"chatbench/backends"
	"chatbench/backends/internal/acceptor"
	"chatbench/backends/internal/guest"
)

// host is one netpoll event loop with a guest on it.
type host struct {
	cfg    backends.Config
	guest  *guest.Guest
	accept *acceptor.Acceptor
	gate   *gate
	loop   lib.EventLoop
	served chan struct{} // Serve has returned
}

func start(cfg backends.Config) (backends.Server, error) {
	accept, err := acceptor.Listen(cfg, name)
	if err != nil {
		return nil, err
	}
	h := &host{cfg: cfg, accept: accept, served: make(chan struct{})}
	if err := h.open(); err != nil {
		accept.Abandon()
		return nil, fmt.Errorf("netpoll: %w", err)
	}
	accept.Run(h.take)
	return h.guest.Serve(accept, h.close), nil
}

// open has the library serve. It returns when the gate has been called for the
// first time, for an event loop that is shut down before it serves would serve
// ever after.
func (h *host) open() (err error) {
	setLog(h.cfg.Log)
	if h.gate, err = newGate(h); err != nil {
		return err
	}
	h.guest = guest.New(h.cfg, guest.Library{Ring: h.gate.ring, Borrows: true, Mute: true})
	if h.loop, err = lib.NewEventLoop(onRequest, lib.WithOnPrepare(h.prepare)); err != nil {
		h.gate.Close()
		return err
	}
	go func() {
		defer close(h.served)
		_ = h.loop.Serve(h.gate)
	}()
	h.gate.ring()
	select {
	case <-h.gate.called:
		return nil
	case <-h.served:
		h.gate.Close()
		return fmt.Errorf("the poller does not take a listener")
	}
}

// close ends the event loop. The poller below it is the process's, and stays.
func (h *host) close() {
	_ = h.loop.Shutdown(context.Background()) // no connection is left for it to wait for
	<-h.served
}

// take accepts a connection and hands it on to the poller, through the gate.
func (h *host) take() error {
	fd, peer, err := h.accept.FD()
	if err != nil {
		return err
	}
	h.gate.arrivals <- arrival{fd, peer} // before the poller is told, so that it finds it
	h.guest.Coming()
	return nil
}

// prepare makes a line of a connection before the poller reads it.
func (h *host) prepare(conn lib.Connection) context.Context {
	l := &line{host: h, conn: conn}
	_ = conn.SetWriteDeadline(longAgo)
	_ = conn.AddCloseCallback(l.closed)
	l.client = h.guest.Join(conn.RemoteAddr().(address).AddrPort, l)
	return context.WithValue(context.Background(), lineKey{}, l)
}

// arrival is a connection on its way from the acceptor to the poller, as the
// library takes it from a listener.
type arrival struct {
	fd   int
	peer netip.AddrPort
}

// address is a peer's address as a net.Addr.
type address struct{ netip.AddrPort }

func (address) Network() string { return "tcp" }
