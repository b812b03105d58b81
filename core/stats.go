package core

import "strconv"

// Stats is what a room has counted since it was made.
type Stats struct {
	Clients  int    `json:"clients"` // slots held now
	Pending  int    `json:"pending"` // of them, not logged in yet
	Granted  int    `json:"granted"` // of them, in the room
	Logins   uint64 `json:"logins"`
	Denials  uint64 `json:"denials"`
	Messages uint64 `json:"messages"`   // Chat frames of clients that were said
	Relayed  uint64 `json:"relayed"`    // File frames passed on
	Said     uint64 `json:"said_bytes"` // octets of the log
	// How often the input of a client had to wait: for flood control, and for an
	// addressee of private frames.
	FloodWaits uint64 `json:"flood_waits"`
	QueueWaits uint64 `json:"queue_waits"`
	Ends       Ends   `json:"ends"` // connections ended, by reason
}

// Ends counts ended connections by Reason.
type Ends [Reasons]uint64

// MarshalJSON gives an object with the reasons' names as keys, every one of them.
func (e Ends) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for r, n := range e {
		if r > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendQuote(b, Reason(r).String())
		b = append(b, ':')
		b = strconv.AppendUint(b, n, 10)
	}
	return append(b, '}'), nil
}

// Snapshot is the room's counters now.
func (r *Room) Snapshot() Stats {
	r.mu.Lock()
	defer r.unlock()
	st := r.stats
	st.Clients, st.Pending, st.Granted = r.clients, r.pending.n+r.prefacing.n, r.granted.n
	st.Said = r.log.end.Load()
	return st
}
