package absence

import "time"

// Unread is a connection that may not be read at the moment.
type Unread interface {
	// Absence is what is known of its client, always the same Watch.
	Absence() *Watch
	// Stays looks at it, and ends it if its time is over. It is false if it need not be
	// looked at again: it has ended, or it is read, and reading will tell of its end.
	Stays(now time.Time) bool
}

// List holds the connections that are not read, or were not when a loop last looked:
// nobody tells the loop that their clients have left. The zero List is empty; it belongs
// to one goroutine.
type List[C Unread] struct {
	conns []C
	next  time.Time // when to look at them
}

// Add puts a connection on the list, unless it is there.
func (l *List[C]) Add(c C) {
	if c.Absence().listed {
		return
	}
	c.Absence().listed = true
	if len(l.conns) == 0 {
		l.next = time.Now().Add(Every)
	}
	l.conns = append(l.conns, c)
}

// Len is how many are on it.
func (l *List[C]) Len() int { return len(l.conns) }

// Next is when to look again, if there are any.
func (l *List[C]) Next() time.Time { return l.next }

// Look looks, when it is time, whether clients have left.
func (l *List[C]) Look(now time.Time) {
	if now.Before(l.next) {
		return
	}
	l.next = now.Add(Every)
	kept := l.conns[:0]
	for _, c := range l.conns {
		w := c.Absence()
		if w.listed = c.Stays(now); !w.listed {
			continue
		}
		kept = append(kept, c)
		if next := w.Next(now); next.Before(l.next) {
			l.next = next
		}
	}
	clear(l.conns[len(kept):])
	l.conns = kept
}
