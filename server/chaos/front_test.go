package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"chatbench/client"
	"chatbench/core/proxyproto"
	"chatbench/core/wire"
	"chatbench/loadgen/message"
)

// handshakes: clients of one address begin a TLS handshake and do not finish it.
func handshakes(x *run) {
	certFile, keyFile, trust := x.certificate()
	s := x.serve("-open", "-tls-cert", certFile, "-tls-key", keyFile)
	n := x.size.handshakes
	x.doing("%d connections from one address, half of them send nothing, half an octet a second; logins by TLS from another, one after the other, meanwhile", n)
	durations, allGone := make(chan time.Duration, n), make(chan struct{})
	var slow sync.WaitGroup
	ctx, hangUp := context.WithTimeout(testContext, timeout)
	defer hangUp()
	other := net.Dialer{Timeout: timeout, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	for i := range n {
		c, err := other.Dial("tcp", s.addr)
		if err != nil {
			x.Fatalf("slow connection %d of %d: %v", i, n, err)
		}
		slow.Go(func() { durations <- slowHandshake(ctx, c, i%2 == 0) })
	}
	go func() { slow.Wait(); close(allGone) }()
	var worst time.Duration
	logins := int64(0)
	for gone := false; !gone; {
		took := x.logsIn(client.Config{Server: s.addr, User: fmt.Sprint("honest", logins), Password: password, TLS: trust})
		worst = max(worst, took)
		if logins++; logins == 3 && !x.size.waitForTimeouts {
			hangUp()
		}
		select {
		case <-allGone:
			gone = true
		case <-time.After(50 * time.Millisecond):
		}
	}
	x.within(fmt.Sprintf("the slowest of %d logins took", logins), worst, time.Second)
	longest := time.Duration(0)
	for range n {
		longest = max(longest, <-durations)
	}
	if x.size.waitForTimeouts {
		x.within("slow connections gone after", longest, 6*time.Second)
	}
	s.waitForClients(0)
}

// slowHandshake sends an octet a second of a TLS handshake, or nothing, until the server closes
// the connection or ctx ends. It returns how long that took.
func slowHandshake(ctx context.Context, c net.Conn, silent bool) time.Duration {
	begun := time.Now()
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	if !silent {
		stop := make(chan struct{})
		defer close(stop)
		go func() {
			hello := append([]byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}, make([]byte, 500)...)
			for _, octet := range hello {
				if _, err := c.Write([]byte{octet}); err != nil {
					return
				}
				select {
				case <-time.After(time.Second):
				case <-stop:
					return
				}
			}
		}()
	}
	io.Copy(io.Discard, c)
	return time.Since(begun)
}

// logsIn returns how long it takes to log in, with retries as chat does them.
func (x *run) logsIn(cfg client.Config) time.Duration {
	x.Helper()
	begun := time.Now()
	for backoff := new(client.Backoff); ; {
		ctx, cancel := context.WithTimeout(testContext, timeout)
		c, err := client.Dial(ctx, cfg)
		cancel()
		if err == nil {
			took := time.Since(begun)
			c.Close()
			return took
		}
		if time.Since(begun) > timeout {
			x.Fatalf("no login: %v", err)
		}
		x.pause(backoff.Next())
	}
}

// forgedAddress is the address in forged headers. It must not appear in the log.
const forgedAddress = "203.0.113.66"

// forgery is a kind of header that the server must not accept.
type forgery struct {
	what string
	from string // the address of the connection
	text []byte
	ends string // the Reason with which the connection must end
}

// forgeries: connections with PROXY headers that the server must not accept.
func forgeries(x *run) {
	certFile, keyFile, trust := x.certificate()
	secret := bytes.Repeat([]byte{7}, 32) // not the server's
	front := x.serve("-open", "-tls-cert", certFile, "-tls-key", keyFile)
	inside := front.transportAddr()
	c := x.joinClients(front.addr, 3, true, trust)
	x.doing("%d of each kind: to the port behind the TLS front with a wrong secret, none, version 1, frames, cut off; with -proxy-from 127.0.0.2 from elsewhere and, wrong, from there", x.size.forgeries)
	login := wire.AppendCred(nil, "forger", password)
	signed := append(header(x, secret), login...)
	line := append([]byte("PROXY TCP4 "+forgedAddress+" 127.0.0.1 4711 9000\r\n"), login...)
	const here, proxy = "127.0.0.1", "127.0.0.2"
	x.sendForged("behind TLS", front, inside, []forgery{
		{"wrong secret", here, signed, "preface"},
		{"no secret", here, append(header(x, nil), login...), "preface"},
		{"version 1", here, line, "preface"},
		{"frames", here, login, "preface"},
		{"cut off", here, signed[:20], "preface"},
	})
	for i := range c.clients {
		c.say(i, "we are ourselves")
	}
	c.waitForMessages(3)
	x.exactly("disconnected by TLS", c.lost.Load(), 0)

	beside := x.serve("-open", "-proxy-from", proxy)
	f := x.fleet(beside, x.size.talkers, 20, 64)
	f.during(func() {
		x.sendForged("beside -proxy-from", beside, netip.MustParseAddrPort(beside.addr), []forgery{
			{"version 1 from elsewhere", here, line, "bad-type"},
			{"version 2 from elsewhere", here, signed, "bad-type"},
			{"nonsense from the proxy", proxy, []byte("PROXY TCP4 " + forgedAddress + " nowhere 1 2\r\n"), "preface"},
			{"frames from the proxy", proxy, login, "preface"},
			{"cut off from the proxy", proxy, signed[:20], "preface"},
		})
	})
	f.clean()
	x.exactly("log lines with a forged address", front.log.count(forgedAddress)+beside.log.count(forgedAddress), 0)
}

// header is a header of version 2 with a forged address.
func header(x *run, secret []byte) []byte {
	x.Helper()
	b, err := proxyproto.Header(netip.MustParseAddrPort(forgedAddress+":4711"), netip.MustParseAddrPort("127.0.0.1:9000"), secret)
	if err != nil {
		x.Fatal(err)
	}
	return b
}

// sendForged sends forged headers and waits until the server has ended the connections.
func (x *run) sendForged(where string, s *server, to netip.AddrPort, kinds []forgery) {
	x.Helper()
	if !x.size.waitForTimeouts { // the server waits for the rest of a header that is cut off
		kinds = slices.DeleteFunc(kinds, func(k forgery) bool { return strings.HasPrefix(k.what, "cut off") })
	}
	before := s.stats().Room
	want := make(map[string]int64)
	var ended atomic.Int64
	var all sync.WaitGroup
	for _, k := range kinds {
		want[k.ends] += int64(x.size.forgeries)
		dialer := net.Dialer{Timeout: timeout, LocalAddr: &net.TCPAddr{IP: net.ParseIP(k.from)}}
		for range x.size.forgeries {
			all.Go(func() {
				conn, err := dialer.Dial("tcp", to.String())
				if err != nil {
					x.Errorf("%s: %v", k.what, err)
					return
				}
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(timeout))
				conn.Write(k.text)
				answer, err := io.ReadAll(conn)
				switch {
				case bytes.Contains(answer, wire.AppendGranted(nil)):
					x.Errorf("%s: was let in", k.what)
				case errors.Is(err, os.ErrDeadlineExceeded):
					x.Errorf("%s: has not ended", k.what)
				default:
					ended.Add(1)
				}
			})
		}
	}
	all.Wait()
	x.exactly(where+": ended", ended.Load(), int64(len(kinds)*x.size.forgeries))
	for _, reason := range slices.Sorted(maps.Keys(want)) {
		n := want[reason]
		x.wait(timeout, func() bool { return s.stats().Room.Ends[reason]-before.Ends[reason] >= n }, "%d are counted as %s", n, reason)
		x.exactly(where+": counted as "+reason, s.stats().Room.Ends[reason]-before.Ends[reason], n)
	}
	x.exactly(where+": let in", s.stats().Room.Logins-before.Logins, 0)
}

// transportAddr is where the transport listens, behind the server's TLS front.
func (s *server) transportAddr() netip.AddrPort {
	s.x.Helper()
	dir := fmt.Sprintf("/proc/%d/", s.pid)
	own := make(map[string]bool) // inodes
	fds, _ := os.ReadDir(dir + "fd")
	for _, fd := range fds {
		if target, err := os.Readlink(dir + "fd/" + fd.Name()); err == nil && strings.HasPrefix(target, "socket:[") {
			own[strings.Trim(target[len("socket:"):], "[]")] = true
		}
	}
	front := netip.MustParseAddrPort(s.addr).Port()
	text, err := os.ReadFile(dir + "net/tcp")
	if err != nil {
		s.x.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		const local, state, inode, listens = 1, 3, 9, "0A"
		f := strings.Fields(line)
		if len(f) <= inode || f[state] != listens || !own[f[inode]] {
			continue
		}
		_, hex, _ := strings.Cut(f[local], ":")
		if port, err := strconv.ParseUint(hex, 16, 16); err == nil && uint16(port) != front {
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port))
		}
	}
	s.x.Fatal("the port of the transport is not in /proc")
	return netip.AddrPort{}
}

// storm: many clients log in with a wrong password, again and again.
func storm(x *run) {
	const most, again = 50 * time.Millisecond, 500 * time.Millisecond
	var names []string
	for i := range x.size.users {
		names = append(names, message.Name(i))
	}
	s := x.serve("-users", x.usersFile(names...))
	x.doing("%d clients who log in wrongly at once, and again %v after each answer, for %v, beside %d who talk", x.size.storm, again, x.size.faultTime, len(names))
	f := x.fleet(s, len(names), 20, 64)
	calm := f.during(func() { x.pause(x.size.faultTime / 2) })
	before := s.stats().Logins.Wrong
	p99 := f.during(func() {
		storming, over := context.WithCancel(testContext)
		defer over()
		var all sync.WaitGroup
		for i := range x.size.storm {
			all.Go(func() {
				for k := 0; storming.Err() == nil; k++ {
					s.wrongLogin(storming, fmt.Sprintf("nobody%dx%d", i, k))
					select {
					case <-time.After(again):
					case <-storming.Done():
					}
				}
			})
		}
		x.pause(x.size.faultTime)
		x.wait(timeout, func() bool { return s.stats().Logins.Wrong > before }, "a wrong login is counted")
		over()
		all.Wait()
	})
	f.clean()
	x.within(fmt.Sprintf("p99 (before: %s)", short(calm)), p99, most)
	s.waitForClients(len(names))
}

// wrongLogin logs in with an unknown name, and waits for the answer.
func (s *server) wrongLogin(ctx context.Context, name string) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", s.addr)
	if err != nil {
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	conn.SetDeadline(time.Now().Add(timeout))
	if _, err := conn.Write(wire.AppendCred(nil, name, "wrong")); err == nil {
		io.Copy(io.Discard, conn)
	}
}
