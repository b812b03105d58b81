package core

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"chatbench/core/wire"
)

// TestNextIsRepeatable: until something of them is written, Next gives the same
// octets again, whatever is said meanwhile: a library may hold them.
func TestNextIsRepeatable(t *testing.T) {
	r := testRoom(1<<20, Config{})
	ann, bob := enter(t, r, "ann"), enter(t, r, "bob")
	send := wire.AppendFile(nil, wire.LsBody, "bob", []byte(" "+strings.Repeat("x", 1000)))
	for range 2 * fairShare / len(send) { // so that it would be the room's turn
		ann.Feed(send)
		take(bob)
	}
	ann.Feed(send)
	own := bytes.Clone(bob.Next())
	bob.Wrote(0)
	ann.Feed(chat(50))
	if again := bob.Next(); !bytes.Equal(again, own) {
		t.Fatalf("Next gave %d octets of its own, and then %.20q", len(own), again)
	}
	bob.Wrote(len(own))
	if got := string(bob.Next()); !strings.HasPrefix(got, "\x00ann: b") {
		t.Errorf("then comes %q", got)
	}
}

// TestReleasedAtOnce: many sessions whose input waits for the same client go on
// together. What they say between two Ticks is bounded, and nothing is lost.
func TestReleasedAtOnce(t *testing.T) {
	const senders, messages = 60, 3000
	r := testRoom(1<<20, Config{LagMax: 4 << 20})
	bob, cid := enter(t, r, "bob"), enter(t, r, "cid")
	all := crowd(t, r, senders, strings.Repeat("x", 60)+"%03d")
	in := wire.AppendFile(nil, wire.LsReq, "bob", nil)
	for !all[0].Held() {
		all[0].Feed(in)
	}
	in = append(in, bytes.Repeat(chat(2), messages)...)
	for _, s := range all {
		s.Feed(in)
	}
	bob.Leave(ReasonReset)
	heard := 0
	for range 1000 {
		before := r.Said()
		for _, s := range all {
			stays(t, s)
			take(s)
		}
		most := r.cfg.maxResumed() + (resumeStep/2+1)*70
		if n := int64(r.Said() - before); n > most {
			t.Fatalf("%d octets were said at once, want %d at the most", n, most)
		}
		heard += bytes.Count(take(cid), []byte(": \x00"))
		tick(r)
	}
	for i, s := range all {
		if s.Held() {
			t.Fatalf("%s is still held", all[i].name)
		}
	}
	if heard != senders*messages {
		t.Errorf("%d messages are heard, want %d", heard, senders*messages)
	}
	if len(r.deferred) > 0 {
		t.Error(fmt.Sprint(len(r.deferred), " sessions are still deferred"))
	}
}
