package readiness

import "net/netip"

// arrival is an accepted socket that one loop hands to another.
type arrival struct {
	fd   int
	peer netip.AddrPort
}

// add gives an accepted socket to the loop that has the fewest connections. The
// kernel spreads them by a hash of their addresses: of ten clients and four
// loops one loop would have five and another one.
func (l *loop) add(fd int, peer netip.AddrPort) {
	best, fewest := l, l.load.Load()
	for _, o := range l.others {
		if n := o.load.Load(); n < fewest {
			best, fewest = o, n
		}
	}
	if best != l && best.receive(arrival{fd, peer}) {
		return
	}
	l.load.Add(1)
	l.adopt(fd, peer)
}

// receive takes a socket from another loop. It is false if the loop has ended.
func (l *loop) receive(a arrival) bool {
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		return false
	}
	l.load.Add(1)
	l.arrivals = append(l.arrivals, a)
	l.mu.Unlock()
	l.bell.Ring()
	return true
}

// adoptArrivals makes connections of the sockets that other loops have handed
// over.
func (l *loop) adoptArrivals() {
	l.mu.Lock()
	arrivals := l.arrivals
	l.arrivals = nil
	l.mu.Unlock()
	for _, a := range arrivals {
		l.adopt(a.fd, a.peer)
	}
}

// retire says that the loop takes no more sockets from others, and no wakes. It is false if
// some have come that it does not know yet.
func (l *loop) retire() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended = len(l.arrivals) == 0; l.ended {
		l.mail = nil // and nobody is noted any more
	}
	return l.ended
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
