package core

import "strconv"

// Stats is the counters of a room.
type Stats struct {
	Clients  int    `json:"clients"` // slots in use now
	Pending  int    `json:"pending"` // of them, not logged in yet
	Granted  int    `json:"granted"` // of them, in the room
	Logins   uint64 `json:"logins"`
	Denials  uint64 `json:"denials"`
	Messages uint64 `json:"messages"`   // Chat frames of clients that were said
	Relayed  uint64 `json:"relayed"`    // File frames relayed
	Said     uint64 `json:"said_bytes"` // octets of the log
	// How often the input of a client had to wait for flood control, and for a full
	// private queue.
	FloodWaits uint64 `json:"flood_waits"`
	QueueWaits uint64 `json:"queue_waits"`
	// In a room on several servers: how often it had to wait for the stream.
	StreamWaits uint64 `json:"stream_waits,omitempty"`
	Ends        Ends   `json:"ends"` // connections ended, by reason
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

// Snapshot returns the current Stats.
func (r *Room) Snapshot() Stats {
	r.mu.Lock()
	defer r.unlock()
	st := r.stats
	st.Clients, st.Pending, st.Granted = r.clients, r.pending.n+r.prefacing.n, r.granted.n
	st.Said = r.log.end.Load()
	return st
}

// Backlog is what the room keeps for clients that are behind.
type Backlog struct {
	Chunks   int    `json:"chunks"`        // chunks of the log that are kept, 1 MiB each
	Slowest  uint64 `json:"slowest_bytes"` // octets of the log not yet written to the client farthest behind
	Refusing int    `json:"refusing"`      // clients that took less than they were offered when they were last checked
	Waiting  int    `json:"waiting"`       // clients in the room whose input waits
}

// Backlog returns the current Backlog. It looks at every client in the room: that takes
// a few microseconds for each thousand of them, under the lock.
func (r *Room) Backlog() Backlog {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := Backlog{Chunks: 1, Refusing: len(r.refusing)}
	for c := r.log.first; c != r.log.last; c = c.next.Load() {
		b.Chunks++
	}
	end := r.log.end.Load()
	for s := r.granted.first; s != nil; s = s.next {
		if at := s.position.Load(); at < end {
			b.Slowest = max(b.Slowest, end-at)
		}
		if s.held.Load() {
			b.Waiting++
		}
	}
	return b
}
