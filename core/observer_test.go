package core

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"chatbench/core/wire"
)

// refuser denies whoever is called bob.
type refuser struct{}

func (refuser) Authenticate(l *Login) {
	if l.Folded == "bob" {
		l.Answer(errors.New("wrong"))
		return
	}
	l.Answer(nil)
}

// Each login, denial and end is one event, in order, with what is known of it.
func TestObserve(t *testing.T) {
	var events []string
	r := testRoom(64<<10, Config{Authenticator: refuser{}, MaxPerAddress: 3, Observe: func(e Event) {
		switch {
		case e.Granted:
			events = append(events, "login "+e.Name)
		default:
			events = append(events, fmt.Sprintf("%v %v %q %q %v", e.Peer, e.Reason, e.Folded, e.Text, e.Stayed))
		}
	}})
	ann := connect(r, "192.0.2.1")
	ann.Feed(wire.AppendCred(nil, "Ann", "x"))
	for _, cred := range []string{"BOB", "ann", "a:b"} {
		s := connect(r, "192.0.2.1")
		s.Feed(wire.AppendCred(nil, cred, "x"))
		s.Leave(ReasonEOF)
	}
	for range 3 {
		connect(r, "192.0.2.1")
	}
	ann.Feed(wire.AppendChat(nil, "not an event"))
	pass(r, time.Minute)
	ann.Feed(wire.AppendClose(nil))
	ann.Leave(ReasonReset) // it has ended already
	_, _, bad := CheckName("a:b")
	want := []string{
		"login Ann",
		`192.0.2.1:40000 denied "bob" "wrong" 0s`,
		`192.0.2.1:40000 denied "ann" "name is taken" 0s`,
		fmt.Sprintf(`192.0.2.1:40000 denied "" %q 0s`, bad.Error()),
		`192.0.2.1:40000 address "" "" 0s`,
		`192.0.2.1:40000 login-timeout "" "" 0s`,
		`192.0.2.1:40000 login-timeout "" "" 0s`,
		`192.0.2.1:40000 bye "ann" "" 1m0s`,
	}
	if !slices.Equal(events, want) {
		t.Errorf("events:\n%q\nwant:\n%q", events, want)
	}
}

// What is kept for those who are behind is seen while it is, and not afterwards.
func TestBacklog(t *testing.T) {
	r := testRoom(1000, Config{LagLimit: 1 << 20, Flood: Flood{Rate: 1, Burst: 2}})
	ann, bob := enter(t, r, "ann"), enter(t, r, "bob")
	if b := r.Backlog(); b != (Backlog{Chunks: 1}) {
		t.Errorf("of an idle room: %+v", b)
	}
	r.Tell("x")
	takeAll([]*Session{ann, bob})
	before := r.Said()
	for range 20 {
		r.Tell(string(chat(300)[1:299]))
	}
	bob.Next()
	bob.Wrote(0)
	for range 10 {
		ann.Feed(chat(20))
	}
	b := r.Backlog()
	if b.Slowest != r.Said()-before || b.Chunks < 6 || b.Refusing != 1 || b.Waiting != 1 {
		t.Errorf("while bob takes nothing and ann floods: %+v, %d octets said", b, r.Said()-before)
	}
	for range 100 {
		takeAll([]*Session{ann, bob})
		pass(r, time.Second)
	}
	if b := r.Backlog(); b.Slowest != 0 || b.Refusing != 0 || b.Waiting != 0 {
		t.Errorf("afterwards: %+v", b)
	}
}
