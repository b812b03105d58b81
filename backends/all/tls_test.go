package all_test

import (
	"context"
	"crypto/tls"
	"flag"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/backends/all"
	"chatbench/backends/backendtest"
	"chatbench/backends/epoll"
	"chatbench/backends/gnet"
	"chatbench/backends/goroutine"
	"chatbench/backends/process"
	"chatbench/core"
	"chatbench/core/proxyproto"
	"chatbench/internal/certtest"
	"chatbench/internal/tcp"
	"chatbench/server/front"
)

var everyByTLS = flag.Bool("every-by-tls", false, "TestConformanceTLS runs the suite over TLS for every transport, not only for four")

// TestConformanceTLS: the suite passes for clients over TLS too, except for cases about the transport's own
// sockets.
func TestConformanceTLS(t *testing.T) {
	transports := []backends.Backend{epoll.Backend, goroutine.Backend, process.Backend, gnet.Backend}
	if *everyByTLS {
		transports = all.All()
	}
	for _, b := range transports {
		t.Run(b.Name, func(t *testing.T) { backendtest.RunThrough(t, b, byTLS(t)) })
	}
}

// byTLS is the way through a front that speaks TLS.
func byTLS(t *testing.T) backendtest.Through {
	certFile, keyFile := certtest.Write(t, t.TempDir(), time.Hour, "127.0.0.1")
	log := slog.New(slog.DiscardHandler)
	cert, err := front.LoadCertificate(certFile, keyFile, log)
	if err != nil {
		t.Fatal(err)
	}
	secret := []byte("of this process")
	policy := &proxyproto.Policy{Secret: secret, SecretOnly: true}
	some := netip.MustParseAddrPort("127.0.0.1:1")
	header, err := proxyproto.Header(some, some, secret)
	if err != nil {
		t.Fatal(err)
	}
	return backendtest.Through{
		Ahead: int64(len(header)),
		Room:  func(cfg *core.Config) { cfg.Preface = policy.Preface },
		Skip:  skipByTLS,
		Open: func(target netip.AddrPort, as backends.Config) (netip.AddrPort, func(*net.TCPConn) (backendtest.Conn, error), func(bool)) {
			carrier := front.NewCarrier(target, secret, as.Linger)
			l, err := tcp.Listen("127.0.0.1:0", tcp.Options{SendBuffer: as.SendBuffer, Backlog: as.Backlog})
			if err != nil {
				t.Fatal(err)
			}
			f := front.New(front.Config{Listener: l, TLS: cert.TLS(tls.VersionTLS13), Carrier: carrier, HandshakeTimeout: time.Minute, Log: log})
			go f.Serve()
			return tcp.Bound(l), wrap, func(cut bool) {
				over, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				if cut {
					cancel()
				}
				if err := carrier.Shutdown(over); err != nil && !cut {
					t.Errorf("the transport has ended, and clients are still connected to the front: %v", err)
				}
				f.Shutdown()
			}
		},
	}
}

// secureConn is a client's connection over TLS.
type secureConn struct {
	*tls.Conn
	*net.TCPConn
	reset   bool
	closing atomic.Bool
}

func wrap(conn *net.TCPConn) (backendtest.Conn, error) {
	c := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	return &secureConn{Conn: c, TCPConn: conn}, c.Handshake()
}

func (c *secureConn) Read(p []byte) (int, error)         { return c.Conn.Read(p) }
func (c *secureConn) LocalAddr() net.Addr                { return c.TCPConn.LocalAddr() }
func (c *secureConn) RemoteAddr() net.Addr               { return c.TCPConn.RemoteAddr() }
func (c *secureConn) CloseWrite() error                  { return c.Conn.CloseWrite() }
func (c *secureConn) SetDeadline(t time.Time) error      { return c.Conn.SetDeadline(t) }
func (c *secureConn) SetReadDeadline(t time.Time) error  { return c.Conn.SetReadDeadline(t) }
func (c *secureConn) SetWriteDeadline(t time.Time) error { return c.Conn.SetWriteDeadline(t) }

// Write writes, but no more once Close was called, which waits until what was written is sent.
func (c *secureConn) Write(p []byte) (int, error) {
	if c.closing.Load() {
		return 0, net.ErrClosed
	}
	return c.Conn.Write(p)
}

// SetLinger with 0 makes Close reset the connection, without close_notify.
func (c *secureConn) SetLinger(sec int) error {
	c.reset = sec == 0
	return c.TCPConn.SetLinger(sec)
}

// Close would reset the connection if input is unread, and then the client's own kernel discards what it has
// not sent. Over TLS that is more than over TCP alone, because small segments fill the front's window. So
// Close waits until everything is sent, or until nothing was sent for so many looks, because the front may have
// stopped reading. It counts looks, because a machine that stops this process stops the front too.
func (c *secureConn) Close() error {
	if c.reset {
		return c.TCPConn.Close()
	}
	const looks = 300
	c.closing.Store(true)
	raw, err := c.SyscallConn()
	for left, least, still := 1, math.MaxInt, 0; err == nil && left > 0 && still < looks; still++ {
		err = raw.Control(func(fd uintptr) { left, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
		if left < least {
			least, still = left, 0
		}
		if left > 0 {
			time.Sleep(time.Millisecond)
		}
	}
	return c.Conn.Close()
}

// skipByTLS says why a case is left out.
func skipByTLS(name string) string {
	for part, why := range map[string]string{
		"descriptor":  "it is about the transport's descriptors",
		"start-":      "it is about how a transport starts",
		"cannot-":     "it is about how a transport starts",
		"same-port":   "it is about the transport's listener",
		"socket-":     "it is about the transport's sockets",
		"address-fam": "it is about the transport's listener",
		"left-behind": "it is about the transport's descriptors",
		"proxy-":      "a connection over TLS begins with a header of its own",
		"threads":     "it is about the transport's threads and processes",
		"hostile-":    "it measures the times of a transport alone",
	} {
		if strings.Contains(name, part) {
			return why
		}
	}
	return ""
}
