// Package front is a proxy before a transport. It accepts connections with TLS, or on a
// socket that systemd has opened, and copies their octets to the transport's own listener,
// which is on loopback. Each connection to the transport begins with a PROXY header that
// names the client and proves that this process wrote it. So every transport can serve TLS
// and passed sockets without code for them.
//
// The package does not look into frames, does not limit clients of one address and does
// not log anybody in. The core does that, which learns the client's address from the
// header. Handshakes come before that, so the front itself limits them for each address.
// What it keeps for one client is bounded: a handshake has a timeout, and their number is
// limited; octets have one buffer each way. While a client does not read, the front does
// not read for it from the transport either, which then finds the client slow.
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

// plaintextTimeout is how long a client that does not use TLS has to receive the answer.
const plaintextTimeout = 250 * time.Millisecond

// Config configures a Front.
type Config struct {
	Listener net.Listener // a TCP listener; StopAccepting closes it
	// TLS is the configuration of TLS, see Certificate.TLS. nil: without TLS.
	TLS     *tls.Config
	Carrier *Carrier // to the transport
	// Trusted are proxies before the front: connections from them begin with a PROXY
	// header, before the TLS handshake.
	Trusted []netip.Prefix
	// Banned says whether a client's address is banned: such a client gets no handshake.
	// nil: none is.
	Banned func(netip.Addr) bool
	// Refused, if set, is called for each client that never reaches the transport: reason
	// is one word, detail says what was wrong, if there is more to say. It must not block.
	Refused func(peer netip.AddrPort, reason, detail string)

	MaxConns int // connections at once; more wait to be accepted; default 10,000
	// MaxHandshakes is how many of them may be in their TLS handshake, at most an eighth
	// of MaxConns; default 256. See handshakes for the share of one address.
	MaxHandshakes    int
	HandshakeTimeout time.Duration // for header, waiting and handshake together; default 5 s
	Log              *slog.Logger  // rare events only, or limited ones
}

// Counters is the counters of a Front.
type Counters struct {
	Accepts    atomic.Int64 // connections accepted
	Handshakes atomic.Int64 // handshakes running now
	// Why connections ended that never reached the transport.
	BadHeader atomic.Int64 // a PROXY header that is wrong, missing or late
	BadTLS    atomic.Int64 // a handshake that failed
	TimedOut  atomic.Int64 // a handshake that took too long
	TooMany   atomic.Int64 // too many handshakes: it waited too long, or too many waited already
	Banned    atomic.Int64 // the address is banned
}

// Front accepts connections. Make it with New, and run it with Serve.
type Front struct {
	Counters
	cfg        Config
	policy     proxyproto.Policy
	slots      chan struct{} // for connections
	handshakes *handshakes
	failures   loglimit.Limit // log lines for clients that cannot be carried

	work   sync.WaitGroup
	ending context.Context // when it ends, handshakes are cut
	cut    context.CancelFunc
}

// New makes a Front. Serve must be called once.
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
		slots:      make(chan struct{}, cfg.MaxConns),
		handshakes: newHandshakes(min(cfg.MaxHandshakes, max(cfg.MaxConns/8, 1))), // 5/8 of the connections, with those that wait
	}
	f.ending, f.cut = context.WithCancel(context.Background())
	f.work.Add(1) // for Serve
	return f
}

// Serve accepts connections until StopAccepting or Shutdown.
func (f *Front) Serve() {
	defer f.work.Done()
	for failing := false; ; {
		select {
		case f.slots <- struct{}{}:
		case <-f.ending.Done():
			return
		}
		conn, err := f.cfg.Listener.Accept()
		switch {
		case err == nil:
			failing = false
			f.Accepts.Add(1)
			f.work.Go(func() {
				defer func() { <-f.slots }()
				f.serve(conn.(*net.TCPConn))
			})
			continue
		case errors.Is(err, net.ErrClosed):
			return
		}
		<-f.slots
		if !failing {
			f.cfg.Log.Warn("the front cannot accept connections, and retries", "err", err)
		}
		failing = true
		select { // probably out of descriptors: some become free when connections end
		case <-time.After(100 * time.Millisecond):
		case <-f.ending.Done():
		}
	}
}

// StopAccepting closes the listener and cuts handshakes. Connections that are carried stay.
func (f *Front) StopAccepting() {
	f.cfg.Listener.Close()
	f.cut()
}

// Shutdown stops accepting and waits until all connections have ended. The transport ends
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
			answerPlaintext(conn, err)
			return
		}
	}
	if err := f.cfg.Carrier.Carry(client, peer); err != nil {
		f.failures.Warn(f.cfg.Log, "a client cannot be carried to the transport", "peer", peer, "err", err)
	}
}

var (
	errBanned  = errors.New("front: the address is banned")
	errTooMany = errors.New("front: too many handshakes")
)

// count counts and reports a connection that never reached the transport.
func (f *Front) count(peer netip.AddrPort, err error) {
	var timeout net.Error
	switch {
	case f.ending.Err() != nil: // cut by StopAccepting
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

// answerPlaintext denies the login of a client that uses the protocol without TLS, so that
// it learns what is wrong.
func answerPlaintext(conn *net.TCPConn, err error) {
	var header tls.RecordHeaderError
	if !errors.As(err, &header) || header.RecordHeader[0] != byte(wire.Cred) {
		return
	}
	conn.SetDeadline(time.Now().Add(plaintextTimeout))
	if _, err := conn.Write(wire.AppendClose(wire.AppendDenied(nil, wire.NeedsTLS))); err == nil && conn.CloseWrite() == nil {
		io.Copy(io.Discard, conn) // closing with unread input would reset the connection, and discard the answer
	}
}

// begin does what precedes the first frame: it reads the header of a trusted proxy, if one
// is required, and does the TLS handshake, if TLS is used.
func (f *Front) begin(conn *net.TCPConn, peer netip.AddrPort, preface core.Preface) (net.Conn, netip.AddrPort, error) {
	until := time.Now().Add(f.cfg.HandshakeTimeout)
	conn.SetDeadline(until)
	defer context.AfterFunc(f.ending, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	client := socket(conn)
	if preface != nil {
		rest, named, err := readPreface(conn, preface.Take)
		if err != nil {
			return nil, peer, err
		}
		if named.IsValid() {
			peer = named
		}
		if len(rest) > 0 {
			client = &prefixedConn{conn, rest}
		}
	}
	if f.cfg.Banned(peer.Addr()) {
		return nil, peer, errBanned
	}
	if f.cfg.TLS == nil {
		conn.SetDeadline(time.Time{})
		return client, peer, nil
	}
	secure, err := f.handshake(client, peer.Addr(), until)
	if err != nil {
		return nil, peer, err
	}
	conn.SetDeadline(time.Time{})
	return secure, peer, nil
}

// handshake does the TLS handshake when it has a slot. The slot counts for addr, the address
// of the client, not for that of a proxy.
func (f *Front) handshake(client socket, addr netip.Addr, until time.Time) (*tls.Conn, error) {
	if !f.handshakes.acquire(f.ending, addr, time.Until(until)) {
		return nil, errTooMany
	}
	defer f.handshakes.release(addr)
	f.Handshakes.Add(1)
	defer f.Handshakes.Add(-1)
	secure := tls.Server(&eofSocket{socket: client}, f.cfg.TLS)
	if err := secure.HandshakeContext(f.ending); err != nil {
		return nil, fmt.Errorf("front: %w", err)
	}
	return secure, nil
}

// readPreface reads a PROXY header, and returns what has come after it, and the client.
func readPreface(conn net.Conn, take func([]byte) ([]byte, bool, netip.AddrPort, error)) (rest []byte, client netip.AddrPort, err error) {
	buf := make([]byte, 1024)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, client, fmt.Errorf("%w: it did not come in full: %w", proxyproto.ErrHeader, err)
		}
		rest, done, client, err := take(buf[:n])
		if err != nil || done {
			return rest, client, err
		}
	}
}

// prefixedConn is a connection that first returns octets that were read from it before.
type prefixedConn struct {
	*net.TCPConn
	rest []byte
}

func (b *prefixedConn) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		return b.TCPConn.Read(p)
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}
