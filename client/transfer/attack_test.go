package transfer

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"chatbench/client"
	"chatbench/core/wire"
	"chatbench/internal/tcptest"
)

// mallory is a client that answers as a test says, and counts the answers it gets.
type mallory struct {
	c           *client.Client
	asked       func(file string)
	acks, nacks atomic.Int64
}

func (m *mallory) FileFrame(c *client.Client, f wire.Frame) {
	name, file := wire.SplitName(f.Body)
	switch f.Command {
	case wire.LsReq:
		c.List(string(name), nil)
	case wire.DnReq:
		m.asked(string(file[1:]))
	case wire.DnAck:
		m.acks.Add(1)
	case wire.DnNack:
		m.nacks.Add(1)
	}
}

func (m *mallory) Notice(*client.Client, string) {}

func intrude(t *testing.T, addr, name string) *mallory {
	t.Helper()
	m := new(mallory)
	c, err := client.Dial(t.Context(), client.Config{Server: addr, User: name, Password: "x", Files: m})
	if err != nil {
		t.Fatal(err)
	}
	m.c = c
	t.Cleanup(c.Close)
	go func() {
		for range c.Events() {
		}
	}()
	return m
}

var token = []byte("0123456789abcdef0123456789abcdef")

func (m *mallory) ack(file string, to netip.AddrPort) {
	m.c.Ack(wire.Ack{Name: []byte("alice"), File: []byte(file), Addr: to.Addr(), Port: to.Port(), Token: token})
}

// sharer listens, and runs a script on each connection.
func sharer(t *testing.T, on netip.AddrPort, script func(net.Conn)) (at netip.AddrPort, came *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", on.String())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	came = new(atomic.Int64)
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			came.Add(1)
			script(conn)
			conn.Close()
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort(), came
}

// An ACK that names a third machine makes nobody connect to it.
func TestForgedAddress(t *testing.T) {
	addr := serve(t)
	alice, m := join(t, addr, "alice", nil), intrude(t, addr, "mallory")
	here := tcptest.Free(t) // where alice has to connect instead
	canary, came := sharer(t, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), here.Port()), func(net.Conn) {})
	m.asked = func(file string) { m.ack(file, canary) }
	_, err := alice.fetch("mallory", "a.txt")
	if err == nil || !strings.Contains(err.Error(), "cannot reach mallory at "+here.String()) {
		t.Errorf("fetched from a third machine: %v", err)
	}
	if n := came.Load(); n != 0 {
		t.Errorf("%d connections to the third machine", n)
	}
}

// ACKs that were not asked for are ignored; a file that was asked for once is
// downloaded once.
func TestUnaskedAcks(t *testing.T) {
	addr := serve(t)
	alice, m := join(t, addr, "alice", nil), intrude(t, addr, "mallory")
	var dials atomic.Int64
	alice.p.dial = func(context.Context, netip.AddrPort) (net.Conn, error) {
		dials.Add(1)
		return nil, errors.New("no")
	}
	to := netip.MustParseAddrPort("127.0.0.1:5000")
	m.asked = func(file string) {
		for range 100 {
			m.ack(file, to)
		}
	}
	for range 100 {
		m.ack("planted", to)
	}
	settled := func() { // frames from mallory keep their order
		if _, err := alice.p.List(t.Context(), alice.c, "mallory"); err != nil {
			t.Fatal(err)
		}
	}
	settled()
	if n := dials.Load(); n != 0 {
		t.Errorf("%d dials unasked", n)
	}
	alice.fetch("mallory", "a.txt")
	settled()
	if n := dials.Load(); n != 1 {
		t.Errorf("%d dials for one question", n)
	}
	m.asked = func(string) { m.ack("other.txt", to); m.c.File(wire.DnNack, "alice", "a.txt") }
	if _, err := alice.fetch("mallory", "a.txt"); !errors.Is(err, ErrNotFound) || dials.Load() != 1 {
		t.Errorf("another file than asked for: %v, %d dials", err, dials.Load())
	}
	// Ports of services are not dialled even if the server lets them pass.
	alice.p.FileFrame(alice.c, wire.Frame{Type: wire.File, Command: wire.DnAck, Body: []byte("mallory x 127.0.0.1 22")})
	f := fetching{peer: alice.p}
	for _, bad := range []string{"127.0.0.1:22", "0.0.0.0:5000", "224.0.0.1:5000"} {
		at := netip.MustParseAddrPort(bad)
		if _, err := f.connect(t.Context(), wire.Ack{Addr: at.Addr(), Port: at.Port()}); err == nil || dials.Load() != 1 {
			t.Errorf("%s was dialled: %v", bad, err)
		}
	}
}

// Others connect first, without a token, with a wrong one, or sending nothing. They get
// nothing, and the requester gets the file.
func TestRacer(t *testing.T) {
	addr := serve(t)
	alice, bob := join(t, addr, "alice", nil), join(t, addr, "bob", nil)
	bob.put("a.txt", 100_000)
	right := alice.p.dial
	var got atomic.Int64
	alice.p.dial = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
		wrong := hello{token: [wire.TokenSize]byte(token)}
		for _, says := range [][]byte{nil, []byte("GET / HTTP/1.1\r\n\r\n"), wrong.append(nil), wrong.append(nil)[:40]} {
			conn, err := net.Dial("tcp", to.String())
			if err != nil {
				t.Error(err)
				continue
			}
			conn.Write(says)
			if len(says) == helloSize {
				conn.SetReadDeadline(time.Now().Add(20 * time.Second))
				n, err := conn.Read(make([]byte, 1))
				if got.Add(int64(n)); errors.Is(err, os.ErrDeadlineExceeded) {
					t.Error("a wrong token is not turned away")
				}
			}
			go func() { // the silent ones are closed when the requester has connected
				conn.SetReadDeadline(time.Now().Add(20 * time.Second))
				n, _ := io.Copy(io.Discard, conn)
				got.Add(n)
				conn.Close()
			}()
		}
		return right(ctx, to)
	}
	if _, err := alice.fetch("bob", "a.txt"); err != nil {
		t.Error(err)
	}
	alice.has("a.txt", bob, "a.txt")
	bob.wantTold("sent")
	if n := got.Load(); n != 0 {
		t.Errorf("racers got %d octets", n)
	}
}

// However many requests come, at most four listeners are open, two for each requester.
func TestListenerFlood(t *testing.T) {
	addr := serve(t)
	bob := join(t, addr, "bob", nil)
	bob.put("a.txt", 1)
	var intruders []*mallory
	for _, name := range []string{"m1", "m2", "m3"} {
		intruders = append(intruders, intrude(t, addr, name))
	}
	descriptors := func() int {
		all, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	before := descriptors()
	var acks int64
	for _, m := range intruders {
		// One requester after the other: while the queue is full, requests are refused
		// unread.
		for range 1000 {
			m.c.File(wire.DnReq, "bob", "a.txt")
		}
		for end := time.Now().Add(time.Minute); m.acks.Load()+m.nacks.Load() < 1000 && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		if a, n := m.acks.Load(), m.nacks.Load(); a > maxSendsPerUser+int64(len(bob.told)) || a+n != 1000 {
			t.Errorf("%d offers and %d refusals to one", a, n)
		}
		acks += m.acks.Load()
	}
	if ended := int64(len(bob.told)); acks < maxSends || acks > maxSends+ended { // one that nobody takes up ends after fetchTimeout
		t.Errorf("%d offers, %d of them ended, want %d", acks, ended, maxSends)
	}
	if more := descriptors() - before; more > 2*maxSends {
		t.Errorf("%d more descriptors, want a listener and a file for each of %d", more, maxSends)
	}
}

// A transfer that breaks off, or whose data are wrong, becomes no file; what can be
// resumed is kept.
func TestBadSharers(t *testing.T) {
	data := strings.Repeat("x", 1000)
	head := func(at, size int64) string {
		return string(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(at)), uint64(size)))
	}
	sum := sha256.Sum256([]byte(data))
	for _, c := range []struct {
		name, sends string
		want        error
		kept        int
	}{
		{"nothing", "", ErrTruncated, 0},
		{"half a head", head(0, 1000)[:9], ErrTruncated, 0},
		{"half", head(0, 1000) + data[:500], ErrTruncated, 1},
		{"no sum", head(0, 1000) + data, ErrTruncated, 1},
		{"half a sum", head(0, 1000) + data + string(sum[:16]), ErrTruncated, 1},
		{"wrong sum", head(0, 1000) + data[:999] + "y" + string(sum[:]), ErrChecksum, 0},
		{"an offset nobody wanted", head(500, 1000) + data, errFormat, 0},
		{"less than nothing", head(0, -1) + data, errFormat, 0},
		{"whole", head(0, 1000) + data + string(sum[:]) + "more", nil, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			addr := serve(t)
			alice, m := join(t, addr, "alice", nil), intrude(t, addr, "mallory")
			at, _ := sharer(t, netip.MustParseAddrPort("127.0.0.1:0"), func(conn net.Conn) {
				if h, err := readHello(conn); err != nil || string(h.token[:]) != string(token) {
					t.Errorf("hello %q, %v", h.token, err)
				}
				io.WriteString(conn, c.sends)
				conn.(*net.TCPConn).CloseWrite()
				io.Copy(io.Discard, conn)
			})
			m.asked = func(file string) { m.ack(file, at) }
			if _, err := alice.fetch("mallory", "a.txt"); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			files := alice.files()
			_, err := os.Stat(filepath.Join(alice.saved, "a.txt"))
			if len(files) != c.kept || (err == nil) != (c.want == nil) {
				t.Errorf("there is %q", files)
			}
		})
	}
}

func TestPorts(t *testing.T) {
	for _, bad := range []string{"", "5000", "80-90", "6000-5000", "5000-70000", "a-b", "5000-6000-7000", "-"} {
		if p, err := ParsePorts(bad); err == nil {
			t.Errorf("ParsePorts(%q) = %v", bad, p)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := uint16(l.Addr().(*net.TCPAddr).Port)
	if l, err := (Ports{taken, taken}).listen(netip.MustParseAddr("127.0.0.1")); err == nil || !strings.Contains(err.Error(), "-share-ports") {
		t.Errorf("a port that is taken: %v, %v", l, err)
	}
	p, err := ParsePorts("20000-20100")
	if err != nil {
		t.Fatal(err)
	}
	addr := serve(t)
	alice, bob := join(t, addr, "alice", nil), join(t, addr, "bob", func(o *Options) { o.Ports = p })
	bob.put("a", 10)
	right := alice.p.dial
	alice.p.dial = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
		if to.Port() < 20000 || to.Port() > 20100 {
			t.Errorf("shared on %v", to)
		}
		return right(ctx, to)
	}
	if _, err := alice.fetch("bob", "a"); err != nil {
		t.Error(err)
	}
}
