package core

import (
	"math"
	"net/netip"
	"testing"
	"time"

	"chatbench/core/wire"
)

// tick lets a tenth of a second pass.
func tick(r *Room) { pass(r, 100*time.Millisecond) }

// refuse has a client take n octets of what it is offered, and no more.
func refuse(s *Session, n int) {
	s.Next()
	s.Wrote(n)
}

// TestSlowForATime: a client is ended when it has refused octets, and was over
// the limit, for all of LagTime; the limit holds to the octet.
func TestSlowForATime(t *testing.T) {
	r := testRoom(1<<20, Config{LagLimit: 1000, LagTime: time.Second})
	ann, bob := enter(t, r, "ann"), enter(t, r, "bob")
	frame := len("\x00ann: \x00")
	ann.Feed(chat(1000 - frame + 2))
	take(ann)
	refuse(bob, 0)
	for range 50 {
		tick(r)
		stays(t, bob) // 1000 octets behind, for ever
	}
	ann.Feed(chat(2))
	take(ann)
	for range 10 {
		tick(r)
		stays(t, bob) // 1007, not for long enough
	}
	refuse(bob, frame)
	for range 10 {
		tick(r)
		stays(t, bob) // 1000 again
	}
	ann.Feed(chat(2))
	take(ann)
	for range 10 {
		tick(r)
		stays(t, bob)
	}
	tick(r) // found at the first, ended at the eleventh
	ended(t, bob, ReasonSlow)
	if got := take(bob); got != nil {
		t.Errorf("a slow client is still given %q", got)
	}
	stays(t, ann)
	bob.Leave(ReasonReset)
	tick(r)
	if n := r.Snapshot().Ends[ReasonSlow]; n != 1 || len(r.refusing) != 0 {
		t.Errorf("%d slow ends are counted, %d are watched", n, len(r.refusing))
	}
}

// TestReaderIsNotSlow: a client that takes all it is owed once in LagTime
// stays, though it is far behind whenever it is looked at.
func TestReaderIsNotSlow(t *testing.T) {
	r := testRoom(1<<20, Config{LagLimit: 1000, LagTime: time.Second})
	ann, bob := enter(t, r, "ann"), enter(t, r, "bob")
	for range 20 {
		speak(r, ann, 5000)
		take(ann)
		refuse(bob, 1)
		for range 10 {
			tick(r)
			stays(t, bob)
		}
		take(bob)
		refuse(bob, 0)
	}
}

// TestOwedIsOneSum: what a client is owed counts together, of the room and of its
// own.
func TestOwedIsOneSum(t *testing.T) {
	r := testRoom(1<<20, Config{LagLimit: 1000, LagTime: time.Second})
	ann, bob := enter(t, r, "ann"), enter(t, r, "bob")
	speak(r, ann, 870)
	take(ann)
	refuse(bob, 0)
	for range 15 {
		tick(r)
		stays(t, bob)
	}
	ask := wire.AppendFile(nil, wire.LsBody, "bob", []byte(" 0123456789 0123456789 0123456789 0123456789"))
	for range 3 {
		ann.Feed(ask)
	}
	if n := r.owed(bob); n <= 1000 || bob.queued() > 250 {
		t.Fatalf("bob is owed %d, of his own %d", n, bob.queued())
	}
	for range 12 {
		tick(r)
	}
	ended(t, bob, ReasonSlow)
}

// TestSlowByItsOwn: a client that takes no private frames is ended while others
// wait to send it more, and not before.
func TestSlowByItsOwn(t *testing.T) {
	r := testRoom(1<<20, Config{LagLimit: 1000, LagTime: time.Second})
	ann, bob := enter(t, r, "ann"), enter(t, r, "bob")
	ask := wire.AppendFile(nil, wire.LsReq, "bob", nil)
	for bob.queued() < 250 {
		ann.Feed(ask)
		refuse(bob, 0)
	}
	for range 30 {
		tick(r)
		stays(t, bob)
	}
	ann.Feed(ask)
	if !ann.Held() {
		t.Fatal("who sends to a full queue does not wait")
	}
	for range 12 {
		tick(r)
	}
	ended(t, bob, ReasonSlow)
	take(ann)
	if ann.Held() {
		t.Error("and waits on when the addressee has ended")
	}
	stays(t, ann)
}

// TestLagMax: between Ticks the log does not grow without bound, whoever's
// fault it is, and for those who are ending neither.
func TestLagMax(t *testing.T) {
	r := testRoom(1000, Config{LagLimit: 1000, LagMax: 10_000})
	ann, bob, cid := enter(t, r, "ann"), enter(t, r, "bob"), enter(t, r, "cid")
	speak(r, ann, 100)
	take(ann)
	refuse(cid, 1)
	cid.Feed([]byte("\x09")) // ends, and is owed what was said before
	for r.behind(bob) < 9900 {
		speak(r, ann, 50)
		take(ann)
		stays(t, bob)
		if cid.Next() == nil {
			t.Fatal("given up too early")
		}
	}
	speak(r, ann, 2000) // at the latest when an eighth of LagMax was said
	take(ann)
	ended(t, bob, ReasonSlow)
	take(bob)
	if cid.Next() != nil {
		t.Error("who is ending keeps more of the log than LagMax")
	}
	speak(r, ann, 2000)
	take(ann)
	if n := chunks(r); n > 3 {
		t.Errorf("%d chunks are kept", n)
	}
	stays(t, ann)
}

// TestNotOfferedIsNotSlow: a transport that is late is not the client's fault.
func TestNotOfferedIsNotSlow(t *testing.T) {
	r := testRoom(1<<20, Config{LagLimit: 1000, LagTime: time.Second})
	ann, bob := enter(t, r, "ann"), enter(t, r, "bob")
	for r.Said() < 60_000 {
		speak(r, ann, 1000)
		take(ann)
		bob.Next() // offered, and nothing said of it
		tick(r)
		stays(t, bob)
	}
}

// TestLimitlessLag: the largest limit there is ends nobody.
func TestLimitlessLag(t *testing.T) {
	r := testRoom(1000, Config{LagLimit: math.MaxInt})
	ann, bob := enter(t, r, "ann"), enter(t, r, "bob")
	speak(r, ann, 5000)
	refuse(bob, 0)
	pass(r, time.Hour)
	pass(r, time.Hour)
	stays(t, bob)
}

// TestNewcomerIsNotSlow: what is said of a newcomer may fill a chunk, and the
// clients are looked at then.
func TestNewcomerIsNotSlow(t *testing.T) {
	r := testRoom(400, Config{LagLimit: 10, LagMax: 200, Announce: true})
	ann := enter(t, r, "ann")
	for i := range 200 {
		speak(r, ann, 32)
		take(ann)
		bob := enter(t, r, "bob"+string(rune('a'+i%26)))
		stays(t, bob)
		take(ann)
		bob.Leave(ReasonEOF)
		take(ann)
	}
}

// TestNewcomerIsToldWhoStays: saying that a newcomer has joined can end a slow
// client. The newcomer is not told that it is here, since nobody will tell it
// that it has left.
func TestNewcomerIsToldWhoStays(t *testing.T) {
	for messages := range 100 {
		r := testRoom(100, Config{LagLimit: 10, LagMax: 100, Announce: true})
		ann, bob := enter(t, r, "ann"), enter(t, r, "bob")
		for range messages {
			ann.Feed(chat(3))
			take(ann)
		}
		take(ann)
		stays(t, bob)
		pass(r, announceEvery)
		cid := r.Join(netip.AddrPort{}, quiet{}, nil)
		cid.Feed(wire.AppendCred(nil, "cid", "x"))
		if _, closing := bob.Closing(); !closing {
			continue
		}
		if got, want := string(take(cid)), "\x01granted\x00\x00server: here: ann\x00"; got != want {
			t.Errorf("the newcomer is told %q, want %q", got, want)
		}
		pass(r, announceEvery)
		if got, want := string(take(ann)), "\x00server: cid has joined\x00\x00server: bob has left\x00"; got != want {
			t.Errorf("who is there is told %q, want %q", got, want)
		}
		return
	}
	t.Fatal("no newcomer has filled a chunk")
}

// TestSlowOnesFillAChunk: saying that clients have left fills the next chunk
// while the list of them is gone through.
func TestSlowOnesFillAChunk(t *testing.T) {
	r := testRoom(120, Config{LagLimit: 100, LagMax: 100, Announce: true})
	ann := enter(t, r, "ann")
	var others []*Session
	for i := range 12 {
		others = append(others, enter(t, r, "other"+string(rune('a'+i))))
		take(ann)
	}
	for _, s := range others {
		take(s)
	}
	for range 100 {
		ann.Feed(chat(20))
		take(ann)
	}
	for _, s := range others {
		ended(t, s, ReasonSlow)
	}
	stays(t, ann)
	if st := r.Snapshot(); st.Granted != 1 || len(r.names) != 1 || r.discarded.n != len(others) {
		t.Errorf("the room holds %d, %d names, %d ending", st.Granted, len(r.names), r.discarded.n)
	}
}
