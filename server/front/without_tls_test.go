package front

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"
)

// dialPlaintext connects without TLS, from an address of this machine, and sends something.
func dialPlaintext(t *testing.T, f *Front, from, first string) *net.TCPConn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.Dial("tcp", f.addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := c.Write([]byte(first)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

// Without TLS octets reach the transport unchanged, with the client's address, and the client
// likewise. FIN and reset are passed on.
func TestCarriesWithoutTLS(t *testing.T) {
	f, g := startAs(t, Config{})
	c := dialPlaintext(t, f, "127.0.0.1", "")
	checkCarries(t, f, g, c)

	c = dialPlaintext(t, f, "127.0.0.1", "hello")
	s := g.next(t)
	io.ReadFull(s, make([]byte, 5))
	c.SetLinger(0)
	c.Close()
	s.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after a reset the transport sees %v", err)
	}
}

// Without TLS the header of a trusted proxy is read, and no connection waits for a slot.
func TestTrustedProxyWithoutTLS(t *testing.T) {
	f, g := startAs(t, Config{
		Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}, MaxHandshakes: 1, HandshakeTimeout: time.Hour,
	})
	silent := dialPlaintext(t, f, "127.0.0.2", "")
	direct := dialPlaintext(t, f, "127.0.0.1", "hello")
	s, hello := g.next(t), make([]byte, 5)
	if _, err := io.ReadFull(s, hello); err != nil || string(hello) != "hello" || s.client.String() != direct.LocalAddr().String() {
		t.Errorf("from %s came %q, %v", s.client, hello, err)
	}
	dialPlaintext(t, f, "127.0.0.2", "PROXY TCP4 203.0.113.9 192.0.2.1 51000 443\r\nhello")
	s = g.next(t)
	if _, err := io.ReadFull(s, hello); err != nil || string(hello) != "hello" || s.client.String() != "203.0.113.9:51000" {
		t.Errorf("behind the header, from %s, came %q, %v", s.client, hello, err)
	}
	silent.Close()
	await(t, "a header that does not come is counted", func() bool { return f.BadHeader.Load() == 1 })
}
