package core

// sessionList is sessions in the order in which they came onto it. A session is
// on one list at a time, the one for its state. The room's lock guards it.
type sessionList struct {
	first, last *Session
	n           int
}

func (l *sessionList) push(s *Session) {
	s.prev, s.next = l.last, nil
	if l.last == nil {
		l.first = s
	} else {
		l.last.next = s
	}
	l.last = s
	l.n++
}

func (l *sessionList) remove(s *Session) {
	if s.prev == nil {
		l.first = s.next
	} else {
		s.prev.next = s.next
	}
	if s.next == nil {
		l.last = s.prev
	} else {
		s.next.prev = s.prev
	}
	s.prev, s.next = nil, nil
	l.n--
}

// list is the one that a session is on. On the lists of those whose preface
// is awaited, who log in, and who are ending, the first has the earliest deadline.
func (r *Room) list(s *Session) *sessionList {
	switch {
	case s.state == StateAuth && s.unprefaced:
		return &r.prefacing
	case s.state == StateAuth:
		return &r.pending
	case s.state == StateGrant:
		return &r.granted
	case s.silent:
		return &r.silent
	}
	return &r.ending
}

// move puts a session into a state, and on the list for it.
func (r *Room) move(s *Session, st State) {
	r.list(s).remove(s)
	s.state = st
	r.list(s).push(s)
}
