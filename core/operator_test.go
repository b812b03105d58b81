package core

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"chatbench/core/wire"
)

// An operator sees who is in the room, and since when; tells all of them something;
// and has some go, who are told why.
func TestOperator(t *testing.T) {
	r := testRoom(64<<10, Config{Announce: true})
	bob := enter(t, r, "Bob")
	pass(r, time.Minute)
	ann := enter(t, r, "ann")
	connect(r, "192.0.2.3")
	r.Tell("going down\nat noon\x00 \x1b[2J")
	if got, want := string(take(ann)), "\x00server: going down\u2424at noon \ufffd[2J\x00"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
	users := r.Users()
	if len(users) != 2 || users[0].Name != "ann" || users[1].Name != "Bob" || users[1].Folded != "bob" || users[1].Peer.String() != "192.0.2.1:40000" {
		t.Fatalf("in the room: %+v", users)
	}
	if !users[1].Since.Equal(start) || !users[0].Since.Equal(start.Add(time.Minute)) || users[0].Behind != 0 || users[1].Behind == 0 {
		t.Errorf("in the room: %+v", users)
	}
	take(bob)
	ann.Feed(wire.AppendChat(nil, "before"))
	if n := r.Kick(func(u User) bool { return u.Folded == "bob" }, "you were asked to leave"); n != 1 {
		t.Errorf("%d kicked", n)
	}
	ended(t, bob, ReasonKicked)
	if got, want := string(take(bob)), "\x00ann: before\x00\x00server: you were asked to leave\x00\x03\x00"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
	stays(t, ann)
	pass(r, announceEvery)
	if got := string(take(ann)); !strings.HasSuffix(got, "server: Bob has left\x00") {
		t.Errorf("the others are told %q", got)
	}
	bob.Leave(ReasonEOF)
	if n := r.Kick(func(u User) bool { return u.Folded == "bob" }, "again"); n != 0 {
		t.Errorf("%d kicked who have left", n)
	}
	if st := r.Snapshot(); st.Ends[ReasonKicked] != 1 {
		t.Errorf("ends %v", st.Ends)
	}
	enter(t, r, "Bob") // the name is free
}

// Kick ends everybody it is to, though telling of one ends another.
func TestKickAll(t *testing.T) {
	r := testRoom(120, Config{LagLimit: 100, LagMax: 100, Announce: true})
	var all []*Session
	for i := range 20 {
		all = append(all, enter(t, r, fmt.Sprint("user", i)))
		pass(r, announceEvery)
		takeAll(all)
	}
	for range 10 {
		all[0].Feed(chat(20))
		take(all[0])
	}
	r.Kick(func(User) bool { return true }, "all")
	if st := r.Snapshot(); st.Granted != 0 || st.Ends[ReasonKicked]+uint64(r.ending.n+r.discarded.n) != 20 {
		t.Errorf("left: %+v", st)
	}
}

// Who asks is told who is here; the others do not hear of it. One that does not take
// the answers waits, and keeps no more of them than of other notices.
func TestWho(t *testing.T) {
	r := testRoom(64<<10, Config{LagLimit: 64 << 10})
	ann, bob := enter(t, r, "ann"), enter(t, r, "bob")
	ann.Feed(wire.AppendChat(wire.AppendChat(nil, "/who"), "/whom"))
	if got := string(take(ann)); !strings.Contains(got, "\x00server: 2 here: ann, bob\x00") || !strings.Contains(got, "\x00ann: /whom\x00") {
		t.Errorf("told %q", got)
	}
	if got := string(take(bob)); got != "\x00ann: /whom\x00" {
		t.Errorf("the other is told %q", got)
	}
	for i := range 300 {
		enter(t, r, fmt.Sprintf("%s%d", strings.Repeat("x", 40), i))
	}
	ann.Feed(wire.AppendChat(nil, "/who"))
	if got := take(ann); len(got) > whoOctets+100 || !bytes.Contains(got, []byte("302 here: ")) || !bytes.Contains(got, []byte(" more\x00")) {
		t.Errorf("told %d octets: %.40q", len(got), got)
	}
	for range 1000 {
		ann.Feed(wire.AppendChat(nil, "/who"))
	}
	if n := ann.private.Load(); n > int32(r.cfg.queueLimit()+whoOctets+100) || !ann.Held() {
		t.Errorf("%d octets of answers wait", n)
	}
	got := 0
	for range 10_000 {
		p := take(ann)
		got += bytes.Count(p, []byte("302 here: "))
		if pass(r, 100*time.Millisecond); len(p) == 0 && !ann.Held() {
			break
		}
	}
	if got != 1000 {
		t.Errorf("%d answers to 1000 questions", got)
	}
}

// Who is banned is turned away where it connects, or when a proxy has named it.
func TestBanned(t *testing.T) {
	r := proxied(Config{Banned: func(a netip.Addr) bool { return a.Unmap().String() == "203.0.113.9" }})
	direct, behind, free := connect(r, "203.0.113.9"), connect(r, "192.0.2.1"), connect(r, "192.0.2.1")
	behind.Feed([]byte("for [::ffff:203.0.113.9]:5\n"))
	free.Feed([]byte("for 203.0.113.10:5\n"))
	for _, s := range []*Session{direct, behind} {
		ended(t, s, ReasonBanned)
		if got, want := string(take(s)), "\x01denied you are banned\x00\x03\x00"; got != want {
			t.Errorf("told %q, want %q", got, want)
		}
		s.Leave(ReasonEOF)
	}
	stays(t, free)
	if st := r.Snapshot(); st.Clients != 1 || st.Ends[ReasonBanned] != 2 {
		t.Errorf("%+v", st)
	}
}
