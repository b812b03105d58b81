package core

import (
	"bytes"
	"net/netip"
	"sync/atomic"

	"chatbench/core/wire"
)

// Login is a client's wish to enter the room under a name, for an
// Authenticator to decide. Any goroutine may call its methods.
type Login struct {
	Peer     netip.AddrPort
	Name     string // as it is shown; CheckName accepts it
	Folded   string // the name as it is compared
	Password string

	session  *Session    // nil outside a room
	answer   func(error) // carries the answer out
	answered atomic.Bool
}

// NewLogin is a login outside a room, for tests of an Authenticator. It panics if
// CheckName refuses the name. answer is called with the answer.
func NewLogin(peer netip.AddrPort, name, password string, answer func(error)) *Login {
	name, folded, err := CheckName(name)
	if err != nil {
		panic("core: " + err.Error())
	}
	return &Login{Peer: peer, Name: name, Folded: folded, Password: password, answer: answer}
}

// Answer decides the login: nil lets the client in, the text of any other error
// is what the client is told. It must be called exactly once, also for a login
// that is Abandoned; a second call panics.
func (l *Login) Answer(err error) {
	if l.answered.Swap(true) {
		panic("core: an Authenticator answered twice")
	}
	l.answer(err)
}

// Abandoned says that nobody waits for the answer any more: the client has
// gone, or its session has ended. There is no use in hashing its password.
func (l *Login) Abandoned() bool { return l.session != nil && l.session.closing.Load() != 0 }

// cred takes a Cred frame. It returns the login that the Authenticator has to
// decide, nil if there is none.
func (r *Room) cred(s *Session, body []byte) *Login {
	user, password, found := bytes.Cut(body, []byte{' '})
	name, folded, err := "", "", error(nil)
	if found {
		name, folded, err = checkName(user) // takes too long for the room's lock
	}
	r.mu.Lock()
	defer r.unlock()
	switch {
	case s.state != StateAuth:
		r.violate(s, ReasonSecondCred)
	case !found:
		r.denyLogin(s, "", "", "a user name, a space and a password are needed")
	case err != nil:
		r.denyLogin(s, "", "", err.Error())
	default:
		l := &Login{Peer: s.peer, Name: name, Folded: folded, Password: string(password), session: s}
		l.answer = func(err error) { s.decided(l, err) }
		return l
	}
	return nil
}

// decided takes an Authenticator's answer. Who may come in then needs its name on all
// servers.
func (s *Session) decided(l *Login, err error) {
	cluster := s.room.cfg.Cluster
	if cluster == nil || err != nil || l.Abandoned() {
		s.answered(l, err)
		return
	}
	claim := &Login{Peer: l.Peer, Name: l.Name, Folded: l.Folded, session: s}
	claim.answer = func(err error) {
		if in := s.answered(claim, err); !in && err == nil {
			cluster.Release(claim.Folded)
		}
	}
	cluster.Claim(claim)
}

// answered carries the answer to a login out, and then works through what arrived
// meanwhile. in says whether the client was let in.
func (s *Session) answered(l *Login, err error) (in bool) {
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	s.in.hold = notHeld
	r := s.room
	r.mu.Lock()
	switch {
	case s.closing.Load() != 0:
	case err != nil:
		r.denyLogin(s, l.Name, l.Folded, err.Error())
	case r.names[l.Folded] != nil:
		r.denyLogin(s, l.Name, l.Folded, wire.NameTaken)
	default:
		s.name, s.folded = l.Name, l.Folded
		s.in.granted, in = true, true
		r.grant(s)
	}
	r.unlock()
	waiting := s.in.waiting
	if len(waiting) > resumeStep && s.in.granted && !s.left {
		s.in.hold = forTurn // the transport's other clients have their turn in between
		s.held.Store(true)
		r.resumeLater(s)
		return in
	}
	s.in.waiting = nil
	s.feed(waiting) // a Cred among it is a second one, so nothing is asked again
	s.endParting()
	return in
}
