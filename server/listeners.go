package server

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"chatbench/core"
	"chatbench/core/proxyproto"
	"chatbench/internal/processors"
	"chatbench/internal/tcp"
	"chatbench/server/front"
	"chatbench/server/web"
)

// turnedAway is how many connections the front accepts in addition to the maximum of
// clients, so that clients beyond the maximum are told that the server is full.
const turnedAway = 16

// Sockets are listening sockets that another process, such as systemd, has opened; see
// package activation. nil: the server opens its own.
type Sockets struct{ Chat, Web, Admin *net.TCPListener }

// useSockets replaces addresses by those of the passed sockets, so that the checks of
// addresses apply to sockets too.
func (o *Options) useSockets() {
	for _, passed := range []struct {
		listener *net.TCPListener
		address  *string
	}{{o.Sockets.Chat, &o.Listen}, {o.Sockets.Web, &o.Web}, {o.Sockets.Admin, &o.Admin}} {
		if passed.listener != nil {
			*passed.address = tcp.Bound(passed.listener).String()
		}
	}
}

// close closes the sockets. Some may be closed already.
func (s Sockets) close() {
	for _, l := range []*net.TCPListener{s.Chat, s.Web, s.Admin} {
		if l != nil {
			l.Close()
		}
	}
}

// hasFront says whether clients connect to the front and not to the transport itself: with
// TLS, or if a socket was passed.
func (o *Options) hasFront() bool { return o.tls() || o.Sockets.Chat != nil }

// listeners is the parts between clients and the transport: the front, the browser page, and
// the carrier of both. Without front and page, clients connect to the transport itself.
type listeners struct {
	opts   Options
	secret []byte // with which the carrier proves its PROXY headers
	cert   *front.Certificate
	chat   net.Listener // of the front; nil: clients connect to the transport itself
	page   net.Listener

	carrier *front.Carrier
	front   *front.Front
	web     *web.Server

	work             sync.WaitGroup     // the goroutines that watch the certificate and accept
	stopWatching     context.CancelFunc // of the certificate
	releaseProcessor func()
}

// newListeners loads the certificate, and binds the addresses or uses the passed sockets.
// serve begins to accept clients.
func newListeners(o Options) (*listeners, error) {
	l := &listeners{opts: o, secret: make([]byte, 32), stopWatching: func() {}, releaseProcessor: func() {}}
	rand.Read(l.secret) // never fails
	var err error
	if o.tls() {
		if l.cert, err = front.LoadCertificate(o.TLSCert, o.TLSKey, o.Log); err != nil {
			return nil, err
		}
	}
	if o.hasFront() {
		if l.chat, err = l.listen("-listen", o.Listen, o.Sockets.Chat); err != nil {
			return nil, err
		}
	}
	if o.Web != "" {
		if l.page, err = l.listen("-web", o.Web, o.Sockets.Web); err != nil {
			l.close()
			return nil, err
		}
	}
	return l, nil
}

// listen listens on an address, or on the socket that was passed for it.
func (l *listeners) listen(flag, address string, passed *net.TCPListener) (net.Listener, error) {
	options := tcp.Options{SendBuffer: l.opts.SendBuffer, Backlog: l.opts.Backlog}
	if passed != nil {
		l.opts.Log.Info("using a passed socket instead of "+flag, "addr", address)
		return tcp.Adopt(passed, options)
	}
	listener, err := tcp.Listen(address, options)
	if err != nil {
		return nil, bindError(flag, address, err)
	}
	return listener, nil
}

// close closes the listeners of newListeners.
func (l *listeners) close() {
	for _, listener := range []net.Listener{l.chat, l.page} {
		if listener != nil {
			listener.Close()
		}
	}
}

// transport is the address on which the transport listens.
func (l *listeners) transport() string {
	if l.chat != nil {
		return "127.0.0.1:0"
	}
	return l.opts.Listen
}

// preface says which connections to the transport begin with a PROXY header.
func (l *listeners) preface() func(netip.AddrPort) core.Preface {
	switch {
	case l.chat != nil:
		return (&proxyproto.Policy{Secret: l.secret, SecretOnly: true}).Preface
	case l.page != nil:
		return (&proxyproto.Policy{Secret: l.secret, Trusted: l.opts.ProxyFrom}).Preface
	case len(l.opts.ProxyFrom) > 0:
		return (&proxyproto.Policy{Trusted: l.opts.ProxyFrom}).Preface
	}
	return nil
}

// serve accepts clients for a transport that listens at target. banned and refused are
// those of front.Config.
func (l *listeners) serve(target netip.AddrPort, banned func(netip.Addr) bool, refused func(netip.AddrPort, string, string)) {
	if l.chat == nil && l.page == nil {
		return
	}
	o := l.opts
	l.carrier = front.NewCarrier(target, l.secret, o.Linger)
	// A transport's loop may keep its processor while it waits. The front and the page should
	// not wait for that.
	l.releaseProcessor = processors.Extra(1)
	ctx, cancel := context.WithCancel(context.Background())
	l.stopWatching = cancel
	var secure *tls.Config
	if l.cert != nil {
		l.work.Go(func() { l.cert.Watch(ctx) })
		secure = l.cert.TLS(o.TLSMin)
	}
	if l.chat != nil {
		l.front = front.New(front.Config{
			Listener: l.chat, TLS: secure, Carrier: l.carrier, Trusted: o.ProxyFrom,
			Banned: banned, Refused: refused, MaxConns: o.MaxClients + turnedAway, Log: o.Log,
		})
		l.work.Go(l.front.Serve)
	}
	if l.page != nil {
		l.web = web.New(web.Config{
			TLS: secure, Carry: l.carrier.Carry, Trusted: o.ProxyFrom, Origins: o.WebOrigins,
			Banned: banned, Refused: refused, MaxConns: o.MaxClients + turnedAway, Log: o.Log,
		})
		l.work.Go(func() {
			if err := l.web.Serve(l.page); err != nil {
				o.Log.Error("the server of the page has ended", "err", err)
			}
		})
	}
}

// addr is the address of the front, if there is one.
func (l *listeners) addr() (addr netip.AddrPort, isFront bool) {
	if l.chat == nil {
		return netip.AddrPort{}, false
	}
	return tcp.Bound(l.chat), true
}

// url is the URL of the page; "" if there is none.
func (l *listeners) url() string {
	if l.page == nil {
		return ""
	}
	at, scheme, name := tcp.Bound(l.page), "http", ""
	if l.cert != nil {
		scheme, name = "https", l.cert.Name()
	}
	if !at.Addr().IsUnspecified() {
		return fmt.Sprintf("%s://%s/", scheme, at)
	}
	return fmt.Sprintf("%s://%s:%d/", scheme, cmp.Or(name, "localhost"), at.Port())
}

// stopAccepting stops accepting clients. Connections that are carried stay.
func (l *listeners) stopAccepting() {
	if l.front != nil {
		l.front.StopAccepting()
	}
	if l.web != nil {
		l.web.Close()
	}
}

// shutdown waits until all carried connections have ended, which the end of the transport
// brings about. If ctx ends before, it cuts those that are left and returns ctx's error.
func (l *listeners) shutdown(ctx context.Context) (err error) {
	if l.carrier != nil {
		err = l.carrier.Shutdown(ctx)
	}
	if l.front != nil {
		l.front.Shutdown()
	}
	if l.web != nil {
		l.web.Shutdown()
	}
	l.stopWatching()
	l.work.Wait()
	l.releaseProcessor()
	return err
}
