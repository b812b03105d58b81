package backendtest

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"chatbench/core"
	"chatbench/core/proxyproto"
	"chatbench/core/wire"
)

// What a connection begins with before its frames is the core's affair. A transport
// must do with it: the client's address changes after Join, a client can be turned
// away when it has joined already, and the deadline of a header ends connections that
// have sent nothing.
var proxyScenarios = []scenario{
	{"proxy-header-in-pieces", proxyHeaderInPieces},
	{"proxy-header-forged", proxyHeaderForged},
	{"proxy-header-late", proxyHeaderLate},
	{"proxy-header-twice", proxyHeaderTwice},
	{"proxy-client-turned-away", proxyClientTurnedAway},
}

// The client that a header names.
var proxied = netip.MustParseAddrPort("203.0.113.9:51000")

// headers are the forms of a header that names it.
func headers(l *lab) map[string][]byte {
	l.Helper()
	version2, err := proxyproto.Header(proxied, netip.MustParseAddrPort("192.0.2.1:443"), []byte("secret"))
	if err != nil {
		l.Fatalf("make a header: %v", err)
	}
	return map[string][]byte{"version 1": []byte("PROXY TCP4 203.0.113.9 192.0.2.1 51000 443\r\n"), "version 2": version2}
}

// behindProxy has a server trust headers by a policy.
func behindProxy(p proxyproto.Policy) func(*settings) {
	return func(s *settings) { s.room.Preface = p.Preface }
}

// trusting trusts everybody on this machine.
var trusting = proxyproto.Policy{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}

// proxyHeaderInPieces: a header is read in whatever two pieces it comes, frames behind
// it in the same read too, and the client's address is the one it names.
func proxyHeaderInPieces(l *lab) {
	seen := make(chan netip.AddrPort, 1)
	r := l.open(behindProxy(trusting), func(s *settings) {
		s.room.Authenticator = door(func(l *core.Login) {
			seen <- l.Peer
			l.Answer(nil)
		})
	})
	for version, header := range headers(l) {
		out := wire.AppendChat(wire.AppendCred(append([]byte(nil), header...), "alice", "x"), "hello")
		for cut := range len(header) + 1 {
			c, before := r.dial(), r.counters.BytesIn.Load()
			if cut > 0 {
				c.send(out[:cut])
			}
			r.eventually(func() bool { return r.counters.BytesIn.Load() == before+int64(cut) }, "the first %d octets of %s are read", cut, version)
			c.send(out[cut:])
			c.expect(wire.Cred, 0, wire.Granted)
			c.expectChat("alice: hello")
			if peer := <-seen; peer != proxied {
				r.Errorf("%s cut after %d octets: the client is known as one at %v, want %v", version, cut, peer, proxied)
			}
			c.send(wire.AppendClose(nil))
			c.untilEOF()
			c.hangUp()
			r.waitClients(0)
		}
	}
}

// proxyHeaderForged: a header is nothing to be believed from just anybody. Where none
// may come it is a frame of unknown type; where one must, or may, with a secret, one
// without ends the connection. Whoever is in the room goes on.
func proxyHeaderForged(l *lab) {
	elsewhere := proxyproto.Policy{Trusted: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
	for _, p := range []struct {
		policy proxyproto.Policy
		why    core.Reason
	}{
		{elsewhere, core.ReasonBadType},
		{proxyproto.Policy{Secret: []byte("another")}, core.ReasonPreface},
		{proxyproto.Policy{Secret: []byte("another"), SecretOnly: true}, core.ReasonPreface},
	} {
		r := l.open(behindProxy(p.policy))
		var bob *client
		if !p.policy.SecretOnly {
			bob = r.login("bob")
		}
		for version, header := range headers(l) {
			c := r.dial()
			c.send(wire.AppendCred(header, "mallory", "x"))
			if notice := c.expectNotice(); notice == "" {
				r.Errorf("%s: an empty notice", version)
			}
			c.expectClosed()
		}
		r.waitEnds(p.why, 2)
		if bob != nil {
			bob.say("alone")
			bob.expectChat("bob: alone")
		}
		r.close()
	}
}

// proxyHeaderLate: a connection whose header does not come in time ends, whether
// nothing of it has come or all but an octet.
func proxyHeaderLate(l *lab) {
	r := l.open(behindProxy(trusting), func(s *settings) { s.room.PrefaceTimeout = 50 * time.Millisecond })
	silent, unfinished := r.dial(), r.dial()
	header := headers(l)["version 2"]
	unfinished.send(header[:len(header)-1])
	for _, c := range []*client{silent, unfinished} {
		if notice := c.expectNotice(); !strings.Contains(notice, "header") {
			r.Errorf("one without a header is told %q", notice)
		}
		c.expectClosed()
		c.hangUp()
	}
	r.waitEnds(core.ReasonPreface, 2)
	r.waitClients(0)
}

// proxyHeaderTwice: what follows a header are frames, and a second header is none.
func proxyHeaderTwice(l *lab) {
	r := l.open(behindProxy(trusting))
	for _, first := range headers(l) {
		for _, second := range headers(l) {
			c := r.dial()
			c.send(wire.AppendCred(append(first[:len(first):len(first)], second...), "mallory", "x"))
			c.expectNotice()
			c.expectClosed()
		}
	}
	r.waitEnds(core.ReasonBadType, 4)
}

// proxyClientTurnedAway: a client that its header shows to be one too many from its
// address is told so like one that is turned away when it connects, and its place is
// free for others.
func proxyClientTurnedAway(l *lab) {
	r := l.open(behindProxy(trusting), func(s *settings) { s.room.MaxPerAddress, s.room.MaxClients = 1, 2 })
	header := headers(l)["version 1"]
	alice := r.dial()
	alice.send(header)
	alice.enter("alice")
	for i := range 3 {
		c := r.dial()
		c.send(wire.AppendCred(header[:len(header):len(header)], fmt.Sprint("more", i), "x"))
		c.expect(wire.Cred, 0, "denied too many connections from your address")
		c.expectClosed()
		c.hangUp()
		r.waitClients(1)
	}
	r.waitEnds(core.ReasonAddress, 3)
	alice.say("still here")
	alice.expectChat("alice: still here")
	alice.finish()
	if _, err := alice.read(); err != io.EOF {
		r.Errorf("after the client's FIN: %v", err)
	}
	r.waitClients(0)
	bob := r.dial()
	bob.send(header)
	bob.enter("bob")
}
