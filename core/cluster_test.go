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

// fakeCluster records the calls of a room, and answers them at once unless late is set.
type fakeCluster struct {
	woken    int
	late     bool
	claims   []*Login // to be answered
	released []string
	others   []string // who is on other servers
	forwards []*Forward
	outcome  Outcome // of the next ones
}

func (c *fakeCluster) Wake() { c.woken++ }

func (c *fakeCluster) Claim(l *Login) {
	if c.late {
		c.claims = append(c.claims, l)
		return
	}
	l.Answer(nil)
}

func (c *fakeCluster) Release(folded string) { c.released = append(c.released, folded) }

func (c *fakeCluster) RemoteNames(octets int) (names []string, n int) {
	for _, name := range c.others {
		if octets -= len(name) + 2; octets < 0 {
			break
		}
		names = append(names, name)
	}
	return names, len(c.others)
}

func (c *fakeCluster) Forward(f *Forward) {
	c.forwards = append(c.forwards, f)
	if !c.late {
		f.Answer(c.outcome)
	}
}

// node makes the room of one of several servers.
func node(name string, chunkSize int, cfg Config) (*Room, *fakeCluster) {
	c := new(fakeCluster)
	cfg.Cluster, cfg.Node = c, name
	return testRoom(chunkSize, cfg), c
}

// fakeStream connects rooms without faults.
type fakeStream struct {
	rooms []*Room
	last  uint64
}

// turn publishes and delivers the outgoing messages of the rooms, and returns how many.
func (st *fakeStream) turn(t testing.TB) (messages int) {
	t.Helper()
	for _, from := range st.rooms {
		for {
			number, frames := from.Outgoing(nil)
			if number == 0 {
				break
			}
			messages++
			st.last++
			for _, to := range st.rooms {
				d := Delivery{Sequence: st.last, At: start.Add(time.Hour), Node: from.cfg.Node, Number: number, Frames: frames}
				if missed, err := to.Deliver(d); missed > 0 || err != nil {
					t.Fatalf("%d missed, %v", missed, err)
				}
			}
		}
	}
	return messages
}

// twoServers makes a room on two servers, with a client on each.
func twoServers(t *testing.T, cfg Config) (st *fakeStream, a, b *fakeCluster, ann, bob *Session) {
	ra, a := node("a", 1<<20, cfg)
	rb, b := node("b", 1<<20, cfg)
	st = &fakeStream{rooms: []*Room{ra, rb}}
	ann, bob = enter(t, ra, "ann"), enter(t, rb, "bob")
	st.turn(t)
	take(ann)
	take(bob)
	return st, a, b, ann, bob
}

// Messages reach clients, including the sender, when the stream has delivered them, on all
// servers in the same order.
func TestOneOrderOnTwoServers(t *testing.T) {
	st, a, _, ann, bob := twoServers(t, Config{})
	woken := a.woken
	ann.Feed(wire.AppendChat(nil, "1"))
	bob.Feed(wire.AppendChat(nil, "2"))
	ann.Feed(wire.AppendChat(nil, "3"))
	if got := string(take(ann)) + string(take(bob)); got != "" {
		t.Errorf("received before it was delivered: %q", got)
	}
	if n := a.woken - woken; n != 1 {
		t.Errorf("told %d times of one message", n)
	}
	if n := st.turn(t); n != 2 {
		t.Errorf("%d messages, want one of each server", n)
	}
	const want = "\x00ann: 1\x00\x00ann: 3\x00\x00bob: 2\x00"
	if got := string(take(ann)); got != want {
		t.Errorf("ann hears %q", got)
	}
	if got := string(take(bob)); got != want {
		t.Errorf("bob hears %q", got)
	}
	ann.Feed(wire.AppendChat(nil, "4"))
	ann.Feed(wire.AppendChat(nil, "5"))
	if n := st.turn(t); n != 1 {
		t.Errorf("%d messages for what could be one", n)
	}
	for _, r := range st.rooms {
		if s := r.Snapshot(); s.Messages != 5 || r.Undelivered() != 0 {
			t.Errorf("%d messages are counted, %d octets wait", s.Messages, r.Undelivered())
		}
	}
}

// Outgoing returns the same message until it is delivered. What is said meanwhile goes into
// the next ones. Each message has whole frames and is within the bound.
func TestOutgoing(t *testing.T) {
	r, c := node("a", 200, Config{})
	ann := enter(t, r, "ann")
	if n, m := r.Outgoing(nil); n != 0 || m != nil {
		t.Fatalf("number %d, %q when nothing was said", n, m)
	}
	for i := range 50 {
		ann.Feed(lines(i, i+1))
		if i == 0 {
			r.Outgoing(nil)
		}
	}
	if n, m := r.Outgoing([]byte("head")); n != 1 || string(m) != "head\x00ann: 0\x00" {
		t.Errorf("number %d, %q", n, m)
	}
	var all []byte
	for want := uint64(1); r.Undelivered() > 0; want++ {
		if c.woken != int(want) {
			t.Errorf("told %d times before message %d", c.woken, want)
		}
		n, m := r.Outgoing(nil)
		if again, same := r.Outgoing(nil); n != want || again != n || !bytes.Equal(m, same) {
			t.Fatalf("message %d is %q, then %d is %q", n, m, again, same)
		}
		if _, whole := countSaid(m); !whole || len(m) > 200 {
			t.Fatalf("%d octets: %q", len(m), m)
		}
		all = append(all, m...)
		if _, err := r.Deliver(Delivery{Sequence: want, Node: "a", Number: n, Frames: m}); err != nil {
			t.Fatal(err)
		}
	}
	if got := take(ann); !bytes.Equal(got, all) {
		t.Errorf("published %q, heard %q", all, got)
	}
	numbered(t, heard(t, all), 50)
}

// A message that is published or delivered twice reaches clients once.
func TestDeliveredTwice(t *testing.T) {
	r, _ := node("b", 1<<20, Config{})
	bob := enter(t, r, "bob")
	said := func(sequence, number uint64, node, text string) Delivery {
		return Delivery{Sequence: sequence, Number: number, Node: node, Frames: wire.AppendSaid(nil, "ann", []byte(text))}
	}
	for _, d := range []Delivery{
		said(7, 1, "a", "0"), said(8, 2, "a", "1"), said(7, 1, "a", "0"), // delivered again
		said(9, 1, "a", "0"), said(10, 2, "a", "1"), // published again
		said(11, 3, "a", "2"), said(12, 1, "c", "3"), said(13, 3, "a", "2"), said(14, 5, "a", "4"),
	} {
		if missed, err := r.Deliver(d); missed > 0 || err != nil {
			t.Errorf("%+v: %d missed, %v", d, missed, err)
		}
	}
	numbered(t, heard(t, take(bob)), 5)
	for i := range 3 * maxNodes {
		r.Deliver(said(15+uint64(i), 1, fmt.Sprint("node", i), "x"))
	}
	if n := len(r.sequence.nodes); n != maxNodes {
		t.Errorf("the last numbers of %d servers are kept", n)
	}
}

// Clients for which messages are missing are told so, and their sessions end. Clients that
// log in later stay.
func TestMissed(t *testing.T) {
	for what, miss := range map[string]func(*Room) uint64{
		"a gap": func(r *Room) uint64 {
			missed, _ := r.Deliver(Delivery{Sequence: 5, Node: "a", Number: 9, Frames: wire.AppendSaid(nil, "zoe", []byte("4"))})
			return missed
		},
		"another stream": func(r *Room) uint64 {
			r.NewStream()
			r.Deliver(Delivery{Sequence: 1, Node: "a", Number: 9, Frames: wire.AppendSaid(nil, "zoe", []byte("4"))})
			return 3
		},
	} {
		r, _ := node("b", 1<<20, Config{})
		bob := enter(t, r, "bob")
		r.Deliver(Delivery{Sequence: 1, Node: "a", Number: 1, Frames: wire.AppendSaid(nil, "zoe", []byte("0"))})
		if n := miss(r); n != 3 {
			t.Errorf("%s: %d messages are missed", what, n)
		}
		ended(t, bob, ReasonKicked)
		if got := string(take(bob)); got != "\x00zoe: 0\x00\x00server: "+missedText+"\x00\x03\x00" {
			t.Errorf("%s: told %q", what, got)
		}
		cid := enter(t, r, "cid")
		next := r.sequence.last + 1
		if missed, _ := r.Deliver(Delivery{Sequence: next, Node: "a", Number: 10, Frames: wire.AppendSaid(nil, "zoe", []byte("5"))}); missed > 0 {
			t.Errorf("%s: %d are missed again", what, missed)
		}
		if got := string(take(cid)); got != "\x00zoe: 5\x00" {
			t.Errorf("%s: the next one hears %q", what, got)
		}
	}
}

// Messages that no room publishes are ignored, and others are not affected.
func TestBadDelivery(t *testing.T) {
	r, _ := node("b", 1000, Config{})
	bob := enter(t, r, "bob")
	bad := []string{"\x00half", "\x01granted\x00", "\x02\x00bob\x00", "\x03\x00", "\x09", "\x00zoe: x\x00\x03\x00", "\x00", "\x00" + strings.Repeat("x", 999) + "\x00"}
	for i, frames := range bad {
		if _, err := r.Deliver(Delivery{Sequence: uint64(i + 1), Node: "a", Number: uint64(i + 1), Frames: []byte(frames)}); !errors.Is(err, ErrDelivery) {
			t.Errorf("%.20q: %v", frames, err)
		}
	}
	if _, err := r.Deliver(Delivery{Sequence: uint64(len(bad) + 1), Node: "a", Number: 100, Frames: []byte("\x00zoe: \x00\x00zoe: 1\x00")}); err != nil {
		t.Error(err)
	}
	if got := string(take(bob)); got != "\x00zoe: \x00\x00zoe: 1\x00" {
		t.Errorf("heard %q", got)
	}
	stays(t, bob)
}

// The input of a client that says more than the stream accepts waits, and none of it is lost.
func TestSaidWaitsForStream(t *testing.T) {
	r, _ := node("a", 1000, Config{})
	st := &fakeStream{rooms: []*Room{r}}
	ann, cid := enter(t, r, "ann"), enter(t, r, "cid")
	const messages = 4000
	for i := range messages {
		ann.Feed(lines(i, i+1))
	}
	if !ann.Held() {
		t.Fatalf("%d octets wait to be published, and who goes on talking is not held", r.Undelivered())
	}
	if most := r.maxOutgoing() + 1000; r.Undelivered() > most {
		t.Errorf("%d octets wait to be published, want %d at most", r.Undelivered(), most)
	}
	cid.Feed(wire.AppendChat(nil, "x"))
	if !cid.Held() {
		t.Error("another one is not held")
	}
	cid.Leave(ReasonEOF) // and is heard all the same
	var got []byte
	for range messages {
		if st.turn(t) == 0 && !ann.Held() {
			break
		}
		tick(r)
		got = append(got, take(ann)...)
	}
	texts := heard(t, got)
	if i := slices.Index(texts, "x"); i < 0 {
		t.Error("one who has left meanwhile is not heard")
	} else {
		texts = slices.Delete(texts, i, i+1)
	}
	numbered(t, texts, messages)
	if st := r.Snapshot(); ann.Held() || len(r.outgoing.waiting) > 0 || st.Granted != 1 || st.StreamWaits < 2 {
		t.Errorf("held %v, %d wait, %+v", ann.Held(), len(r.outgoing.waiting), st)
	}
}
