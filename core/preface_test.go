package core

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"chatbench/core/wire"
)

// line is a Preface of tests: "for ADDRESS:PORT\n" or "for nobody\n", at most 64
// octets. Where it is not required, frames may come in its place.
type line struct {
	required bool
	seen     []byte
}

func (l *line) Required() bool { return l.required }

func (l *line) Take(in []byte) (rest []byte, done bool, client netip.AddrPort, err error) {
	if !l.required && len(l.seen) == 0 && len(in) > 0 && in[0] != 'f' {
		return in, true, client, nil
	}
	l.seen = append(l.seen, in...)
	text, rest, found := bytes.Cut(l.seen, []byte("\n"))
	if !found && len(l.seen) < 64 {
		return nil, false, client, nil
	}
	who, right := strings.CutPrefix(string(text), "for ")
	if !found || !right {
		return nil, false, client, errors.New("no line")
	}
	if who != "nobody" {
		client, err = netip.ParseAddrPort(who)
	}
	return rest, err == nil, client, err
}

// proxied is a room behind a proxy at 192.0.2.1, and which may have one at 192.0.2.9.
func proxied(cfg Config) *Room {
	cfg.Preface = func(peer netip.AddrPort) Preface {
		switch peer.Addr().String() {
		case "192.0.2.1":
			return &line{required: true}
		case "192.0.2.9":
			return &line{}
		}
		return nil
	}
	return testRoom(64<<10, cfg)
}

func connect(r *Room, from string) *Session {
	return r.Join(netip.MustParseAddrPort(from+":40000"), quiet{}, nil)
}

// asker keeps the logins it is asked about, and lets everybody in.
type asker struct{ peers *[]string }

func (a asker) Authenticate(l *Login) {
	*a.peers = append(*a.peers, l.Peer.String())
	l.Answer(nil)
}

// The address that a preface names is the client's, to everybody who asks for it,
// whatever the pieces are in which preface and frames come.
func TestPreface(t *testing.T) {
	const preface = "for 203.0.113.9:5\n"
	input := append([]byte(preface), wire.AppendCred(nil, "alice", "x")...)
	input = append(input, wire.AppendChat(nil, "hello")...)
	for _, from := range []string{"192.0.2.1", "192.0.2.9"} {
		for size := 1; size <= len(input); size++ {
			var peers []string
			r := proxied(Config{Authenticator: asker{&peers}})
			s := connect(r, from)
			for at := 0; at < len(input); at += size {
				s.Feed(input[at:min(at+size, len(input))])
			}
			if s.State() != StateGrant || s.Peer().String() != "203.0.113.9:5" || len(peers) != 1 || peers[0] != "203.0.113.9:5" {
				t.Fatalf("%s by %d: state %v, peer %v, logins from %v", from, size, s.State(), s.Peer(), peers)
			}
			if said := r.Snapshot().Messages; said != 1 {
				t.Fatalf("%s by %d: %d messages said", from, size, said)
			}
		}
	}
}

// One for whom no preface is required, and one whose preface names nobody, are what
// they connect from.
func TestNoClientNamed(t *testing.T) {
	r := proxied(Config{})
	for from, first := range map[string]string{"192.0.2.9": "", "192.0.2.1": "for nobody\n", "198.51.100.7": ""} {
		s := connect(r, from)
		s.Feed(append([]byte(first), wire.AppendCred(nil, "u"+from, "x")...))
		if s.State() != StateGrant || s.Peer().Addr().String() != from {
			t.Errorf("%s: state %v, peer %v", from, s.State(), s.Peer())
		}
	}
}

// A preface that is wrong, missing or late ends the session, and the room is as it
// was before. One from where none may come is no frame.
func TestPrefaceViolations(t *testing.T) {
	r := proxied(Config{MaxPerAddress: 3})
	wrong, missing, late := connect(r, "192.0.2.1"), connect(r, "192.0.2.1"), connect(r, "192.0.2.1")
	untrusted := connect(r, "198.51.100.7")
	wrong.Feed([]byte("for me\n"))
	missing.Feed(wire.AppendCred(nil, "bob", "x"))
	missing.Feed(bytes.Repeat([]byte("x"), 64))
	untrusted.Feed([]byte("for 203.0.113.9:5\n"))
	late.Feed([]byte("for 203.0"))
	pass(r, 4900*time.Millisecond)
	stays(t, late)
	pass(r, 200*time.Millisecond)
	for _, s := range []*Session{wrong, missing, late} {
		ended(t, s, ReasonPreface)
		if got := take(s); !bytes.Contains(got, []byte("header")) {
			t.Errorf("told %q", got)
		}
		s.Leave(ReasonEOF)
	}
	ended(t, untrusted, ReasonBadType)
	untrusted.Leave(ReasonEOF)
	if st := r.Snapshot(); st.Clients != 0 || st.Pending != 0 || st.Ends[ReasonPreface] != 3 || len(r.address) != 0 {
		t.Errorf("left behind: %+v, addresses %v", st, r.address)
	}
}

// Clients behind a proxy are counted by their own addresses, not by the proxy's.
func TestPrefaceAndAddresses(t *testing.T) {
	r := proxied(Config{MaxPerAddress: 2})
	var all []*Session
	arrive := func(from, client string) *Session {
		s := connect(r, from)
		s.Feed([]byte("for " + client + ":5\n"))
		all = append(all, s)
		return s
	}
	for _, client := range []string{"203.0.113.1", "203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.2"} {
		stays(t, arrive("192.0.2.1", client))
	}
	stays(t, arrive("192.0.2.9", "203.0.113.3"))
	ended(t, arrive("192.0.2.1", "203.0.113.1"), ReasonAddress)
	ended(t, arrive("192.0.2.9", "203.0.113.3"), ReasonAddress)
	ended(t, connect(r, "203.0.113.2"), ReasonAddress) // without a proxy it is the same address
	all[0].Leave(ReasonEOF)
	stays(t, arrive("192.0.2.1", "203.0.113.1"))
	for range 2 { // the proxy itself
		s := connect(r, "192.0.2.1")
		s.Feed([]byte("for nobody\n"))
		stays(t, s)
		all = append(all, s)
	}
	stays(t, arrive("192.0.2.1", "203.0.113.7"))
	for _, s := range all {
		s.Leave(ReasonEOF)
	}
	if len(r.address) != 0 || r.Snapshot().Clients != 0 {
		t.Errorf("left behind: %v, %d clients", r.address, r.Snapshot().Clients)
	}
	// Who may have no proxy, and is at the limit, is not counted twice.
	r = proxied(Config{MaxPerAddress: 1})
	s := connect(r, "192.0.2.9")
	s.Feed(wire.AppendCred(nil, "carol", "x"))
	stays(t, s)
}

// The time to log in begins when a required preface has come; those whose preface
// is awaited count among those who are logging in, and are let go of by Drain.
func TestPrefaceDeadlines(t *testing.T) {
	r := proxied(Config{MaxPending: 2, LoginTimeout: 10 * time.Second})
	s, other := connect(r, "192.0.2.1"), connect(r, "192.0.2.1")
	ended(t, connect(r, "198.51.100.8"), ReasonPending)
	other.Leave(ReasonEOF)
	pass(r, 4*time.Second)
	s.Feed([]byte("for 203.0.113.9:5\n"))
	plain := connect(r, "198.51.100.7")
	pass(r, 9900*time.Millisecond)
	stays(t, s)
	stays(t, plain)
	pass(r, 200*time.Millisecond)
	ended(t, s, ReasonLoginTimeout)
	ended(t, plain, ReasonLoginTimeout)
	waiting := connect(r, "192.0.2.1")
	r.Drain()
	ended(t, waiting, ReasonDrain)
}
