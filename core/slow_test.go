package core

import (
	"math"
	"net/netip"
	"testing"
	"time"

	"chatbench/core/wire"
)

// tick lets a tenth of a second pass.
func tick(r *Room) {
	r.Tick(r.now.Add(100 * time.Millisecond))
}

// TestSlowAtTick: octets that were offered and refused count against a client,
// to the octet.
func TestSlowAtTick(t *testing.T) {
	r := testRoom(1<<20, Config{LagLimit: 1000})
	ann, bob := enter(t, r, "ann"), enter(t, r, "bob")
	frame := len("\x00ann: \x00")
	ann.Feed(chat(1000 - frame + 2))
	take(ann)
	bob.Next()
	bob.Wrote(0)
	tick(r)
	stays(t, bob) // 1000 octets behind
	ann.Feed(chat(2))
	take(ann)
	stays(t, bob) // too far now, and looked at next time
	bob.Wrote(frame)
	tick(r)
	stays(t, bob) // 1000 again
	ann.Feed(chat(2))
	tick(r)
	ended(t, bob, ReasonSlow)
	if got := take(bob); got != nil {
		t.Errorf("a slow client is still given %q", got)
	}
	stays(t, ann)
	bob.Leave(ReasonReset)
	if n := r.Snapshot().Ends[ReasonSlow]; n != 1 {
		t.Errorf("%d slow ends are counted, want 1", n)
	}
}

// TestSlowAtChunkFill: between Ticks the log does not grow without bound.
func TestSlowAtChunkFill(t *testing.T) {
	r := testRoom(4000, Config{LagLimit: 1000})
	ann, bob := enter(t, r, "ann"), enter(t, r, "bob")
	speak(r, ann, 100)
	take(ann)
	bob.Next()
	bob.Wrote(1)
	speak(r, ann, 3000)
	take(ann)
	stays(t, bob) // far behind, and nobody has looked
	speak(r, ann, 1000)
	ended(t, bob, ReasonSlow)
	stays(t, ann)
}

// TestSlowWithoutAWord: a writer that is stuck says nothing. It has a whole
// time between Ticks to say that it was only busy.
func TestSlowWithoutAWord(t *testing.T) {
	r := testRoom(1<<20, Config{LagLimit: 1000})
	ann, bob, cid := enter(t, r, "ann"), enter(t, r, "bob"), enter(t, r, "cid")
	for range 5 {
		speak(r, ann, 1500)
		take(ann)
		p := cid.Next()
		tick(r) // in mid-write
		cid.Wrote(len(p))
	}
	take(bob)
	speak(r, ann, 1500)
	take(ann)
	take(cid)
	bob.Next()
	tick(r)
	stays(t, bob)
	bob.Next() // offered again: still the same octets
	tick(r)
	ended(t, bob, ReasonSlow)
	stays(t, cid)
}

// TestNotOfferedIsNotSlow: a transport that is late is not the client's fault,
// within reason.
func TestNotOfferedIsNotSlow(t *testing.T) {
	r := testRoom(1<<20, Config{LagLimit: 1000})
	ann, bob := enter(t, r, "ann"), enter(t, r, "bob")
	for r.Said() < 15_900 {
		speak(r, ann, 32)
		take(ann)
		tick(r)
		stays(t, bob)
	}
	speak(r, ann, 200)
	tick(r)
	ended(t, bob, ReasonSlow)
}

// TestLimitlessLag: the largest limit there is ends nobody.
func TestLimitlessLag(t *testing.T) {
	r := testRoom(1<<20, Config{LagLimit: math.MaxInt})
	ann, bob := enter(t, r, "ann"), enter(t, r, "bob")
	speak(r, ann, 5000)
	bob.Next()
	bob.Wrote(0)
	tick(r)
	stays(t, bob)
}

// TestPrivateQueueBound: what others send to one client is bounded too.
func TestPrivateQueueBound(t *testing.T) {
	ask := wire.AppendFile(nil, wire.LsReq, "bob", nil)
	nack := wire.AppendFile(nil, wire.DnNack, "bob", []byte(" f.txt")) // a notice follows it
	for _, tt := range []struct {
		name    string
		relay   []byte
		offered bool
		most    int
	}{
		{"not offered", ask, false, 16_016},
		{"refused", ask, true, 1000},
		{"refused, two frames at once", nack, true, 1000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := testRoom(1<<20, Config{LagLimit: 1000})
			ann, bob := enter(t, r, "ann"), enter(t, r, "bob")
			if tt.offered {
				ann.Feed(tt.relay)
				bob.Next()
				bob.Wrote(1)
			}
			held := 0
			for range 10_000 {
				ann.Feed(tt.relay)
				if _, closing := bob.Closing(); closing {
					break
				}
				held = len(bob.mail.private)
			}
			ended(t, bob, ReasonSlow)
			if held > tt.most || held < tt.most-50 {
				t.Errorf("ended when over %d octets waited, want %d", held, tt.most)
			}
			if bob.mail.private != nil || take(bob) != nil {
				t.Error("an ended client still has a queue")
			}
			stays(t, ann)
		})
	}
}

// TestNewcomerIsNotSlow: what is said of a newcomer may fill a chunk, and the
// clients are looked at then.
func TestNewcomerIsNotSlow(t *testing.T) {
	r := testRoom(400, Config{LagLimit: 10, Announce: true})
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
	r := testRoom(400, Config{LagLimit: 100, Announce: true})
	ann, bob := enter(t, r, "ann"), enter(t, r, "bob")
	ann.Feed(chat(3))
	take(ann)
	bob.Next()
	bob.Wrote(0)
	for r.log.last.size.Load() <= 376 { // "cid has joined" does not fit then
		ann.Feed(chat(3))
	}
	take(ann)
	stays(t, bob)
	cid := r.Join(netip.AddrPort{}, quiet{}, nil)
	cid.Feed(wire.AppendCred(nil, "cid", "x"))
	ended(t, bob, ReasonSlow)
	if got, want := string(take(cid)), "\x01granted\x00\x00server: here: ann\x00"; got != want {
		t.Errorf("the newcomer is told %q, want %q", got, want)
	}
	if got, want := string(take(ann)), "\x00server: cid has joined\x00\x00server: bob has left\x00"; got != want {
		t.Errorf("who is there is told %q, want %q", got, want)
	}
}

// TestSlowOnesFillAChunk: saying that clients have left fills the next chunk
// while the list of them is gone through.
func TestSlowOnesFillAChunk(t *testing.T) {
	r := testRoom(120, Config{LagLimit: 100, Announce: true})
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
	if st := r.Snapshot(); st.Granted != 1 || len(r.names) != 1 || len(r.ending) != len(others) {
		t.Errorf("the room holds %d, %d names, %d ending", st.Granted, len(r.names), len(r.ending))
	}
}
