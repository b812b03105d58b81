package core

import (
	"fmt"
	"strings"
	"testing"

	"chatbench/core/wire"
)

// file is a File frame for somebody, about a file.
func file(to, name string) []byte { return wire.AppendFile(nil, wire.LsBody, to, []byte(" "+name)) }

// A frame for a client on another server is forwarded with the name of its sender, whose input
// waits until the Forward is answered.
func TestForward(t *testing.T) {
	st, a, _, ann, bob := twoServers(t, Config{})
	a.late = true
	ann.Feed(append(file("BOB", "a file"), lines(0, 1)...))
	if !ann.Held() || len(a.forwards) != 1 || st.rooms[0].Undelivered() > 0 {
		t.Fatalf("held %v, %d frames are passed on, %d octets said", ann.Held(), len(a.forwards), st.rooms[0].Undelivered())
	}
	f := a.forwards[0]
	if o := st.rooms[1].TakeForward(f.To, f.Frames); f.To != "bob" || o != Forwarded {
		t.Errorf("for %q: %v", f.To, o)
	}
	if got := string(take(bob)); got != "\x02\x02ann a file\x00" {
		t.Errorf("bob is given %q", got)
	}
	take(ann)
	if !ann.Held() {
		t.Error("its sender goes on before the answer")
	}
	f.Answer(Forwarded)
	take(ann)
	if ann.Held() || st.rooms[0].Undelivered() == 0 {
		t.Error("its sender does not go on after the answer")
	}
	if n := st.rooms[0].Snapshot().Relayed + st.rooms[1].Snapshot().Relayed; n != 1 {
		t.Errorf("counted %d times", n)
	}
	defer func() {
		if recover() == nil {
			t.Error("a second answer is taken")
		}
	}()
	f.Answer(Forwarded)
}

// The server of a sharer sets the sharer's address, and sends the notice if an acknowledgement
// is wrong.
func TestForwardAck(t *testing.T) {
	st, a, _, ann, bob := twoServers(t, Config{})
	pass := func() string {
		f := a.forwards[len(a.forwards)-1]
		st.rooms[1].TakeForward(f.To, f.Frames)
		return string(take(bob))
	}
	told := ""
	ann.Feed(wire.AppendFile(nil, wire.DnAck, "bob", []byte(" a 10.9.8.7 5000")))
	if got := pass(); got != "\x02\x05ann a 192.0.2.1 5000\x00" {
		t.Errorf("bob is given %q", got)
	}
	told += string(take(ann)) // she may go on
	ann.Feed(wire.AppendFile(nil, wire.DnAck, "bob", []byte(" a 10.9.8.7 80")))
	if got := pass(); got != "\x02\x06ann a\x00\x00server: File not found: a\x00" {
		t.Errorf("bob is given %q", got)
	}
	if told += string(take(ann)); !strings.HasPrefix(told, "\x00server: share files on port") {
		t.Errorf("ann is told %q", told)
	}
}

// If a frame does not arrive, its sender is told so.
func TestForwardOutcomes(t *testing.T) {
	_, a, _, ann, _ := twoServers(t, Config{})
	for _, tt := range []struct {
		outcome    Outcome
		name, told string
	}{
		{NoSuchUser, "Zoe", "\x00server: No such user: Zoe\x00"},
		{Unavailable, "zo\x1be", "\x00server: zo\ufffde is temporarily unavailable: try again\x00"},
		{Forwarded, "zoe", ""},
	} {
		a.outcome = tt.outcome
		ann.Feed(file(tt.name, "x"))
		if got := string(take(ann)); got != tt.told || ann.Held() {
			t.Errorf("%v: told %q, held %v", tt.outcome, got, ann.Held())
		}
	}
}

// A frame for a client whose queue is full is forwarded again with each Tick, before later
// frames of its sender. If that client does not read it is ended as slow.
func TestForwardToBusy(t *testing.T) {
	st, a, _, ann, bob := twoServers(t, Config{LagLimit: 4000})
	a.late = true
	const files = 300
	for i := range files {
		ann.Feed(file("bob", fmt.Sprint(i)))
	}
	answered, busy := 0, 0
	pass := func() {
		for ; answered < len(a.forwards); answered++ {
			f := a.forwards[answered]
			o := st.rooms[1].TakeForward(f.To, f.Frames)
			if o == Busy {
				busy++
			}
			f.Answer(o)
		}
	}
	var got []byte
	for i := range 3 * files {
		pass()
		tick(st.rooms[0])
		take(ann) // her transport comes round to her
		if i%200 == 199 {
			got = append(got, take(bob)...)
		}
	}
	got = append(got, take(bob)...)
	var want []byte
	for i := range files {
		want = wire.AppendFile(want, wire.LsBody, "ann", fmt.Append(nil, " ", i))
	}
	if n := len(want); string(got) != string(want) {
		t.Errorf("bob is given %d octets, want %d", len(got), n)
	}
	if busy == 0 || st.rooms[0].Snapshot().QueueWaits != uint64(busy) {
		t.Errorf("bob was busy %d times, %d are counted", busy, st.rooms[0].Snapshot().QueueWaits)
	}
	for st.rooms[1].TakeForward("bob", file("ann", "x")) == Forwarded {
	}
	bob.Next()
	bob.Wrote(0)
	for range 40 {
		tick(st.rooms[1])
	}
	ended(t, bob, ReasonSlow)
}

// Frames that a client sent before its FIN are forwarded after it has left.
func TestForwardAndGone(t *testing.T) {
	st, a, _, ann, bob := twoServers(t, Config{})
	a.late = true
	ann.Feed(append(append(file("bob", "0"), file("bob", "1")...), lines(0, 1)...))
	ann.Leave(ReasonEOF)
	for i := range 2 {
		if len(a.forwards) != i+1 {
			t.Fatalf("%d frames are passed on before answer %d", len(a.forwards), i)
		}
		f := a.forwards[i]
		f.Answer(st.rooms[1].TakeForward(f.To, f.Frames))
		stays(t, ann)
		tick(st.rooms[0])
	}
	st.turn(t)
	if got := string(take(bob)); got != "\x02\x02ann 0\x00\x02\x02ann 1\x00\x00ann: 0\x00" {
		t.Errorf("bob is given %q", got)
	}
	ended(t, ann, ReasonEOF)
}

// TakeForward rejects frames that no server sends.
func TestTakeForwardIsChecked(t *testing.T) {
	r, _ := node("b", 1<<20, Config{})
	bob := enter(t, r, "bob")
	for _, frames := range []string{"", "\x00server: hello\x00", "\x02", "\x02\x02ann x", "\x03\x00", "\x02\x02ann x\x00\x03\x00", "\x02\x09\x00"} {
		if o := r.TakeForward("bob", []byte(frames)); o != NoSuchUser {
			t.Errorf("%q: %v", frames, o)
		}
	}
	if got := take(bob); got != nil {
		t.Errorf("bob is given %q", got)
	}
}
