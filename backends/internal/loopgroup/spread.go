package loopgroup

import "net/netip"

// Arrival is an accepted socket that one loop hands to another.
type Arrival struct {
	FD   int
	Peer netip.AddrPort
}

// Place gives an accepted socket to the loop that has the fewest connections. It is
// true if that is the one that calls, or no other takes it: then the socket stays, and
// is counted. The kernel spreads connections by a hash of their addresses: of ten clients
// and four loops one loop would have five and another one.
func (m *Member) Place(a Arrival) (stays bool) {
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

// receive takes a socket from another loop. It is false if the loop has ended.
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

// Arrivals takes the sockets that other loops have handed over. They are counted.
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

// HasArrivals says whether sockets wait.
func (m *Member) HasArrivals() bool {
	if len(m.others) == 0 {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.arrivals) > 0
}

// Left says that a connection of the loop has ended.
func (m *Member) Left() { m.load.Add(-1) }

// Load is how many connections the loop has, those on their way to it included. Any
// goroutine may ask.
func (m *Member) Load() int { return int(m.load.Load()) }

// Retire says that the loop takes no more sockets from others. It is false if some have
// come that it has not taken yet.
func (m *Member) Retire() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended = len(m.arrivals) == 0
	return m.ended
}
