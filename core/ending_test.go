package core

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"chatbench/core/wire"
)

// chunks is how many chunks the log has.
func chunks(r *Room) int {
	r.log.reclaim()
	n := 1
	for c := r.log.first; c != r.log.last; c = c.next.Load() {
		n++
	}
	return n
}

// TestEndingKeepsNoLog: a closing session keeps no chunks of the log, for whatever reason it
// closes and however long its connection lingers.
func TestEndingKeepsNoLog(t *testing.T) {
	badType := []byte{9}
	for _, tt := range []struct {
		name string
		end  func(r *Room, s *Session)
	}{
		{"bye", func(_ *Room, s *Session) { s.Feed(wire.AppendClose(nil)); s.Next() }},
		{"bye, never asked for output", func(_ *Room, s *Session) { s.Feed(wire.AppendClose(nil)) }},
		{"violation, last words taken", func(_ *Room, s *Session) { s.Feed(badType); take(s) }},
		{"violation, last words refused", func(_ *Room, s *Session) {
			s.Feed(badType)
			for p := s.Next(); !strings.Contains(string(p), "unknown"); p = s.Next() {
				s.Wrote(len(p))
			}
			s.Wrote(1)
		}},
		{"left", func(_ *Room, s *Session) { s.Leave(ReasonEOF) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := testRoom(1000, Config{LagLimit: 1 << 20})
			ann := enter(t, r, "ann")
			bob := r.Join(netip.AddrPort{}, quiet{}, nil)
			bob.Feed(wire.AppendCred(nil, "bob", "x"))
			if tt.name != "bye, never asked for output" {
				take(bob)
			}
			speak(r, ann, 100)
			tt.end(r, bob)
			speak(r, ann, 10_000)
			take(ann)
			if n := chunks(r); n > 2 {
				t.Errorf("%d chunks are kept for a client that has ended", n)
			}
		})
	}
}

// TestStuckEndingIsGivenUp: a client that has violated the protocol and then reads nothing
// keeps neither chunks of the log nor its connection.
func TestStuckEndingIsGivenUp(t *testing.T) {
	stuck := func(r *Room) (ann, bob *Session) { return stuckEnding(t, r) }
	t.Run("too far behind", func(t *testing.T) {
		r := testRoom(1000, Config{LagLimit: 1000, LagMax: 2000})
		ann, bob := stuck(r)
		if bob.Next() == nil {
			t.Fatal("a client that ends is not given what was said before")
		}
		for range 4 {
			speak(r, ann, 1000) // chunks fill
			take(ann)
		}
		if bob.Next() != nil {
			t.Error("it is still given something, 4000 octets behind")
		}
		take(ann)
		if n := chunks(r); n > 2 {
			t.Errorf("%d chunks are kept", n)
		}
		ended(t, bob, ReasonBadType)
	})
	t.Run("out of time", func(t *testing.T) {
		r := testRoom(2000, Config{LagLimit: 1000})
		_, bob := stuck(r)
		r.Tick(start.Add(defaultFarewell))
		if bob.Next() == nil {
			t.Fatal("given up too early")
		}
		r.Tick(start.Add(defaultFarewell + 1))
		if bob.Next() != nil {
			t.Error("it is still given something, out of time")
		}
		bob.Wrote(7) // of a write that was under way
		ended(t, bob, ReasonBadType)
		bob.Leave(ReasonReset)
		if st := r.Snapshot(); st.Ends[ReasonBadType] != 1 || r.ending.n+r.discarded.n != 0 {
			t.Errorf("ends %v, %d still ending", st.Ends, r.ending.n+r.discarded.n)
		}
	})
	t.Run("one who never was in the room", func(t *testing.T) {
		r := testRoom(2000, Config{LagLimit: 1000})
		ann := enter(t, r, "ann")
		bob := r.Join(netip.AddrPort{}, quiet{}, nil)
		bob.Feed([]byte{9})
		for range 20 {
			speak(r, ann, 1000)
			take(ann)
		}
		tick(r)
		if bob.Next() == nil {
			t.Error("given up for what the room has said, of which it is owed nothing")
		}
	})
	t.Run("the transport is told", func(t *testing.T) {
		r := testRoom(2000, Config{LagLimit: 1000})
		w := &counting{}
		bob := r.Join(netip.AddrPort{}, w, nil)
		bob.Feed([]byte{9})
		told := w.sessions
		for range 3 {
			pass(r, defaultFarewell+1)
		}
		if w.sessions != told+1 {
			t.Errorf("told %d times that a client is given up, want once", w.sessions-told)
		}
	})
}

// TestTurnedAway: TurnedAway is true for exactly the clients that never had a slot.
func TestTurnedAway(t *testing.T) {
	peer := netip.MustParseAddrPort("192.0.2.1:40000")
	for why, cfg := range map[Reason]Config{
		ReasonFull:    {MaxClients: 1},
		ReasonPending: {MaxPending: 1},
		ReasonAddress: {MaxPerAddress: 1},
	} {
		r := testRoom(1000, cfg)
		stays(t, r.Join(peer, quiet{}, nil))
		s := r.Join(peer, quiet{}, nil)
		ended(t, s, why)
		if !why.TurnedAway() || s.pooled {
			t.Errorf("%v: turned away %v, with a slot %v", why, why.TurnedAway(), s.pooled)
		}
	}
	for _, why := range []Reason{ReasonEOF, ReasonDenied, ReasonLoginTimeout, ReasonSlow} {
		if why.TurnedAway() {
			t.Errorf("%v is no way to be turned away", why)
		}
	}
}

// TestTurnAway: TurnAway denies the login of a client, or sends it a notice, depending on its
// state. An answer to its login comes too late. If the session is closing it does nothing.
func TestTurnAway(t *testing.T) {
	const denied, told = "\x01denied server is full\x00\x03\x00", "\x00server: server is full\x00\x03\x00"
	var answer func(error)
	r := testRoom(1000, Config{Authenticator: keeper{&answer}})
	for name, c := range map[string]struct {
		sent, want string
		answered   bool
	}{
		"before its login":           {"", denied, false},
		"while its login is decided": {"\x01ann x\x00\x00hi\x00", denied, false},
		"in the room":                {"\x01bob x\x00", "\x01granted\x00" + told, true},
	} {
		t.Run(name, func(t *testing.T) {
			answer = nil
			logins := r.Snapshot().Logins
			s := r.Join(netip.AddrPort{}, quiet{}, nil)
			s.Feed([]byte(c.sent))
			if c.answered {
				answer(nil)
			}
			s.TurnAway()
			s.TurnAway()
			if answer != nil && !c.answered {
				answer(nil)
			}
			ended(t, s, ReasonFull)
			if got := string(take(s)); got != c.want {
				t.Errorf("told %q in place of %q", got, c.want)
			}
			if n := r.Snapshot().Logins - logins; n != 0 && !c.answered {
				t.Errorf("%d clients were let in", n)
			}
			s.Leave(ReasonReset)
			if n := r.Snapshot().Clients; n != 0 {
				t.Errorf("%d clients are there after the end", n)
			}
		})
	}
	bye := enter(t, testRoom(1000, Config{}), "bye")
	bye.Feed([]byte("\x03\x00"))
	bye.TurnAway()
	ended(t, bye, ReasonBye)
}

// TestLoginKeepsNothing: input that waits for the answer to a login is not kept after the
// answer, and not kept at all if the session is closing.
func TestLoginKeepsNothing(t *testing.T) {
	var answer func(error)
	r := testRoom(1000, Config{Authenticator: keeper{&answer}})
	ann, bob := r.Join(netip.AddrPort{}, quiet{}, nil), r.Join(netip.AddrPort{}, quiet{}, nil)
	ann.Feed([]byte("\x01ann x\x00\x00hi\x00"))
	if n := len(ann.in.waiting); n != 4 {
		t.Fatalf("%d octets wait, want 4", n)
	}
	answer(nil)
	if got := string(take(ann)); got != "\x01granted\x00\x00ann: hi\x00" || ann.in.waiting != nil {
		t.Errorf("given %q; %d octets still wait", got, len(ann.in.waiting))
	}
	bob.Feed([]byte("\x01bob x\x00"))
	r.Tick(start.Add(time.Hour))
	bob.Feed(chat(500))
	if n := len(bob.in.waiting); n != 0 {
		t.Errorf("%d octets wait for the login of one that is closing", n)
	}
}

// TestImpatience: the limit on input that waits for the answer to a login is exact, and at
// least four frames.
func TestImpatience(t *testing.T) {
	for frame, want := range map[int]int{100: 16 << 10, wire.MaxFrame: 16 << 10, 10_000: 40_000} {
		var answer func(error)
		r := testRoom(1<<20, Config{Authenticator: keeper{&answer}, MaxFrame: frame})
		for over := range 2 {
			ann := r.Join(netip.AddrPort{}, quiet{}, nil)
			ann.Feed(append(wire.AppendCred(nil, "ann", "x"), chat(100)...))
			for n := 100; n < want+over; n += min(want+over-n, 100) {
				ann.Feed(chat(min(want+over-n, 100)))
			}
			if over == 0 {
				answer(nil)
				stays(t, ann)
				ann.Leave(ReasonEOF)
				continue
			}
			ended(t, ann, ReasonImpatient)
			kept := len(ann.in.waiting)
			answer(nil)
			if got, text := string(take(ann)), "\x00server: too much sent before the login was answered\x00\x03\x00"; got != text {
				t.Errorf("told %q in place of %q", got, text)
			}
			if kept > 0 || r.Snapshot().Logins != 1 {
				t.Errorf("%d octets are kept until the answer, %d logins", kept, r.Snapshot().Logins)
			}
		}
	}
}

// counting is a Waker that counts its calls.
type counting struct{ room, sessions int }

func (c *counting) WakeRoom()     { c.room++ }
func (c *counting) Wake(*Session) { c.sessions++ }

// TestWakers: WakeRoom is called for a waker while it has a session, once for each Feed, and
// Wake for a session when there is output for it.
func TestWakers(t *testing.T) {
	r := testRoom(1<<20, Config{})
	a, b := &counting{}, &counting{}
	join := func(w Waker, name string) *Session {
		s := r.Join(netip.AddrPort{}, w, nil)
		s.Feed(wire.AppendCred(nil, name, "x"))
		return s
	}
	expect := func(what string, want [4]int) {
		t.Helper()
		if got := [4]int{a.room, a.sessions, b.room, b.sessions}; got != want {
			t.Errorf("%s: woken %v, want %v", what, got, want)
		}
		*a, *b = counting{}, counting{}
	}
	ann, bob, cid := join(a, "ann"), join(a, "bob"), join(b, "cid")
	expect("logins", [4]int{0, 2, 0, 1})
	ann.Feed(append(append(chat(9), chat(9)...), chat(9)...))
	expect("three messages", [4]int{1, 0, 1, 0})
	ann.Feed(chat(9)[:5])
	expect("half a message", [4]int{})
	ann.Feed(append(chat(9)[5:], 9))
	expect("a message and a violation", [4]int{1, 1, 1, 0})
	bob.Feed(wire.AppendFile(nil, wire.LsReq, "cid", nil))
	expect("a relayed frame", [4]int{0, 0, 0, 1})
	bob.Feed(wire.AppendFile(nil, wire.LsReq, "zoe", nil))
	expect("a notice", [4]int{0, 1, 0, 0})
	bob.Leave(ReasonEOF)
	cid.Feed(chat(9))
	expect("ann is still there", [4]int{1, 0, 1, 0})
	ann.Leave(ReasonEOF)
	cid.Feed(chat(9))
	expect("a has nobody", [4]int{0, 0, 1, 0})
	r.Drain()
	expect("drain", [4]int{0, 0, 0, 1})
	r.Join(netip.AddrPort{}, a, nil)
	expect("turned away", [4]int{})

	r = testRoom(1<<20, Config{Announce: true})
	ann = join(a, "ann")
	expect("a login that nobody hears of", [4]int{0, 1, 0, 0})
	bob = join(b, "bob")
	expect("a login that is announced", [4]int{1, 0, 1, 1})
	pass(r, announceEvery)
	bob.Leave(ReasonEOF)
	expect("an end that is announced", [4]int{1, 0, 0, 0})
	ann.Leave(ReasonEOF)
}

// TestLastWordsAreThere: if a writer sees that the session is closing, its next call of Next
// returns the last output, even if the end begins at that moment.
func TestLastWordsAreThere(t *testing.T) {
	r := testRoom(1<<16, Config{LoginTimeout: time.Hour})
	for i := range 20_000 {
		s := r.Join(netip.AddrPort{}, quiet{}, nil)
		done := make(chan []byte)
		go func() {
			for {
				if _, closing := s.Closing(); closing {
					done <- take(s)
					return
				}
			}
		}()
		s.Feed([]byte{9})
		if got := string(<-done); got != "\x00server: unknown frame type\x00\x03\x00" {
			t.Fatalf("round %d: a closing client is given %q", i, got)
		}
		s.Leave(ReasonEOF)
	}
}

// stuckEnding is a room in which bob took one octet of what ann said, and then
// broke the protocol.
func stuckEnding(t *testing.T, r *Room) (ann, bob *Session) {
	ann, bob = enter(t, r, "ann"), enter(t, r, "bob")
	speak(r, ann, 500)
	bob.Next()
	bob.Wrote(1)
	bob.Feed([]byte{9})
	return ann, bob
}
