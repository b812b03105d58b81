// Package front stands before a transport: it accepts the connections that come by
// TLS, or to a socket that the transport cannot open itself, and carries their octets to
// the transport's own listener, which is on loopback, behind a PROXY header that names
// the client and proves to come from this process. So every transport serves TLS and the
// sockets that systemd passes, and none knows of either.
//
// It refuses to look into frames, to limit clients of one address and to log
// anybody in: that is the core's, which learns the client's address from the
// header. But handshakes come before that, so they are bounded for each address here.
// What one client can make it keep is bounded: a handshake by its time and by how
// many there are at once, octets by one buffer each way; a client that takes no more
// is not read from the transport, which then finds it slow.
//
// Any goroutine may call the methods of a Front.
package front

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"chatbench/core"
	"chatbench/core/proxyproto"
	"chatbench/core/wire"
	"chatbench/internal/loglimit"
)

// goodbyeTimeout is how long a client that speaks no TLS has to take the answer.
const goodbyeTimeout = 250 * time.Millisecond

// Config is what a front is made of.
type Config struct {
	Listener net.Listener // where clients come, of TCP; StopAccepting closes it
	// TLS is how clients are spoken to; see Certificate.TLS. nil: without TLS.
	TLS     *tls.Config
	Carrier *Carrier // to the transport
	// Trusted are proxies in front of this one: what comes from them begins with a
	// PROXY header, before the TLS handshake.
	Trusted []netip.Prefix
	// Banned says whether a client's address is banned: it is not shaken hands with.
	// nil: none is.
	Banned func(netip.Addr) bool
	// Refused is told of clients that never come to the transport, and why: in one
	// word, and what was wrong if there is more to say. It must not block. nil: nobody is.
	Refused func(peer netip.AddrPort, reason, detail string)

	MaxConns int // connections at once; more wait to be accepted; 10,000
	// MaxHandshakes is how many of them may be in their TLS handshake, an eighth of
	// MaxConns at the most; 256. See handshakes for the part that one address has.
	MaxHandshakes    int
	HandshakeTimeout time.Duration // for header, a place, and handshake together; 5 s
	Log              *slog.Logger  // rare events only, or bounded ones
}

// Counters is what a front has counted since it was made.
type Counters struct {
	Accepts    atomic.Int64 // connections accepted
	Handshakes atomic.Int64 // of them, those under way now
	// How connections ended that never came to the transport.
	BadHeader atomic.Int64 // a PROXY header that is wrong, missing or late
	BadTLS    atomic.Int64 // a handshake that failed
	TimedOut  atomic.Int64 // a handshake that took too long
	TooMany   atomic.Int64 // no place for its handshake in time, or too many waited for one
	Banned    atomic.Int64 // the address is banned
}

// Front is a front at work.
type Front struct {
	Counters
	cfg    Config
	policy proxyproto.Policy
	places chan struct{} // for connections
	shakes *handshakes
	lines  loglimit.Limit // of clients that cannot be carried

	work   sync.WaitGroup
	ending context.Context // ended: handshakes are cut
	cut    context.CancelFunc
}

// New makes a front. Serve lets it work, and has to be called once.
func New(cfg Config) *Front {
	if cfg.MaxConns <= 0 {
		cfg.MaxConns = 10_000
	}
	if cfg.MaxHandshakes <= 0 {
		cfg.MaxHandshakes = 256
	}
	if cfg.HandshakeTimeout <= 0 {
		cfg.HandshakeTimeout = 5 * time.Second
	}
	if cfg.Banned == nil {
		cfg.Banned = func(netip.Addr) bool { return false }
	}
	if cfg.Refused == nil {
		cfg.Refused = func(netip.AddrPort, string, string) {}
	}
	f := &Front{
		cfg: cfg, policy: proxyproto.Policy{Trusted: cfg.Trusted},
		places: make(chan struct{}, cfg.MaxConns),
		shakes: newHandshakes(min(cfg.MaxHandshakes, max(cfg.MaxConns/8, 1))), // with those who wait, 5/8 of the connections
	}
	f.ending, f.cut = context.WithCancel(context.Background())
	f.work.Add(1) // Serve's
	return f
}

// Serve takes connections until StopAccepting or Shutdown, and returns then.
func (f *Front) Serve() {
	defer f.work.Done()
	for failing := false; ; {
		select {
		case f.places <- struct{}{}:
		case <-f.ending.Done():
			return
		}
		conn, err := f.cfg.Listener.Accept()
		switch {
		case err == nil:
			failing = false
			f.Accepts.Add(1)
			f.work.Go(func() {
				defer func() { <-f.places }()
				f.serve(conn.(*net.TCPConn))
			})
			continue
		case errors.Is(err, net.ErrClosed):
			return
		}
		<-f.places
		if !failing {
			f.cfg.Log.Warn("the listener before the transport cannot accept, and tries again", "err", err)
		}
		failing = true
		select { // out of descriptors, most likely: those who end give some back
		case <-time.After(100 * time.Millisecond):
		case <-f.ending.Done():
		}
	}
}

// StopAccepting closes the listener and cuts handshakes: nobody comes any more, and
// those who are carried stay.
func (f *Front) StopAccepting() {
	f.cfg.Listener.Close()
	f.cut()
}

// Shutdown stops accepting and waits for the connections to end. The transport ends
// those that are carried, or the Carrier cuts them.
func (f *Front) Shutdown() {
	f.StopAccepting()
	f.work.Wait()
}

// serve serves one connection to its end.
func (f *Front) serve(conn *net.TCPConn) {
	defer conn.Close()
	from := conn.RemoteAddr().(*net.TCPAddr).AddrPort()
	peer := netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	client := net.Conn(conn)
	if preface := f.policy.Preface(peer); preface != nil || f.cfg.TLS != nil {
		var err error
		if client, peer, err = f.begin(conn, peer, preface); err != nil {
			f.count(peer, err)
			tellPlain(conn, err)
			return
		}
	}
	if err := f.cfg.Carrier.Carry(client, peer); err != nil {
		f.lines.Warn(f.cfg.Log, "a client cannot be carried to the transport", "peer", peer, "err", err)
	}
}

var (
	errBanned  = errors.New("front: the address is banned")
	errTooMany = errors.New("front: there is no place for the handshake")
)

// count counts a connection that never came to the transport, and tells of it.
func (f *Front) count(peer netip.AddrPort, err error) {
	var timeout net.Error
	switch {
	case f.ending.Err() != nil: // cut by us
	case errors.Is(err, errBanned):
		f.Banned.Add(1)
		f.cfg.Refused(peer, "banned", "")
	case errors.Is(err, errTooMany):
		f.TooMany.Add(1)
		f.cfg.Refused(peer, "handshakes", "")
	case errors.Is(err, proxyproto.ErrHeader):
		f.BadHeader.Add(1)
		f.cfg.Refused(peer, "preface", "")
	case errors.As(err, &timeout) && timeout.Timeout():
		f.TimedOut.Add(1)
		f.cfg.Refused(peer, "handshake-timeout", "")
	default:
		f.BadTLS.Add(1)
		f.cfg.Refused(peer, "tls", strings.TrimPrefix(err.Error(), "front: "))
	}
}

// tellPlain answers a client that speaks no TLS but the protocol itself: without a
// word it could not know what is wrong.
func tellPlain(conn *net.TCPConn, err error) {
	var header tls.RecordHeaderError
	if !errors.As(err, &header) || header.RecordHeader[0] != byte(wire.Cred) {
		return
	}
	conn.SetDeadline(time.Now().Add(goodbyeTimeout))
	if _, err := conn.Write(wire.AppendClose(wire.AppendDenied(nil, wire.NeedsTLS))); err == nil && conn.CloseWrite() == nil {
		io.Copy(io.Discard, conn) // what is left unread would reset the connection, and destroy the answer
	}
}

// begin does what comes before the first frame: it reads a trusted proxy's header, if
// one has to come, and shakes hands, if TLS is spoken.
func (f *Front) begin(conn *net.TCPConn, peer netip.AddrPort, preface core.Preface) (net.Conn, netip.AddrPort, error) {
	until := time.Now().Add(f.cfg.HandshakeTimeout)
	conn.SetDeadline(until)
	defer context.AfterFunc(f.ending, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	client := net.Conn(conn)
	if preface != nil {
		rest, named, err := readPreface(conn, preface.Take)
		if err != nil {
			return nil, peer, err
		}
		if named.IsValid() {
			peer = named
		}
		if len(rest) > 0 {
			client = &begun{conn, rest}
		}
	}
	if f.cfg.Banned(peer.Addr()) {
		return nil, peer, errBanned
	}
	if f.cfg.TLS != nil {
		secure, err := f.handshake(client, peer.Addr(), until)
		if err != nil {
			return nil, peer, err
		}
		client = secure
	}
	conn.SetDeadline(time.Time{})
	return client, peer, nil
}

// handshake shakes hands when there is a place for it. The place is that of the client
// at addr, whatever proxy it comes by.
func (f *Front) handshake(client net.Conn, addr netip.Addr, until time.Time) (*tls.Conn, error) {
	if !f.shakes.enter(f.ending, addr, time.Until(until)) {
		return nil, errTooMany
	}
	defer f.shakes.leave(addr)
	f.Handshakes.Add(1)
	defer f.Handshakes.Add(-1)
	secure := tls.Server(client, f.cfg.TLS)
	if err := secure.HandshakeContext(f.ending); err != nil {
		return nil, fmt.Errorf("front: %w", err)
	}
	return secure, nil
}

// readPreface reads to the end of a PROXY header, and gives what has come behind it.
func readPreface(conn net.Conn, take func([]byte) ([]byte, bool, netip.AddrPort, error)) (rest []byte, client netip.AddrPort, err error) {
	buf := make([]byte, 1024)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, client, fmt.Errorf("%w: it has not come: %w", proxyproto.ErrHeader, err)
		}
		rest, done, client, err := take(buf[:n])
		if err != nil || done {
			return rest, client, err
		}
	}
}

// begun is a connection of which some octets have been read already.
type begun struct {
	*net.TCPConn
	rest []byte
}

func (b *begun) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		return b.TCPConn.Read(p)
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}
