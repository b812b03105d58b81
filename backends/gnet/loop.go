package gnet

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"

	lib "github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/backends/internal/acceptor"
	"chatbench/backends/internal/loopadapter"
	"chatbench/core"
	"chatbench/internal/loglimit"
)

const (
	readSize  = 16 << 10  // octets that one read takes
	writeSize = 256 << 10 // octets that one write is offered, and gnet may have to buffer
	// retryTime is how often it is asked whether gnet has sent what it had to buffer.
	retryTime = 5 * time.Millisecond
)

// loop is one gnet engine with one event loop, and the adapter that runs on it. It
// implements gnet's callbacks.
type loop struct {
	lib.BuiltinEventEngine
	cfg      backends.Config
	adapter  *loopadapter.Adapter
	accept   acceptor.Conns
	engine   *lib.Client
	bell     bell
	logLimit loglimit.Limit
}

func newLoop(cfg backends.Config, accept acceptor.Conns) *loop {
	l := &loop{cfg: cfg, accept: accept}
	l.adapter = loopadapter.New(cfg, loopadapter.Library{Ring: l.bell.ring, PollEvery: retryTime, MinOffer: writeSize})
	l.bell.task = func(context.Context) error {
		l.adapter.Turn()
		return nil
	}
	return l
}

// OnOpen has a new connection join the room.
func (l *loop) OnOpen(gc lib.Conn) ([]byte, lib.Action) {
	l.bell.attach(gc.EventLoop())
	c := &conn{loop: l, gnet: gc}
	gc.SetContext(c)
	c.client = l.adapter.Join(peer(gc), c)
	return nil, lib.None
}

// peer is a client's address. The zones of the addresses are strings of package net, which
// gnet would put into its pool of buffers.
func peer(gc lib.Conn) netip.AddrPort {
	remote, local := gc.RemoteAddr().(*net.TCPAddr), gc.LocalAddr().(*net.TCPAddr)
	addr := remote.AddrPort()
	remote.Zone, local.Zone = "", ""
	return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
}

// OnTraffic feeds what one read has brought.
func (l *loop) OnTraffic(gc lib.Conn) lib.Action {
	in, _ := gc.Next(-1)
	if c, ok := gc.Context().(*conn); ok && len(in) > 0 {
		c.client.Feed(in)
	}
	return lib.None
}

// OnClose is called when gnet is about to close a connection's descriptor, perhaps within a Write
// that has failed.
func (l *loop) OnClose(gc lib.Conn, err error) lib.Action {
	c, ok := gc.Context().(*conn)
	if !ok || c.gnet == nil {
		return lib.None
	}
	why, broken := core.ReasonReset, err != nil
	switch {
	case errors.Is(err, io.EOF):
		why, broken = core.ReasonEOF, false
		c.client.Flush()
	case errors.Is(err, unix.EPIPE): // of a write: a reset, but a FIN came before it
		why = core.ReasonEOF
	}
	c.gnet = nil
	c.client.Ended(why)
	if broken {
		c.readRest(gc.Fd())
	}
	return lib.None
}

// OnShutdown is called before the loop stops.
func (l *loop) OnShutdown(lib.Engine) { l.bell.detach() }
