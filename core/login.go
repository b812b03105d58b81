package core

import (
	"bytes"
	"sync/atomic"
)

// login is a Cred frame that waits for its answer.
type login struct {
	name, password string
	answer         func(error)
}

// cred takes a Cred frame. ask is true if the Authenticator has to decide.
func (r *Room) cred(s *Session, body []byte) (l login, ask bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.state != StateAuth {
		r.violate(s, ReasonSecondCred)
		return l, false
	}
	user, password, found := bytes.Cut(body, []byte{' '})
	if !found {
		r.deny(s, ReasonDenied, "a user name, a space and a password are needed")
		return l, false
	}
	name, folded, err := checkName(user)
	if err != nil {
		r.deny(s, ReasonDenied, err.Error())
		return l, false
	}
	var answered atomic.Bool
	answer := func(err error) {
		if answered.Swap(true) {
			panic("core: an Authenticator answered twice")
		}
		s.decided(name, folded, err)
	}
	return login{name, string(password), answer}, true
}

// decided carries an Authenticator's answer out, and then works through what
// arrived meanwhile.
func (s *Session) decided(name, folded string, err error) {
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	s.in.asking = false
	r := s.room
	r.mu.Lock()
	switch {
	case s.closing.Load() != 0:
	case err != nil:
		r.deny(s, ReasonDenied, err.Error())
	case r.names[folded] != nil:
		r.deny(s, ReasonDenied, "name is taken")
	default:
		s.name, s.folded = name, folded
		r.grant(s)
	}
	r.mu.Unlock()
	waiting := s.in.waiting
	s.in.waiting = nil
	s.feed(waiting) // a Cred among it is a second one, so nothing is asked again
	if s.parting {
		r.mu.Lock()
		r.end(s, ReasonEOF, nil)
		r.mu.Unlock()
	}
}
