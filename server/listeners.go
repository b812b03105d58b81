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
	"chatbench/internal/tcp"
	"chatbench/server/front"
	"chatbench/server/web"
)

// turnedAway is how many connections the front takes beside those of as many clients as
// there may be: so one too many is told so.
const turnedAway = 16

// Sockets are listening sockets that another process has opened, as systemd does; see
// package activation. nil: the server opens its own.
type Sockets struct{ Chat, Web, Admin *net.TCPListener }

// useSockets has each of the sockets that were passed be the address it stands for: so
// what is refused of an address is refused of the socket.
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

// close closes the sockets; those that somebody else has closed already, too.
func (s Sockets) close() {
	for _, l := range []*net.TCPListener{s.Chat, s.Web, s.Admin} {
		if l != nil {
			l.Close()
		}
	}
}

// fronted says whether clients come to the front, not to the transport itself: by TLS, or
// to a socket that was passed.
func (o *Options) fronted() bool { return o.tls() || o.Sockets.Chat != nil }

// listeners is what stands between clients and the transport: the front, the browser
// page, and the carrier of both. With neither, the transport is alone.
type listeners struct {
	opts   Options
	secret []byte // by which the transport knows the carrier
	cert   *front.Certificate
	chat   net.Listener // of the front; nil: the transport itself listens where clients come
	page   net.Listener

	carrier *front.Carrier
	front   *front.Front
	web     *web.Server

	work  sync.WaitGroup // the watch over the certificate, and those who accept
	ended context.CancelFunc
}

// newListeners loads the certificate, and binds or takes what was passed. Nobody is
// accepted before serve.
func newListeners(o Options) (*listeners, error) {
	l := &listeners{opts: o, secret: make([]byte, 32), ended: func() {}}
	rand.Read(l.secret) // it does not fail
	var err error
	if o.tls() {
		if l.cert, err = front.LoadCertificate(o.TLSCert, o.TLSKey, o.Log); err != nil {
			return nil, err
		}
	}
	if o.fronted() {
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

// listen listens at an address, or to the socket that was passed for it.
func (l *listeners) listen(flag, address string, passed *net.TCPListener) (net.Listener, error) {
	options := tcp.Options{SendBuffer: l.opts.SendBuffer, Backlog: l.opts.Backlog}
	if passed != nil {
		l.opts.Log.Info("a socket was passed, it takes the place of "+flag, "addr", address)
		return tcp.Adopt(passed, options)
	}
	listener, err := tcp.Listen(address, options)
	if err != nil {
		return nil, bindError(flag, address, err)
	}
	return listener, nil
}

// close gives up what newListeners has bound.
func (l *listeners) close() {
	for _, listener := range []net.Listener{l.chat, l.page} {
		if listener != nil {
			listener.Close()
		}
	}
}

// transport is where the transport listens.
func (l *listeners) transport() string {
	if l.chat != nil {
		return "127.0.0.1:0"
	}
	return l.opts.Listen
}

// preface is what connections to the transport begin with.
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

// serve accepts clients for a transport that listens at target. banned and refused
// are as front.Config has them.
func (l *listeners) serve(target netip.AddrPort, banned func(netip.Addr) bool, refused func(netip.AddrPort, string, string)) {
	if l.chat == nil && l.page == nil {
		return
	}
	o := l.opts
	l.carrier = front.NewCarrier(target, l.secret, o.Linger)
	ctx, cancel := context.WithCancel(context.Background())
	l.ended = cancel
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
				o.Log.Error("the page is not served any more", "err", err)
			}
		})
	}
}

// addr is where clients connect that speak the protocol, if that is not where the
// transport listens.
func (l *listeners) addr() (addr netip.AddrPort, isFront bool) {
	if l.chat == nil {
		return netip.AddrPort{}, false
	}
	return tcp.Bound(l.chat), true
}

// url is where browsers find the page; "" if there is none.
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

// stopAccepting has nobody come any more; those who are carried stay.
func (l *listeners) stopAccepting() {
	if l.front != nil {
		l.front.StopAccepting()
	}
	if l.web != nil {
		l.web.Close()
	}
}

// shutdown waits until all that is carried has ended, and cuts what is left when ctx
// ends: then it returns ctx's error. The transport is ending too.
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
	l.ended()
	l.work.Wait()
	return err
}
