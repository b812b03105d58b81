package core

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"chatbench/core/wire"
)

// A login that is granted waits until its name is claimed. The name is released once, if the
// client is not let in then, or when its session ends.
func TestClaim(t *testing.T) {
	r, c := node("a", 1<<20, Config{})
	c.late = true
	join := func(name string) (*Session, *Login) {
		s := r.Join(from, quiet{}, nil)
		s.Feed(wire.AppendCred(nil, name, "secret"))
		return s, c.claims[len(c.claims)-1]
	}
	ann, claim := join("Ann")
	ann.Feed(wire.AppendChat(nil, "hello"))
	if ann.State() != StateAuth || claim.Name != "Ann" || claim.Folded != "ann" || claim.Password != "" || claim.Peer != from {
		t.Fatalf("%v with the claim %+v", ann.State(), claim)
	}
	claim.Answer(nil)
	if got := string(take(ann)); got != "\x01granted\x00" || r.Undelivered() == 0 {
		t.Errorf("told %q, %d octets said", got, r.Undelivered())
	}
	bob, claim := join("bob")
	claim.Answer(errors.New("name is taken"))
	if got := string(take(bob)); got != "\x01denied name is taken\x00\x03\x00" {
		t.Errorf("told %q", got)
	}
	if len(c.released) > 0 {
		t.Errorf("released %q", c.released)
	}
	late, claim := join("late")
	late.Leave(ReasonReset)
	if !claim.Abandoned() {
		t.Error("the claim of a client that has left is not abandoned")
	}
	claim.Answer(nil)
	slow, claim := join("slow")
	pass(r, time.Minute)
	ended(t, slow, ReasonLoginTimeout)
	claim.Answer(nil)
	gone, claim := join("gone") // its FIN came with its login
	gone.Leave(ReasonEOF)
	claim.Answer(nil)
	ann.Feed(wire.AppendClose(nil))
	ann.Leave(ReasonEOF)
	if want := []string{"late", "slow", "gone", "ann"}; !slices.Equal(c.released, want) {
		t.Errorf("released %q, want %q", c.released, want)
	}
}

// Joins and leaves are announced on all servers, even by a server without clients.
func TestAnnouncedEverywhere(t *testing.T) {
	st, a, b, ann, bob := twoServers(t, Config{Announce: true})
	a.others, b.others = []string{"bob"}, []string{"ann"}
	pass(st.rooms[0], announceEvery)
	cid := st.rooms[0].Join(from, quiet{}, nil)
	cid.Feed(wire.AppendCred(nil, "cid", "x"))
	if got := string(take(cid)); got != "\x01granted\x00\x00server: here: ann, bob\x00" {
		t.Errorf("cid is told %q", got)
	}
	st.turn(t)
	const joined = "\x00server: cid has joined\x00"
	if got := string(take(ann)) + string(take(bob)); got != joined+joined {
		t.Errorf("told %q", got)
	}
	cid.Leave(ReasonEOF)
	st.rooms[0].Drain()
	take(ann)
	ann.Leave(ReasonEOF)
	st.turn(t)
	if got := string(take(bob)); got != "\x00server: 2 left: cid, ann\x00" {
		t.Errorf("told %q", got)
	}
	if n := st.rooms[0].Undelivered(); n != 0 {
		t.Errorf("%d octets wait", n)
	}
	b.others = nil
	bob.Leave(ReasonEOF)
	dan := st.rooms[1].Join(from, quiet{}, nil)
	dan.Feed(wire.AppendCred(nil, "dan", "x"))
	if got := string(take(dan)); got != "\x01granted\x00\x00server: nobody else is here\x00" {
		t.Errorf("dan is told %q", got)
	}
}

// A notice of an operator goes to all servers with Tell, and to one with TellLocal.
func TestTellEverywhere(t *testing.T) {
	st, _, _, ann, bob := twoServers(t, Config{})
	st.rooms[0].Tell("all")
	st.rooms[0].TellLocal("here\n")
	st.turn(t)
	if got := string(take(ann)); got != "\x00server: here\u2424\x00\x00server: all\x00" {
		t.Errorf("ann is told %q", got)
	}
	if got := string(take(bob)); got != "\x00server: all\x00" {
		t.Errorf("bob is told %q", got)
	}
}

// The answer to /who has the clients of all servers, within the bound.
func TestWhoEverywhere(t *testing.T) {
	_, a, _, ann, _ := twoServers(t, Config{})
	a.others = []string{"bob", "Åse"}
	ann.Feed(wire.AppendChat(nil, "/who"))
	if got := string(take(ann)); got != "\x00server: 3 here: ann, bob, Åse\x00" {
		t.Errorf("told %q", got)
	}
	for i := range 1000 {
		a.others = append(a.others, fmt.Sprint("somebody", i))
	}
	ann.Feed(wire.AppendChat(nil, "/who"))
	got := string(take(ann))
	if len(got) > whoOctets+100 || !strings.HasPrefix(got, "\x00server: 1003 here: ann, bob, ") || !strings.Contains(got, " more\x00") {
		t.Errorf("%d octets, told %.60q", len(got), got)
	}
}

// The history has the lines of all servers, with the times of the stream.
func TestHistoryOfStream(t *testing.T) {
	st, _, _, ann, bob := twoServers(t, Config{History: 3, Announce: true})
	ann.Feed(lines(0, 3))
	st.rooms[0].Tell("not said by anybody")
	bob.Feed(lines(3, 4))
	st.turn(t)
	for _, r := range st.rooms {
		lines, n := r.HistorySince(0)
		if n != 4 || len(lines) != 3 || string(lines[0].Text) != "ann: 1" || string(lines[2].Text) != "bob: 3" || !lines[2].At.Equal(start.Add(time.Hour)) {
			t.Errorf("%d of %d lines: %q", len(lines), n, lines)
		}
	}
}

// HasUnwritten counts octets that were not offered yet, of clients that are not slow.
func TestHasUnwritten(t *testing.T) {
	st, _, _, ann, bob := twoServers(t, Config{})
	ann.Feed(bytes.Repeat(chat(1000), 10))
	st.turn(t)
	r := st.rooms[1]
	if !r.HasUnwritten(9000) || r.HasUnwritten(20_000) {
		t.Errorf("10,000 octets are unwritten: %v over 9,000, %v over 20,000", r.HasUnwritten(9000), r.HasUnwritten(20_000))
	}
	bob.Next()
	bob.Wrote(0) // takes no more
	if r.HasUnwritten(9000) {
		t.Error("a client that does not read is counted")
	}
	take(bob)
	if r.HasUnwritten(0) {
		t.Error("all is written")
	}
}

// TestNothingAllocatedInCluster: publishing and delivering allocate nothing.
func TestNothingAllocatedInCluster(t *testing.T) {
	if racing {
		t.Skip("allocations are not counted under the race detector")
	}
	r, _ := node("a", 1<<16, Config{})
	all := crowd(t, r, 20, "user%d")
	frame, message, sequence := chat(64), make([]byte, 0, MessageMax), uint64(0)
	turn := func() {
		for range 100 { // several messages
			for _, s := range all {
				s.Feed(frame)
			}
		}
		for r.Undelivered() > 0 {
			var number uint64
			number, message = r.Outgoing(message[:0])
			sequence++
			r.Deliver(Delivery{Sequence: sequence, Node: "a", Number: number, Frames: message})
			takeAll(all)
		}
	}
	for range 10 {
		turn() // buffers grow to their size
	}
	if n := testing.AllocsPerRun(20, turn); n != 0 {
		t.Errorf("%v allocations in a turn of 2,000 messages", n)
	}
}

// TestClusterConfig: NewRoom panics if frames would not fit into messages.
func TestClusterConfig(t *testing.T) {
	for _, cfg := range []Config{{Cluster: new(fakeCluster)}, {Cluster: new(fakeCluster), Node: "a", MaxFrame: LargestClusterFrame + 1}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%+v does not panic", cfg)
				}
			}()
			testRoom(1<<20, cfg)
		}()
	}
	r, _ := node("a", 1<<20, Config{MaxFrame: LargestClusterFrame})
	st := &fakeStream{rooms: []*Room{r}}
	ann := enter(t, r, strings.Repeat("a", maxName))
	ann.Feed(wire.AppendChat(nil, strings.Repeat("\x01", LargestClusterFrame-2)))
	if n := st.turn(t); n != 1 {
		t.Errorf("the largest frame is %d messages", n)
	}
}
