package peerwatch

import "time"

// Conn is a connection that is not read at the moment, or whose read may have missed its end.
type Conn interface {
	// PeerWatch returns the connection's Watch, always the same one.
	PeerWatch() *Watch
	// CheckPeer checks the client, and ends the connection if the client's time is over. It
	// returns false if no further check is needed: the connection has ended, or it is read,
	// and a read will report its end.
	CheckPeer(now time.Time) bool
}

// List holds the connections of a loop to be checked, each from Add until CheckPeer returns
// false. The zero List is empty. It belongs to one goroutine.
type List[C Conn] struct {
	conns []C
	next  time.Time // when to check them
}

// Add puts a connection on the list, unless it is there.
func (l *List[C]) Add(c C) {
	if c.PeerWatch().listed {
		return
	}
	c.PeerWatch().listed = true
	if len(l.conns) == 0 {
		l.next = time.Now().Add(Interval)
	}
	l.conns = append(l.conns, c)
}

// Len is how many connections are on the list.
func (l *List[C]) Len() int { return len(l.conns) }

// NextCheck is when to check again, if the list is not empty.
func (l *List[C]) NextCheck() time.Time { return l.next }

// Check checks all clients, if it is time.
func (l *List[C]) Check(now time.Time) {
	if now.Before(l.next) {
		return
	}
	l.next = now.Add(Interval)
	kept := l.conns[:0]
	for _, c := range l.conns {
		w := c.PeerWatch()
		if w.listed = c.CheckPeer(now); !w.listed {
			continue
		}
		kept = append(kept, c)
		if next := w.NextCheck(now); next.Before(l.next) {
			l.next = next
		}
	}
	clear(l.conns[len(kept):])
	l.conns = kept
}
