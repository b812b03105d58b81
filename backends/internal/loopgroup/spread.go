package loopgroup

import "net/netip"

// Arrival is an accepted socket that one loop hands to another.
type Arrival struct {
	FD   int
	Peer netip.AddrPort
}

// Assign gives an accepted socket to the loop that has the fewest connections, and counts it
// there. It returns true if the calling loop keeps the socket, because it has the fewest or
// because the other loop has ended. The kernel alone would spread connections by a hash of their
// addresses: with ten clients and four loops, one loop would have five of them and another one.
func (m *Member) Assign(a Arrival) (keep bool) {
	best, fewest := m, m.load.Load()
	for _, o := range m.others {
		if n := o.load.Load(); n < fewest {
			best, fewest = o, n
		}
	}
	if best != m && best.receive(a) {
		return false
	}
	m.load.Add(1)
	return true
}

// receive takes a socket from another loop. It returns false if this loop has ended.
func (m *Member) receive(a Arrival) bool {
	m.mu.Lock()
	if m.ended {
		m.mu.Unlock()
		return false
	}
	m.load.Add(1)
	m.arrivals = append(m.arrivals, a)
	m.mu.Unlock()
	m.bell.Ring()
	return true
}

// Arrivals returns the sockets that other loops have handed over since the last call. They are
// counted already.
func (m *Member) Arrivals() []Arrival {
	if len(m.others) == 0 {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	arrivals := m.arrivals
	m.arrivals = nil
	return arrivals
}

// HasArrivals says whether Arrivals would return any.
func (m *Member) HasArrivals() bool {
	if len(m.others) == 0 {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.arrivals) > 0
}

// ConnEnded says that a connection of the loop has ended.
func (m *Member) ConnEnded() { m.load.Add(-1) }

// Load is how many connections the loop has, including those on their way to it. Any
// goroutine may call it.
func (m *Member) Load() int { return int(m.load.Load()) }

// Retire says that the loop takes no more sockets from others. It returns false, and changes
// nothing, if there are arrivals that the loop has not taken yet.
func (m *Member) Retire() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended = len(m.arrivals) == 0
	return m.ended
}
