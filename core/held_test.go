package core

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"chatbench/core/wire"
)

// lines is so many Chat frames, numbered.
func lines(from, to int) (in []byte) {
	for i := from; i < to; i++ {
		in = wire.AppendChat(in, fmt.Sprint(i))
	}
	return in
}

// heard is the texts of the messages that a client has received, without names.
func heard(t *testing.T, got []byte) (texts []string) {
	t.Helper()
	d := wire.Decoder{Max: wire.MaxFromServer}
	for {
		f, rest, ok, err := d.Next(got)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return texts
		}
		if _, text, found := strings.Cut(string(f.Body), ": "); found && f.Type == wire.Chat {
			texts = append(texts, text)
		}
		got = rest
	}
}

// numbered fails unless the texts are the numbers below n, in order.
func numbered(t *testing.T, texts []string, n int) {
	t.Helper()
	for i, text := range texts {
		if text != fmt.Sprint(i) {
			t.Fatalf("text %d is %q", i, text)
		}
	}
	if len(texts) != n {
		t.Fatalf("%d texts are heard, want %d", len(texts), n)
	}
}

// floodRoom is a room with flood control, and two clients in it.
func floodRoom(t *testing.T) (r *Room, ann, bob *Session) {
	r = testRoom(1<<20, Config{Flood: Flood{Rate: 20, Burst: 300}})
	return r, enter(t, r, "ann"), enter(t, r, "bob")
}

// TestPasteArrivesWhole: 200 pasted lines are below the burst.
func TestPasteArrivesWhole(t *testing.T) {
	r, ann, bob := floodRoom(t)
	for range 3 {
		ann.Feed(lines(0, 200))
		if ann.Held() {
			t.Fatal("200 lines at once are held up")
		}
		numbered(t, heard(t, take(bob)), 200)
		take(ann)
		pass(r, 15*time.Second)
	}
	ann.Feed(bytes.Repeat(wire.AppendChat(nil, strings.Repeat("x", 100)), 200))
	if n := len(heard(t, take(bob))); n != 200 {
		t.Errorf("%d of 200 lines of 100 octets are heard at once", n)
	}
}

// TestFloodWaits: beyond the burst a client's messages are said at the rate, in order, and
// none is lost.
func TestFloodWaits(t *testing.T) {
	r, ann, bob := floodRoom(t)
	ann.Feed(lines(0, 700))
	ann.Feed([]byte("\x00" + "70"))
	ann.Feed([]byte("0\x00")) // goes on within a frame
	texts := heard(t, take(bob))
	numbered(t, texts, 290) // their octets count too
	if !ann.Held() {
		t.Fatal("a client over its allowance is not held")
	}
	for second := 1; second <= 20; second++ {
		for range 10 {
			tick(r)
			take(ann) // her transport comes round to her
		}
		texts = append(texts, heard(t, take(bob))...)
		if want := 290 + 20*second; len(texts) < want-20 || len(texts) > want+2 {
			t.Fatalf("%d messages are heard after %d s, want about %d", len(texts), second, want)
		}
	}
	for range 20 {
		tick(r)
		take(ann)
	}
	numbered(t, append(texts, heard(t, take(bob))...), 701)
	if ann.Held() || ann.in.waiting != nil {
		t.Error("a client is held, and nothing of it waits")
	}
	if n := r.Snapshot().FloodWaits; n < 10 {
		t.Errorf("%d waits are counted", n)
	}
}

// TestAllowanceIsBounded: the allowance never grows beyond one burst. Large messages cost
// more than short ones, and private frames less.
func TestAllowanceIsBounded(t *testing.T) {
	r, ann, bob := floodRoom(t)
	pass(r, time.Hour)
	ann.Feed(lines(0, 301))
	pass(r, time.Hour)
	take(ann)
	ann.Feed(lines(0, 700))
	if n := len(heard(t, take(bob))); n < 575 || n > 601 {
		t.Errorf("two bursts are %d messages", n)
	}
	for ann.Held() {
		pass(r, time.Hour)
		take(ann)
	}
	take(bob)
	long := wire.AppendChat(nil, strings.Repeat("x", 3000))
	for range 2 { // a burst is 24 of them
		ann.Feed(bytes.Repeat(long, 40))
		for ann.Held() {
			pass(r, time.Hour)
			take(ann)
		}
	}
	if n := len(heard(t, take(bob))); n != 80 {
		t.Errorf("%d messages of 3,000 octets are heard", n)
	}
	pass(r, time.Hour)
	take(ann)
	ask := wire.AppendFile(nil, wire.LsBody, "bob", []byte(" file.txt"))
	ann.Feed(bytes.Repeat(ask, 2000))
	take(bob)
	if ann.Held() {
		t.Error("a list of 2,000 files is held up")
	}
}

// TestFloodEnds: if a transport goes on feeding a session that is Held, the limit is exact.
func TestFloodEnds(t *testing.T) {
	for over := range 2 {
		_, ann, bob := floodRoom(t)
		ann.Feed(lines(0, 301))
		waits := len(ann.in.waiting)
		for n := 128<<10 + over - waits; n > 0; n -= min(n, 4096) {
			ann.Feed(chat(max(min(n, 4096), 2)))
		}
		if over == 0 {
			stays(t, ann)
			continue
		}
		ended(t, ann, ReasonFlood)
		if ann.in.waiting != nil {
			t.Error("what waited is kept")
		}
		if got := string(take(ann)); !strings.HasSuffix(got, "\x00server: too much sent, too fast\x00\x03\x00") {
			t.Errorf("it is told %q", got[len(got)-50:])
		}
		numbered(t, heard(t, take(bob)), 290)
	}
}

// TestFloodAndGone: what a client sent before its FIN is said after Leave, at the rate and for
// 10 s.
func TestFloodAndGone(t *testing.T) {
	for _, tt := range []struct{ messages, heard int }{{400, 400}, {600, 482}} {
		r, ann, bob := floodRoom(t)
		ann.Feed(lines(0, tt.messages))
		ann.Leave(ReasonEOF)
		var texts []string
		for range 120 {
			tick(r)
			texts = append(texts, heard(t, take(bob))...)
		}
		if n := len(texts); n < tt.heard-2 || n > tt.heard+2 {
			t.Errorf("%d of %d messages are heard, want about %d", n, tt.messages, tt.heard)
		}
		numbered(t, texts, len(texts))
		st := r.Snapshot()
		if st.Clients != 1 || st.Ends[ReasonEOF]+st.Ends[ReasonFlood] != 1 || len(r.leaving)+len(r.flooding) > 0 {
			t.Errorf("it still has its slot: %+v, %d leaving", st, len(r.leaving))
		}
		if flood := st.Ends[ReasonFlood] == 1; flood != (tt.messages > tt.heard+2) {
			t.Errorf("ended for flood: %v", flood)
		}
	}
}

// TestQueueWaits: private frames for a client whose queue is full wait, in order, until the
// queue is written.
func TestQueueWaits(t *testing.T) {
	r := testRoom(1<<20, Config{LagLimit: 4000})
	ann, bob, cid := enter(t, r, "ann"), enter(t, r, "bob"), enter(t, r, "cid")
	const files = 1000 // several steps of what waits
	var in []byte
	for i := range files {
		in = wire.AppendFile(in, wire.LsBody, "bob", fmt.Appendf(nil, " file %d", i))
	}
	ann.Feed(append(in, lines(0, 1)...))
	if !ann.Held() || bob.queued() > 1000+64 {
		t.Fatalf("held: %v, %d octets wait for bob", ann.Held(), bob.queued())
	}
	if n := len(heard(t, take(cid))); n != 0 {
		t.Fatal("what was said after the frames that wait is heard before them")
	}
	got, rounds := []byte{}, 0
	for p := bob.Next(); p != nil; p = bob.Next() {
		got = append(got, p...)
		bob.Wrote(len(p))
		take(ann) // is woken
		rounds++
	}
	n := 0
	for i := range files {
		if at := bytes.Index(got[n:], fmt.Appendf(nil, "\x02\x02ann file %d\x00", i)); at != 0 {
			t.Fatalf("frame %d is not where it belongs", i)
		}
		n += len(fmt.Appendf(nil, "\x02\x02ann file %d\x00", i))
	}
	if ann.Held() || rounds < 4 {
		t.Errorf("held: %v after %d rounds", ann.Held(), rounds)
	}
	numbered(t, heard(t, take(cid)), 1)
	if n := r.Snapshot().QueueWaits; n == 0 {
		t.Error("no waits are counted")
	}
}

// TestQueueIsBounded: a private queue is bounded, however many clients send to it.
func TestQueueIsBounded(t *testing.T) {
	r := testRoom(1<<20, Config{})
	bob := enter(t, r, "bob")
	nack := wire.AppendFile(nil, wire.DnNack, "bob", []byte(" "+strings.Repeat("\x1b", 4000)))
	for _, s := range crowd(t, r, 50, "user%d") {
		for range 10 {
			s.Feed(nack)
		}
	}
	if n := bob.queued(); n > 64<<10+20<<10 {
		t.Errorf("%d octets wait for bob", n)
	}
	stays(t, bob)
	// Own notices count too: a client that takes none waits for itself.
	for range 2000 {
		bob.Feed(wire.AppendFile(nil, wire.LsReq, strings.Repeat("nobody", 50), nil))
	}
	if n := bob.queued(); n > 64<<10+20<<10 || !bob.Held() {
		t.Errorf("%d octets of notices wait for bob, held: %v", n, bob.Held())
	}
}

// TestPrivateAndRoomTakeTurns: a client that is sent private frames without end gets as many
// octets of the room.
func TestPrivateAndRoomTakeTurns(t *testing.T) {
	r := testRoom(1<<20, Config{})
	ann, bob, cid := enter(t, r, "ann"), enter(t, r, "bob"), enter(t, r, "cid")
	send := wire.AppendFile(nil, wire.LsBody, "bob", []byte(" "+strings.Repeat("f", 1000)))
	said, room, own := 0, 0, 0
	for own < 10<<20 {
		for i := 0; i < 8 && !cid.Held(); i++ {
			cid.Feed(send)
		}
		if said < 4<<20 {
			ann.Feed(chat(1000))
			take(ann)
			said += 1000
		}
		take(cid)
		for range 2 { // 8 KiB is written in a round
			p := bob.Next()
			p = p[:min(len(p), 4<<10)]
			if bob.out.batch > 0 {
				room += len(p)
			} else {
				own += len(p)
			}
			bob.Wrote(len(p))
		}
		if said-room > 3*fairShare {
			t.Fatalf("of %d octets said %d have come, of private ones %d", said, room, own)
		}
	}
	stays(t, bob)
}

// TestNobodyWaitsForOneWhoLeft: clients that wait to send private frames to a client go on
// when it has left, though it keeps its name until its input is processed.
func TestNobodyWaitsForOneWhoLeft(t *testing.T) {
	r := testRoom(1<<20, Config{Flood: Flood{Rate: 20, Burst: 300}})
	ann, bob, eve := enter(t, r, "ann"), enter(t, r, "bob"), enter(t, r, "eve")
	eve.Feed(lines(0, 2000))
	bob.Feed(bytes.Repeat(wire.AppendFile(nil, wire.LsBody, "eve", bytes.Repeat([]byte(" x"), 1500)), 30))
	if !eve.Held() || !bob.Held() {
		t.Fatal("they are not held")
	}
	eve.Leave(ReasonEOF)
	ann.Feed(wire.AppendFile(nil, wire.LsEnd, "eve", nil))
	for range 10 {
		take(bob)
	}
	stays(t, eve)
	if ann.Held() || bob.Held() {
		t.Error("somebody waits for one that has left")
	}
}

// TestOwnNoticesHoldNobodyWhoLeft: if a client that waits for its own full queue sends FIN,
// all its input is processed.
func TestOwnNoticesHoldNobodyWhoLeft(t *testing.T) {
	r := testRoom(1<<20, Config{})
	ann, eve := enter(t, r, "ann"), enter(t, r, "eve")
	eve.Feed(bytes.Repeat(wire.AppendFile(nil, wire.LsReq, strings.Repeat("x", 3000), nil), 30))
	eve.Feed(lines(0, 10))
	if !eve.Held() {
		t.Fatal("one that does not take its notices is not held")
	}
	eve.Leave(ReasonEOF)
	for range 30 {
		tick(r)
	}
	numbered(t, heard(t, take(ann)), 10)
	ended(t, eve, ReasonEOF)
}

// TestClockGoesOn: a Tick with an earlier time than the last one changes nothing.
func TestClockGoesOn(t *testing.T) {
	r, ann, _ := floodRoom(t)
	pass(r, time.Hour)
	ann.Feed(lines(0, 305))
	if r.Tick(start); !ann.Held() {
		t.Fatal("a client over its allowance is not held")
	}
	for range 10 {
		tick(r)
		take(ann)
	}
	if ann.Held() {
		t.Error("the clock has gone back, and a client waits for it")
	}
}

// TestAllowanceGoesWithTheName: a client that logs in again has the allowance that it had
// left, and nothing is kept for clients with a full allowance.
func TestAllowanceGoesWithTheName(t *testing.T) {
	r, ann, bob := floodRoom(t)
	for range 5 {
		ann.Feed(wire.AppendClose(lines(0, 290)))
		ann.Leave(ReasonReset)
		ann = enter(t, r, "ANN")
	}
	if n := len(heard(t, take(bob))); n > 301 {
		t.Errorf("%d messages are heard of one that logs in again and again", n)
	}
	pass(r, time.Hour)
	for i := range 1000 {
		s := enter(t, r, fmt.Sprint("c", i))
		s.Feed(lines(0, 1))
		take(bob)
		tick(r)
		s.Leave(ReasonEOF)
	}
	if n := len(r.spent); n > 128 {
		t.Errorf("what %d have spent is remembered", n)
	}
	pass(r, time.Hour)
	ann.Feed(lines(0, 200))
	if ann.Held() {
		t.Error("a client is held for what it said an hour ago")
	}
}
