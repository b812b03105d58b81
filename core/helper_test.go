package core

import (
	"net/netip"
	"testing"
	"time"

	"chatbench/core/wire"
)

// quiet is the Waker of tests that look for output themselves.
type quiet struct{}

func (quiet) WakeRoom()     {}
func (quiet) Wake(*Session) {}

// start is when rooms of tests begin.
var start = time.Unix(1e9, 0)

// testRoom is a room with an open door and chunks of a size of one's own.
func testRoom(chunkSize int, cfg Config) *Room {
	if cfg.Authenticator == nil {
		cfg.Authenticator = OpenDoor{}
	}
	cfg.Now = start
	return newRoom(cfg, chunkSize)
}

// pass lets so much time pass.
func pass(r *Room, d time.Duration) {
	r.Tick(r.began.Add(time.Duration(r.clock.Load()-1) + d))
}

// enter logs a client in and takes what it is given.
func enter(t testing.TB, r *Room, name string) *Session {
	t.Helper()
	s := r.Join(netip.MustParseAddrPort("192.0.2.1:40000"), quiet{}, nil)
	s.Feed(wire.AppendCred(nil, name, "x"))
	if got := s.State(); got != StateGrant {
		t.Fatalf("%s is in state %v after its login", name, got)
	}
	take(s)
	return s
}

// take writes all that waits for a client.
func take(s *Session) (got []byte) {
	for p := s.Next(); p != nil; p = s.Next() {
		got = append(got, p...)
		s.Wrote(len(p))
	}
	return got
}

// takeAll writes all that waits for everybody, and keeps nothing of it.
func takeAll(all []*Session) {
	for _, s := range all {
		for p := s.Next(); p != nil; p = s.Next() {
			s.Wrote(len(p))
		}
	}
}

// chat is a Chat frame of n octets.
func chat(n int) []byte {
	f := make([]byte, n)
	for i := 1; i < n-1; i++ {
		f[i] = 'a' + byte(i%26)
	}
	return f
}

// speak has a client say so many octets, as the log counts them, at the least.
func speak(r *Room, s *Session, octets int) {
	for until := r.Said() + uint64(octets); r.Said() < until; {
		s.Feed(chat(32))
		if why, closing := s.Closing(); closing {
			panic("the speaker has ended: " + why.String())
		}
	}
}

// ended fails unless the session is closing for the reason.
func ended(t *testing.T, s *Session, want Reason) {
	t.Helper()
	if why, closing := s.Closing(); !closing || why != want {
		t.Fatalf("closing %v for %v, want it for %v", closing, why, want)
	}
}

// stays fails if the session is closing.
func stays(t *testing.T, s *Session) {
	t.Helper()
	if why, closing := s.Closing(); closing {
		t.Fatalf("closing for %v", why)
	}
}
