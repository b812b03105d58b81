package readiness

// adoptArrivals makes connections of the sockets that other loops have handed over.
func (l *loop) adoptArrivals() {
	for _, a := range l.member.Arrivals() {
		l.adopt(a.FD, a.Peer)
	}
}

// retire says that the loop takes no more sockets from other loops, and discards wakes. It returns
// false if there are sockets that the loop has not taken yet.
func (l *loop) retire() bool {
	if !l.member.Retire() {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended, l.wakes = true, nil
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
