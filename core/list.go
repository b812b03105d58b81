package core

// sessionList is a linked list of sessions, in the order in which they were added. A
// session is on one list at a time, the one for its state. The room's lock guards it.
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

// list is the list that a session is on. On prefacing, pending and ending, the first
// session has the earliest deadline.
func (r *Room) list(s *Session) *sessionList {
	switch {
	case s.state == StateAuth && s.needsPreface:
		return &r.prefacing
	case s.state == StateAuth:
		return &r.pending
	case s.state == StateGrant:
		return &r.granted
	case s.discarded:
		return &r.discarded
	}
	return &r.ending
}

// move changes the state of a session, and puts it on the list for that state.
func (r *Room) move(s *Session, st State) {
	r.list(s).remove(s)
	s.state = st
	r.list(s).push(s)
}
