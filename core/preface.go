package core

import (
	"net/netip"
	"time"

	"chatbench/core/wire"
)

// Preface reads what precedes the frames of one connection: a header in which a proxy
// names the client for which it connects. It is called by one goroutine at a time, and
// not again once it is done or has failed.
type Preface interface {
	// Required says that the connection must begin with a header. Until it is read
	// the client counts for no address.
	Required() bool
	// Take is called with the octets in the order in which they came. done says that
	// the header has been read, or that there is none and none is required: rest is
	// what follows it, and client is the address it names, the zero AddrPort if it
	// names none. An error ends the session with ReasonPreface. Take keeps nothing
	// of in.
	Take(in []byte) (rest []byte, done bool, client netip.AddrPort, err error)
}

// defaultPrefaceTimeout is how long a required preface may take.
const defaultPrefaceTimeout = 5 * time.Second

// takePreface processes the part of a client's input that precedes its first frame,
// and returns what follows it. The caller holds in.mu.
func (s *Session) takePreface(in []byte) (rest []byte) {
	if s.closing.Load() != 0 {
		return nil
	}
	rest, done, client, err := (*s.in.preface).Take(in)
	switch {
	case err != nil:
		s.room.violation(s, ReasonPreface)
		return nil
	case done:
		s.in.preface = nil
		s.room.prefaced(s, client)
	}
	return rest
}

// prefaced is called when the preface of a session has been read. From now on the
// client is treated as if it had connected from the address in the preface.
func (r *Room) prefaced(s *Session, client netip.AddrPort) {
	addr := client.Addr()
	if !addr.IsValid() {
		addr = s.Peer().Addr()
	}
	banned := r.cfg.Banned != nil && r.cfg.Banned(addr)
	r.mu.Lock()
	defer r.unlock()
	if s.closing.Load() != 0 {
		return
	}
	if client.IsValid() {
		r.leaveAddress(s)
		s.peer = client
	}
	if s.needsPreface {
		r.list(s).remove(s)
		s.needsPreface = false
		s.deadline = r.in(r.cfg.LoginTimeout)
		r.pending.push(s)
	}
	if banned {
		r.deny(s, ReasonBanned, wire.Banned)
		return
	}
	if !s.counted && r.crowded(s.peer.Addr()) {
		r.deny(s, ReasonAddress, crowdedText)
		return
	}
	r.enterAddress(s)
}

// crowdedText is the reason of ReasonAddress, for the client.
const crowdedText = "too many connections from your address"

// crowded says whether an address has as many clients as it may have.
func (r *Room) crowded(addr netip.Addr) bool {
	limit, from := r.cfg.MaxPerAddress, Origin(addr)
	return limit > 0 && !from.IsLoopback() && r.address[from] >= limit
}

// enterAddress counts a session for its address, once.
func (r *Room) enterAddress(s *Session) {
	if r.cfg.MaxPerAddress > 0 && !s.counted {
		s.counted = true
		r.address[Origin(s.peer.Addr())]++
	}
}

// leaveAddress undoes enterAddress.
func (r *Room) leaveAddress(s *Session) {
	if !s.counted {
		return
	}
	s.counted = false
	from := Origin(s.peer.Addr())
	if r.address[from]--; r.address[from] == 0 {
		delete(r.address, from)
	}
}
