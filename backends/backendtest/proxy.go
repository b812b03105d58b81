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

// The core reads what a connection begins with before its frames. For a transport this
// means that a client's address changes after Join, that a client can be turned away
// after it has joined, and that the header's deadline ends connections that have sent
// nothing.
var proxyScenarios = []scenario{
	{"proxy-header-in-pieces", proxyHeaderInPieces},
	{"proxy-header-forged", proxyHeaderForged},
	{"proxy-header-late", proxyHeaderLate},
	{"proxy-header-twice", proxyHeaderTwice},
	{"proxy-client-turned-away", proxyClientTurnedAway},
}

// proxied is the address of the client that a header names.
var proxied = netip.MustParseAddrPort("203.0.113.9:51000")

// headers gives the header that names it, in both versions.
func headers(h *harness) map[string][]byte {
	h.Helper()
	version2, err := proxyproto.Header(proxied, netip.MustParseAddrPort("192.0.2.1:443"), []byte("secret"))
	if err != nil {
		h.Fatalf("make a header: %v", err)
	}
	return map[string][]byte{"version 1": []byte("PROXY TCP4 203.0.113.9 192.0.2.1 51000 443\r\n"), "version 2": version2}
}

// behindProxy configures a server to read headers by a policy.
func behindProxy(p proxyproto.Policy) func(*settings) {
	return func(s *settings) { s.room.Preface = p.Preface }
}

// trusting trusts headers from everybody on this machine.
var trusting = proxyproto.Policy{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}

// proxyHeaderInPieces: a header may come in any two pieces, with frames after it in the
// same read. The client's address is the one that the header names.
func proxyHeaderInPieces(h *harness) {
	seen := make(chan netip.AddrPort, 1)
	r := h.open(behindProxy(trusting), func(s *settings) {
		s.room.Authenticator = authFunc(func(l *core.Login) {
			seen <- l.Peer
			l.Answer(nil)
		})
	})
	for version, header := range headers(h) {
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
				r.Errorf("%s split after %d octets: the client's address is %v, want %v", version, cut, peer, proxied)
			}
			c.send(wire.AppendClose(nil))
			c.untilEOF()
			c.hangUp()
			r.waitClients(0)
		}
	}
}

// proxyHeaderForged: only trusted connections may send a header. From others it counts as
// a frame of unknown type. Where a header needs a secret, one without it ends the
// connection. Clients in the room are not affected.
func proxyHeaderForged(h *harness) {
	elsewhere := proxyproto.Policy{Trusted: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
	for _, p := range []struct {
		policy proxyproto.Policy
		why    core.Reason
	}{
		{elsewhere, core.ReasonBadType},
		{proxyproto.Policy{Secret: []byte("another")}, core.ReasonPreface},
		{proxyproto.Policy{Secret: []byte("another"), SecretOnly: true}, core.ReasonPreface},
	} {
		r := h.open(behindProxy(p.policy))
		var bob *client
		if !p.policy.SecretOnly {
			bob = r.login("bob")
		}
		for version, header := range headers(h) {
			c := r.dial()
			c.send(wire.AppendCred(header, "mallory", "x"))
			if notice := c.expectNotice(); notice == "" {
				r.Errorf("%s: the notice is empty", version)
			}
			c.expectClosed()
			c.hangUp()
		}
		r.waitEnds(p.why, 2)
		if bob != nil {
			bob.say("alone")
			bob.expectChat("bob: alone")
			bob.hangUp()
		}
		r.close()
	}
}

// proxyHeaderLate: a connection whose header is not complete in time is ended, whether
// nothing of it has come or all but one octet.
func proxyHeaderLate(h *harness) {
	r := h.open(behindProxy(trusting), func(s *settings) { s.room.PrefaceTimeout = 50 * time.Millisecond })
	silent, unfinished := r.dial(), r.dial()
	header := headers(h)["version 2"]
	unfinished.send(header[:len(header)-1])
	for _, c := range []*client{silent, unfinished} {
		if notice := c.expectNotice(); !strings.Contains(notice, "header") {
			r.Errorf("the notice for a missing header is %q", notice)
		}
		c.expectClosed()
		c.hangUp()
	}
	r.waitEnds(core.ReasonPreface, 2)
	r.waitClients(0)
}

// proxyHeaderTwice: frames follow a header; a second header is not a frame.
func proxyHeaderTwice(h *harness) {
	r := h.open(behindProxy(trusting))
	for _, first := range headers(h) {
		for _, second := range headers(h) {
			c := r.dial()
			c.send(wire.AppendCred(append(first[:len(first):len(first)], second...), "mallory", "x"))
			c.expectNotice()
			c.expectClosed()
			c.hangUp()
		}
	}
	r.waitEnds(core.ReasonBadType, 4)
}

// proxyClientTurnedAway: a client whose header shows that there are too many from its
// address is told so, like one that is turned away when it connects, and its slot is
// free.
func proxyClientTurnedAway(h *harness) {
	r := h.open(behindProxy(trusting), func(s *settings) { s.room.MaxPerAddress, s.room.MaxClients = 1, 2 })
	header := headers(h)["version 1"]
	alice := r.dial()
	alice.send(header)
	alice.logIn("alice")
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
	bob.logIn("bob")
}
