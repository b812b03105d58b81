package front

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"chatbench/core"
)

const (
	// addressShare is the part of all places that one address has: an eighth.
	addressShare = 8
	// leastShare is how many it has at least, where there are as many.
	leastShare = 4
	// waitingPerPlace is how many may wait for each place, of all and of one address.
	waitingPerPlace = 4
)

// handshakes has a place for each TLS handshake that may be under way. One address
// has an eighth of them; an IPv6 address counts as its /64. Whoever finds none waits.
// The next place goes to the address that has the fewest, and of its clients to the
// one that has waited longest: so an address that fills its places and says nothing
// delays itself alone, and several that fill them all delay others until one of
// theirs times out.
//
// Any goroutine may call its methods.
type handshakes struct {
	most, each int // places of all, and of one address

	mu      sync.Mutex
	taken   int
	of      map[netip.Addr]share // by core.Origin; without empty ones
	waiting []*waiter            // whoever has waited longest first
}

// share is what one address has.
type share struct{ taken, waiting int }

// waiter is one who waits for a place.
type waiter struct {
	from netip.Addr
	turn chan struct{} // closed when it has the place
}

func newHandshakes(most int) *handshakes {
	return &handshakes{most: most, each: max(most/addressShare, min(most, leastShare)), of: make(map[netip.Addr]share)}
}

// enter takes a place for a client at addr, and waits for one until patience is over
// or ctx ends. It says whether there is a place, which leave has to give back. If too
// many wait already, it does not wait.
func (h *handshakes) enter(ctx context.Context, addr netip.Addr, patience time.Duration) bool {
	from := core.Origin(addr)
	h.mu.Lock()
	has := h.of[from]
	if h.taken < h.most && has.taken < h.each {
		h.add(from, 1, 0)
		h.mu.Unlock()
		return true
	}
	if len(h.waiting) >= waitingPerPlace*h.most || has.waiting >= waitingPerPlace*h.each {
		h.mu.Unlock()
		return false
	}
	w := &waiter{from, make(chan struct{})}
	h.waiting = append(h.waiting, w)
	h.add(from, 0, 1)
	h.mu.Unlock()

	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-w.turn:
		return true
	case <-late.C:
	case <-ctx.Done():
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	i := slices.Index(h.waiting, w)
	if i < 0 {
		return true // its turn came in the same moment
	}
	h.waiting = slices.Delete(h.waiting, i, i+1)
	h.add(from, 0, -1)
	return false
}

// leave gives the place of a client at addr back, to one who waits if it may have it.
func (h *handshakes) leave(addr netip.Addr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.add(core.Origin(addr), -1, 0)
	next, fewest := -1, h.each
	for i, w := range h.waiting {
		if n := h.of[w.from].taken; n < fewest {
			next, fewest = i, n
		}
	}
	if next < 0 {
		return
	}
	w := h.waiting[next]
	h.waiting = slices.Delete(h.waiting, next, next+1)
	h.add(w.from, 1, -1)
	close(w.turn)
}

// add counts places taken and clients waiting. The caller holds mu.
func (h *handshakes) add(from netip.Addr, taken, waiting int) {
	h.taken += taken
	has := h.of[from]
	has.taken += taken
	has.waiting += waiting
	if has == (share{}) {
		delete(h.of, from)
		return
	}
	h.of[from] = has
}
