package core

import (
	"bytes"
	"net/netip"
	"sync/atomic"

	"chatbench/core/wire"
)

// Login is a client's request to enter the room with a name, for an
// Authenticator to decide. Any goroutine may call its methods.
type Login struct {
	Peer     netip.AddrPort
	Name     string // as it is shown; CheckName accepts it
	Folded   string // the name as it is compared
	Password string

	session  *Session    // nil outside a room
	answer   func(error) // applies the answer
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

// Answer decides the login: nil lets the client in, otherwise the client is sent the
// text of the error. It must be called exactly once, also for a login that is
// Abandoned; a second call panics.
func (l *Login) Answer(err error) {
	if l.answered.Swap(true) {
		panic("core: an Authenticator answered twice")
	}
	l.answer(err)
}

// Abandoned says that nobody waits for the answer any more: the client has
// gone, or its session has ended. Its password need not be hashed.
func (l *Login) Abandoned() bool { return l.session != nil && l.session.closing.Load() != 0 }

// cred handles a Cred frame. It returns the login that the Authenticator has to
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

// decided handles an Authenticator's answer. With a Cluster, a client that may log in
// then has to claim its name on all servers.
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

// answered applies the answer to a login, and then processes the input that arrived
// meanwhile. in says whether the client was let in.
func (s *Session) answered(l *Login, err error) (in bool) {
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	s.in.heldFor = notHeld
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
		s.in.heldFor = heldForTurn // the transport serves its other clients in between
		s.held.Store(true)
		r.resumeLater(s)
		return in
	}
	s.in.waiting = nil
	s.feed(waiting) // a Cred in it would be a second one, so there is no further login to decide
	s.endLeaving()
	return in
}
