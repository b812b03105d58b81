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
	// addressShare: one address may use one in addressShare of all slots.
	addressShare = 8
	// leastShare is how many slots one address may use at least, if there are so many.
	leastShare = 4
	// waitingPerSlot is how many clients may wait for each slot, of all and of one address.
	waitingPerSlot = 4
)

// handshakes limits the TLS handshakes that run at once: each needs a slot. One address may
// use an eighth of the slots; an IPv6 address counts as its /64. A client without a slot
// waits. The next free slot goes to the address that uses the fewest, and among its clients
// to the one that has waited longest. So an address that fills its slots and sends nothing
// delays only itself, and several addresses that fill all slots delay others only until one
// of their handshakes times out.
//
// Any goroutine may call its methods.
type handshakes struct {
	most, each int // slots of all, and of one address

	mu        sync.Mutex
	taken     int
	byAddress map[netip.Addr]usage // by core.Origin; without zero values
	waiting   []*waiter            // the one that has waited longest comes first
}

// usage is how many slots an address uses, and how many of its clients wait.
type usage struct{ taken, waiting int }

// waiter is a client that waits for a slot.
type waiter struct {
	from netip.Addr
	turn chan struct{} // closed when it has the slot
}

func newHandshakes(most int) *handshakes {
	return &handshakes{most: most, each: max(most/addressShare, min(most, leastShare)), byAddress: make(map[netip.Addr]usage)}
}

// acquire acquires a slot for a client at addr. It waits for one until the timeout or the end
// of ctx; if too many wait already, it does not wait. If it returns true, release must be
// called.
func (h *handshakes) acquire(ctx context.Context, addr netip.Addr, timeout time.Duration) bool {
	from := core.Origin(addr)
	h.mu.Lock()
	has := h.byAddress[from]
	if h.taken < h.most && has.taken < h.each {
		h.add(from, 1, 0)
		h.mu.Unlock()
		return true
	}
	if len(h.waiting) >= waitingPerSlot*h.most || has.waiting >= waitingPerSlot*h.each {
		h.mu.Unlock()
		return false
	}
	w := &waiter{from, make(chan struct{})}
	h.waiting = append(h.waiting, w)
	h.add(from, 0, 1)
	h.mu.Unlock()

	late := time.NewTimer(timeout)
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
		return true // it was given a slot at the same moment
	}
	h.waiting = slices.Delete(h.waiting, i, i+1)
	h.add(from, 0, -1)
	return false
}

// release releases the slot of a client at addr, and gives it to a client that waits.
func (h *handshakes) release(addr netip.Addr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.add(core.Origin(addr), -1, 0)
	next, fewest := -1, h.each
	for i, w := range h.waiting {
		if n := h.byAddress[w.from].taken; n < fewest {
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

// add adds to the slots taken and the clients waiting. The caller holds mu.
func (h *handshakes) add(from netip.Addr, taken, waiting int) {
	h.taken += taken
	has := h.byAddress[from]
	has.taken += taken
	has.waiting += waiting
	if has == (usage{}) {
		delete(h.byAddress, from)
		return
	}
	h.byAddress[from] = has
}
