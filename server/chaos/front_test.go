package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
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

// handshakes is clients of one address that begin with TLS, and take their time.
func handshakes(x *run) {
	certFile, keyFile, trust := x.certificate()
	s := x.serve("-open", "-tls-cert", certFile, "-tls-key", keyFile)
	n := x.size.handshakes
	x.doing("%d connections from one address, half of them send nothing, half an octet a second; logins by TLS from another, one after the other, meanwhile", n)
	borne, allGone := make(chan time.Duration, n), make(chan struct{})
	var slow sync.WaitGroup
	going, hangUp := context.WithTimeout(life, patience)
	defer hangUp()
	other := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	for i := range n {
		c, err := other.Dial("tcp", s.addr)
		if err != nil {
			x.Fatalf("slow connection %d of %d: %v", i, n, err)
		}
		slow.Go(func() { borne <- dawdle(going, c, i%2 == 0) })
	}
	go func() { slow.Wait(); close(allGone) }()
	var worst time.Duration
	logins := int64(0)
	for gone := false; !gone; {
		took := x.logsIn(client.Config{Server: s.addr, User: fmt.Sprint("honest", logins), Password: password, TLS: trust})
		worst = max(worst, took)
		if logins++; logins == 3 && !x.size.patient {
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
		longest = max(longest, <-borne)
	}
	if x.size.patient {
		x.within("slow connections gone after", longest, 6*time.Second)
	}
	s.settled(0)
}

// dawdle begins with TLS and hardly goes on, until the server has had enough or going
// ends. It gives how long it was borne.
func dawdle(going context.Context, c net.Conn, silent bool) time.Duration {
	begun := time.Now()
	defer c.Close()
	defer context.AfterFunc(going, func() { c.Close() })()
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

// logsIn gives how long it takes to get in, trying again as chat does.
func (x *run) logsIn(cfg client.Config) time.Duration {
	x.Helper()
	begun := time.Now()
	for backoff := new(client.Backoff); ; {
		ctx, cancel := context.WithTimeout(life, patience)
		c, err := client.Dial(ctx, cfg)
		cancel()
		if err == nil {
			took := time.Since(begun)
			c.Close()
			return took
		}
		if time.Since(begun) > patience {
			x.Fatalf("no login: %v", err)
		}
		x.pause(backoff.Next())
	}
}

// forgedAddress is what forged headers claim. It must not be in the log.
const forgedAddress = "203.0.113.66"

// forgery is a kind of header that nobody may believe.
type forgery struct {
	what string
	from string // the address it comes from
	text []byte
	ends string // the reason that counts it
}

// forgeries is connections that claim to be on somebody else's behalf.
func forgeries(x *run) {
	certFile, keyFile, trust := x.certificate()
	secret := bytes.Repeat([]byte{7}, 32) // not the server's
	front := x.serve("-open", "-tls-cert", certFile, "-tls-key", keyFile)
	inside := front.behind()
	c := x.joinCrowd(front.addr, 3, true, trust)
	x.doing("%d of each kind: to the port behind the TLS front with a wrong secret, none, version 1, frames, cut off; with -proxy-from 127.0.0.2 from elsewhere and, wrong, from there", x.size.forgeries)
	login := wire.AppendCred(nil, "forger", password)
	signed := append(header(x, secret), login...)
	line := append([]byte("PROXY TCP4 "+forgedAddress+" 127.0.0.1 4711 9000\r\n"), login...)
	const here, proxy = "127.0.0.1", "127.0.0.2"
	x.forge(front, inside, []forgery{
		{"wrong secret", here, signed, "preface"},
		{"no secret", here, append(header(x, nil), login...), "preface"},
		{"version 1", here, line, "preface"},
		{"frames", here, login, "preface"},
		{"cut off", here, signed[:20], "preface"},
	})
	for i := range c.people {
		c.say(i, "we are ourselves")
	}
	c.hears(3)
	x.exactly("disconnected by TLS", c.lost.Load(), 0)

	beside := x.serve("-open", "-proxy-from", proxy)
	f := x.fleet(beside, x.size.talkers, 20, 64)
	f.during(func() {
		x.forge(beside, netip.MustParseAddrPort(beside.addr), []forgery{
			{"version 1 from elsewhere", here, line, "bad-type"},
			{"version 2 from elsewhere", here, signed, "bad-type"},
			{"nonsense from the proxy", proxy, []byte("PROXY TCP4 " + forgedAddress + " nowhere 1 2\r\n"), "preface"},
			{"frames from the proxy", proxy, login, "preface"},
			{"cut off from the proxy", proxy, signed[:20], "preface"},
		})
	})
	f.clean()
	for _, s := range []*server{front, beside} {
		x.exactly("forged addresses in the log", s.log.count(forgedAddress), 0)
	}
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

// forge sends what is forged and waits until the server has ended all of it.
func (x *run) forge(s *server, to netip.AddrPort, kinds []forgery) {
	x.Helper()
	if !x.size.patient { // whoever is cut off is waited for
		kinds = slices.DeleteFunc(kinds, func(k forgery) bool { return strings.HasPrefix(k.what, "cut off") })
	}
	before := s.stats().Room
	want := make(map[string]int64)
	var ended atomic.Int64
	var all sync.WaitGroup
	for _, k := range kinds {
		want[k.ends] += int64(x.size.forgeries)
		dialer := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.ParseIP(k.from)}}
		for range x.size.forgeries {
			all.Go(func() {
				conn, err := dialer.Dial("tcp", to.String())
				if err != nil {
					x.Errorf("%s: %v", k.what, err)
					return
				}
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(patience))
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
	x.exactly("forgeries ended", ended.Load(), int64(len(kinds)*x.size.forgeries))
	for reason, n := range want {
		x.wait(patience, func() bool { return s.stats().Room.Ends[reason]-before.Ends[reason] >= n }, "%d are counted as %s", n, reason)
		x.exactly("counted as "+reason, s.stats().Room.Ends[reason]-before.Ends[reason], n)
	}
	x.exactly("logins", s.stats().Room.Logins-before.Logins, 0)
}

// behind is where the transport listens behind the server's TLS front.
func (s *server) behind() netip.AddrPort {
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
	s.x.Fatal("the transport's own port is not in /proc")
	return netip.AddrPort{}
}

// storm is wrong logins, all the time.
func storm(x *run) {
	const most = 50 * time.Millisecond
	var names []string
	for i := range x.size.users {
		names = append(names, message.Name(i))
	}
	s := x.serve("-users", x.usersFile(names...))
	x.doing("%d wrong logins at a time, each followed by the next, for %v, beside %d clients who talk", x.size.storm, x.size.trouble, len(names))
	f := x.fleet(s, len(names), 20, 64)
	calm := f.during(func() { x.pause(x.size.trouble / 2) })
	before := s.stats().Logins.Wrong
	p99 := f.during(func() {
		storming, over := context.WithCancel(life)
		defer over()
		var all sync.WaitGroup
		for i := range x.size.storm {
			all.Go(func() {
				for k := 0; storming.Err() == nil; k++ {
					s.wrongLogin(storming, fmt.Sprintf("nobody%dx%d", i, k))
				}
			})
		}
		x.pause(x.size.trouble)
		over()
		all.Wait()
	})
	f.clean()
	x.within(fmt.Sprintf("p99 (before: %s)", short(calm)), p99, most)
	s.settled(len(names))
	if s.stats().Logins.Wrong == before {
		x.Error("no wrong login was looked at")
	}
}

// wrongLogin logs in with a name that is nobody's, and waits for the answer.
func (s *server) wrongLogin(ctx context.Context, name string) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", s.addr)
	if err != nil {
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write(wire.AppendCred(nil, name, "wrong")); err == nil {
		io.Copy(io.Discard, conn)
	}
}
