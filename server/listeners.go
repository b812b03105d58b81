package server

import (
	"context"
	"crypto/rand"
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

// turnedAway is how many connections the TLS front takes beside those of as many
// clients as there may be: so one too many is told so.
const turnedAway = 16

// listeners is what stands between clients and the transport: the TLS front, the
// browser page, and the carrier of both. With neither, the transport is alone.
type listeners struct {
	opts   Options
	secret []byte // by which the transport knows the carrier
	cert   *front.Certificate
	clear  *net.TCPListener // of the front; nil: the transport itself listens where clients come
	page   *net.TCPListener

	carrier *front.Carrier
	front   *front.Front
	web     *web.Server

	work  sync.WaitGroup // the watch over the certificate, and those who accept
	ended context.CancelFunc
}

// newListeners loads the certificate and binds. Nobody is accepted before serve.
func newListeners(o Options) (*listeners, error) {
	l := &listeners{opts: o, secret: make([]byte, 32), ended: func() {}}
	rand.Read(l.secret) // it does not fail
	var err error
	if o.tls() {
		if l.cert, err = front.LoadCertificate(o.TLSCert, o.TLSKey, o.Log); err != nil {
			return nil, err
		}
		if l.clear, err = l.listen("-listen", o.Listen); err != nil {
			return nil, err
		}
	}
	if o.Web != "" {
		if l.page, err = l.listen("-web", o.Web); err != nil {
			l.close()
			return nil, err
		}
	}
	return l, nil
}

func (l *listeners) listen(flag, address string) (*net.TCPListener, error) {
	listener, err := tcp.Listen(address, tcp.Options{SendBuffer: l.opts.SendBuffer, Backlog: l.opts.Backlog})
	if err != nil {
		return nil, bindError(flag, address, err)
	}
	return listener, nil
}

// close gives up what newListeners has bound.
func (l *listeners) close() {
	for _, listener := range []*net.TCPListener{l.clear, l.page} {
		if listener != nil {
			listener.Close()
		}
	}
}

// transport is where the transport listens.
func (l *listeners) transport() string {
	if l.clear != nil {
		return "127.0.0.1:0"
	}
	return l.opts.Listen
}

// preface is what connections to the transport begin with.
func (l *listeners) preface() func(netip.AddrPort) core.Preface {
	switch {
	case l.clear != nil:
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
	if l.clear == nil && l.page == nil {
		return
	}
	o := l.opts
	l.carrier = front.NewCarrier(target, l.secret, o.Linger)
	ctx, cancel := context.WithCancel(context.Background())
	l.ended = cancel
	if l.cert != nil {
		l.work.Go(func() { l.cert.Watch(ctx) })
		l.front = front.New(front.Config{
			Listener: l.clear, TLS: l.cert.TLS(o.TLSMin), Carrier: l.carrier, Trusted: o.ProxyFrom,
			Banned: banned, Refused: refused, MaxConns: o.MaxClients + turnedAway, Log: o.Log,
		})
		l.work.Go(l.front.Serve)
	}
	if l.page != nil {
		cfg := web.Config{
			Carry: l.carrier.Carry, Trusted: o.ProxyFrom, Origins: o.WebOrigins,
			Banned: banned, Refused: refused, MaxConns: o.MaxClients + turnedAway, Log: o.Log,
		}
		if l.cert != nil {
			cfg.TLS = l.cert.TLS(o.TLSMin)
		}
		l.web = web.New(cfg)
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
	if l.clear == nil {
		return netip.AddrPort{}, false
	}
	return tcp.Bound(l.clear), true
}

// url is where browsers find the page; "" if there is none.
func (l *listeners) url() string {
	switch {
	case l.page == nil:
		return ""
	case l.cert != nil:
		return fmt.Sprintf("https://%s/", tcp.Bound(l.page))
	}
	return fmt.Sprintf("http://%s/", tcp.Bound(l.page))
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
