package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"chatbench/backends"
	"chatbench/backends/epoll"
	"chatbench/backends/goroutine"
	"chatbench/backends/process"
	"chatbench/core"
	"chatbench/core/proxyproto"
	"chatbench/core/wire"
	"chatbench/internal/certtest"
)

// launch runs a server until the end of the test. It must end without an error.
func launch(t *testing.T, change func(*Options)) *Server {
	t.Helper()
	o := options(new(logged))
	change(&o)
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Errorf("Stop: %v", err)
		}
		if st := s.Snapshot(); st.Clients != 0 {
			t.Errorf("%d clients are left", st.Clients)
		}
	})
	return s
}

// certificate makes a certificate for 127.0.0.1, and a client configuration that trusts it.
func certificate(t *testing.T) (certFile, keyFile string, trust *tls.Config) {
	t.Helper()
	certFile, keyFile = certtest.Write(t, t.TempDir(), time.Hour, "127.0.0.1")
	text, err := os.ReadFile(certFile)
	if err != nil {
		t.Fatal(err)
	}
	trust = &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "127.0.0.1"}
	trust.RootCAs.AppendCertsFromPEM(text)
	return certFile, keyFile, trust
}

const (
	proxy  = "127.0.0.2" // an address of this machine that is trusted as a proxy's
	behind = "203.0.113.9:51000"
	v1line = "PROXY TCP4 203.0.113.9 192.0.2.1 51000 443\r\n"
)

// connect connects from an address of this machine, and sends something first.
func connect(t *testing.T, from, to string, first []byte) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.DialContext(t.Context(), "tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write(first); err != nil {
		t.Fatal(err)
	}
	return c
}

// version2 is a PROXY header of version 2, with a secret.
func version2(t *testing.T, secret []byte) []byte {
	t.Helper()
	b, err := proxyproto.Header(netip.MustParseAddrPort(behind), netip.MustParseAddrPort("192.0.2.1:443"), secret)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// browse opens the WebSocket of a page, from an address of this machine, as a reverse
// proxy would for a client at forwarded.
func browse(t *testing.T, from, page, forwarded string, trust *tls.Config) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	transport := &http.Transport{DialContext: d.DialContext, TLSClientConfig: trust}
	t.Cleanup(transport.CloseIdleConnections)
	header := http.Header{}
	if forwarded != "" {
		header.Set("X-Forwarded-For", forwarded)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	c, _, err := websocket.Dial(ctx, page+"ws", &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}, HTTPHeader: header})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.CloseNow() })
	return websocket.NetConn(ctx, c, websocket.MessageBinary)
}

// checkPeers logs clients in, each over another path, and checks the address of each that the
// operator sees, and that other clients are sent to fetch a file.
func checkPeers(t *testing.T, s *Server, ways map[string]net.Conn, addresses map[string]string) {
	t.Helper()
	for way, conn := range ways {
		c := talk(t, conn).enter(way)
		var at string
		for _, u := range s.room.Users() {
			if u.Name == way {
				at = u.Peer.String()
			}
		}
		if !strings.HasPrefix(at, addresses[way]) {
			t.Errorf("%s: the operator sees %s, want %s", way, at, addresses[way])
		}
		host, _, err := net.SplitHostPort(at)
		if err != nil {
			t.Fatal(err)
		}
		c.send(wire.AppendAck(nil, wire.Ack{Name: []byte(way), File: []byte("a b"), Addr: netip.MustParseAddr("198.51.100.77"), Port: 2000}))
		if f := c.await(wire.File, "a b"); string(f.Body) != fmt.Sprintf("%s a b %s 2000", way, host) {
			t.Errorf("%s: others are sent %q", way, f.Body)
		}
	}
}

// refused reads a connection to its end. The login on it must be refused.
func refused(t *testing.T, what string, c net.Conn) {
	t.Helper()
	c.Write(wire.AppendCred(nil, "mallory", "x"))
	if got, _ := io.ReadAll(c); bytes.Contains(got, []byte(wire.Granted)) {
		t.Errorf("%s: let in: %q", what, got)
	}
	c.Close() // the server counts it when both sides are closed
}

var ends = []backends.Backend{epoll.Backend, goroutine.Backend, process.Backend}

// Without TLS clients can connect directly, through a proxy, and with the page.
func TestWaysWithoutTLS(t *testing.T) {
	for _, b := range ends {
		t.Run(b.Name, func(t *testing.T) {
			s := launch(t, func(o *Options) {
				o.Backend, o.Web, o.ProxyFrom = b, "127.0.0.1:0", []netip.Prefix{netip.MustParsePrefix(proxy + "/32")}
			})
			addr := s.Addr().String()
			direct := connect(t, "127.0.0.1", addr, nil)
			checkPeers(t, s, map[string]net.Conn{
				"direct":   direct,
				"v1":       connect(t, proxy, addr, []byte(v1line)),
				"v2":       connect(t, proxy, addr, version2(t, nil)),
				"page":     browse(t, "127.0.0.3", s.Page(), "198.51.100.7", nil),
				"v1-page":  browse(t, proxy, s.Page(), "198.51.100.7", nil),
				"no-frame": connect(t, "127.0.0.4", addr, nil),
			}, map[string]string{
				"direct": direct.LocalAddr().String(), "v1": behind, "v2": behind, "page": "127.0.0.3:", "v1-page": "198.51.100.7:", "no-frame": "127.0.0.4:",
			})
			refused(t, "version 1 from elsewhere", connect(t, "127.0.0.1", addr, []byte(v1line)))
			refused(t, "version 2 with another secret", connect(t, "127.0.0.1", addr, version2(t, make([]byte, 32))))
			refused(t, "no header from a proxy", connect(t, proxy, addr, nil))
			waitFor(t, func() bool { return s.Snapshot().Ends[core.ReasonPreface] == 3 })
		})
	}
}

// With TLS clients can reach the transport only through the front and the page.
func TestWaysWithTLS(t *testing.T) {
	certFile, keyFile, trust := certificate(t)
	for _, b := range ends {
		t.Run(b.Name, func(t *testing.T) {
			s := launch(t, func(o *Options) {
				o.Backend, o.Web, o.ProxyFrom = b, "127.0.0.1:0", []netip.Prefix{netip.MustParsePrefix(proxy + "/32")}
				o.TLSCert, o.TLSKey = certFile, keyFile
			})
			addr := s.Addr().String()
			direct := tls.Client(connect(t, "127.0.0.1", addr, nil), trust)
			checkPeers(t, s, map[string]net.Conn{
				"direct":  direct,
				"v1":      tls.Client(connect(t, proxy, addr, []byte(v1line)), trust),
				"v2":      tls.Client(connect(t, proxy, addr, version2(t, nil)), trust),
				"page":    browse(t, "127.0.0.3", s.Page(), "198.51.100.7", trust),
				"v1-page": browse(t, proxy, s.Page(), "198.51.100.7", trust),
			}, map[string]string{
				"direct": direct.LocalAddr().String(), "v1": behind, "v2": behind, "page": "127.0.0.3:", "v1-page": "198.51.100.7:",
			})
			refused(t, "version 1 from elsewhere", connect(t, "127.0.0.1", addr, []byte(v1line)))
			refused(t, "no TLS", connect(t, "127.0.0.1", addr, nil))
			inner := s.transport.Addr().String()
			if inner == addr {
				t.Error("clients connect to the transport itself")
			}
			refused(t, "the transport, without a header", connect(t, "127.0.0.1", inner, nil))
			refused(t, "the transport, with another secret", connect(t, "127.0.0.1", inner, version2(t, make([]byte, 32))))
			refused(t, "the transport, from a proxy", connect(t, proxy, inner, version2(t, nil)))
			own := connect(t, "127.0.0.1", inner, nil)
			header, err := proxyproto.Header(netip.MustParseAddrPort(behind), own.LocalAddr().(*net.TCPAddr).AddrPort(), s.listeners.secret)
			if err != nil {
				t.Fatal(err)
			}
			refused(t, "the transport, with the header of another connection", connect(t, "127.0.0.1", inner, header))
			own.Write(header)
			talk(t, own).enter("own")
			waitFor(t, func() bool { return s.Snapshot().Ends[core.ReasonPreface] == 4 })
		})
	}
}

// The page works if the transport listens on an address that is not loopback.
func TestPageBesidePublicAddress(t *testing.T) {
	own := publicAddress(t)
	users := usersFile(t)
	writeUsers(t, users, "alice")
	s := launch(t, func(o *Options) {
		o.Listen, o.Insecure, o.Open, o.Users, o.Web = net.JoinHostPort(own, "0"), true, false, users, "127.0.0.1:0"
	})
	c := talk(t, browse(t, "127.0.0.1", s.Page(), "", nil))
	c.send(wire.AppendCred(nil, "alice", "secret"))
	c.await(wire.Cred, wire.Granted)
}

// publicAddress is an IPv4 address of this machine that is not one of loopback.
func publicAddress(t *testing.T) string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if n, is := a.(*net.IPNet); is && n.IP.To4() != nil && !n.IP.IsLoopback() {
			return n.IP.String()
		}
	}
	t.Skip("this machine has no address but those of loopback")
	return ""
}

// A public address needs no -insecure with TLS.
func TestPublicWithTLS(t *testing.T) {
	certFile, keyFile, _ := certificate(t)
	users := usersFile(t)
	writeUsers(t, users, "alice")
	s := launch(t, func(o *Options) {
		o.Listen, o.Web, o.Open, o.Users, o.TLSCert, o.TLSKey = "0.0.0.0:0", "0.0.0.0:0", false, users, certFile, keyFile
	})
	if got := s.Addr().Addr(); got != netip.IPv4Unspecified() || !s.transport.Addr().Addr().IsLoopback() {
		t.Errorf("listens on %v, the transport on %v", got, s.transport.Addr())
	}
	if c, err := net.Dial("tcp", fmt.Sprintf("[::1]:%d", s.Addr().Port())); err == nil {
		c.Close()
		t.Error("0.0.0.0 also listens on IPv6")
	}
}

// If any part cannot start, all others are stopped: the same ports can be bound again.
func TestNothingLeftBehind(t *testing.T) {
	certFile, keyFile, _ := certificate(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	free := freeAddress(t)
	users := usersFile(t)
	writeUsers(t, users, "alice")
	for want, change := range map[string]func(*Options){
		"there is no certificate":                                    func(o *Options) { o.TLSCert = "none.pem" },
		"is in use: stop what listens there, or choose another -web": func(o *Options) { o.Web = taken.Addr().String() },
		"another kind":       func(o *Options) { o.History, o.HistoryFile = 5, certFile },
		"no room for anyone": func(o *Options) { o.Backend = fakeBackend(nil, fmt.Errorf("no room for anyone")) },
	} {
		o := options(new(logged))
		o.Open, o.Users, o.Listen, o.Web, o.TLSCert, o.TLSKey = false, users, free, "127.0.0.1:0", certFile, keyFile
		change(&o)
		if _, err := Start(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		again, err := net.Listen("tcp", o.Listen)
		if err != nil {
			t.Fatalf("%q: %v", want, err)
		}
		again.Close()
	}
}

// Clients with TLS and of the page are sent what was said before the end, and Close. Their
// counters are in the last line.
func TestDrainOfCarried(t *testing.T) {
	certFile, keyFile, trust := certificate(t)
	var s *Server
	t.Run("", func(t *testing.T) {
		s = launch(t, func(o *Options) { o.Web, o.TLSCert, o.TLSKey = "127.0.0.1:0", certFile, keyFile })
		alice := talk(t, tls.Client(connect(t, "127.0.0.1", s.Addr().String(), nil), trust)).enter("alice")
		bob := talk(t, browse(t, "127.0.0.1", s.Page(), "", trust)).enter("bob")
		alice.send(wire.AppendChat(nil, "last words"))
		alice.await(wire.Chat, "alice: last words") // the server has it
		stopped := make(chan error)
		go func() { stopped <- s.Stop(context.Background()) }()
		for _, c := range []*wireClient{alice, bob} {
			if c == bob {
				c.await(wire.Chat, "alice: last words")
			}
			c.await(wire.Close, "")
			c.conn.Close()
		}
		if err := <-stopped; err != nil {
			t.Errorf("Stop: %v", err)
		}
	})
	line := s.stoppedLine(runtimeStats{}, nil)
	if line.Ends[core.ReasonDrain] != 2 || line.Front == nil || line.Front.Accepts != 1 || line.Page == nil || line.Page.Opened != 1 || line.NoTarget != 0 {
		t.Errorf("counted %+v, %+v, %+v", line.Ends, line.Front, line.Page)
	}
}

// A client that does not leave is cut when the time for draining is over.
func TestCarriedIsCut(t *testing.T) {
	certFile, keyFile, trust := certificate(t)
	o := options(new(logged))
	o.TLSCert, o.TLSKey, o.Drain, o.Linger = certFile, keyFile, 200*time.Millisecond, time.Hour
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	talk(t, tls.Client(connect(t, "127.0.0.1", s.Addr().String(), nil), trust)).enter("alice")
	if err := s.Stop(context.Background()); err == nil {
		t.Error("Stop returns no error though it had to cut a connection")
	}
}

// SIGHUP, which calls Reload, loads the certificate too; a bad one changes nothing.
func TestReloadCertificate(t *testing.T) {
	certFile, keyFile, trust := certificate(t)
	s := launch(t, func(o *Options) { o.TLSCert, o.TLSKey = certFile, keyFile })
	if _, err := s.Reload(); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(certFile, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Reload(); err == nil || !strings.Contains(err.Error(), "the certificate stays as it was") {
		t.Errorf("a bad certificate: %v", err)
	}
	talk(t, tls.Client(connect(t, "127.0.0.1", s.Addr().String(), nil), trust)).enter("alice")
}

// The printed URL can be opened, even if the page listens on all addresses.
func TestPageCanBeOpened(t *testing.T) {
	certFile, keyFile := certtest.Write(t, t.TempDir(), time.Hour, "*.example.org", "chat.example.org")
	s := launch(t, func(o *Options) {
		o.Open, o.Users = false, usersFile(t)
		writeUsers(t, o.Users, "alice")
		o.TLSCert, o.TLSKey, o.Web = certFile, keyFile, "0.0.0.0:0"
	})
	if got := s.Page(); !regexp.MustCompile(`^https://chat\.example\.org:[0-9]+/$`).MatchString(got) {
		t.Errorf("the page is at %s", got)
	}
}
