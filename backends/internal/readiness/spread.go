package readiness

// adoptArrivals makes connections of the sockets that other loops have handed
// over.
func (l *loop) adoptArrivals() {
	for _, a := range l.member.Arrivals() {
		l.adopt(a.FD, a.Peer)
	}
}

// retire says that the loop takes no more sockets from others, and no wakes. It is false if
// some have come that it does not know yet.
func (l *loop) retire() bool {
	if !l.member.Retire() {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended, l.mail = true, nil // nobody is noted any more
	return true
}

// abort ends all connections of a loop that cannot go on.
func (l *loop) abort() {
	for {
		l.adoptArrivals()
		l.cutAll()
		if l.retire() {
			return
		}
	}
}
