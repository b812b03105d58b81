package ledger

import (
	"cmp"
	"math/bits"
	"sync/atomic"

	"chatbench/loadgen/message"
)

// Said is what the senders of a room have said: how much of it, and when. Each book
// has one of its own, or the books of a room share one: those of several threads,
// each of which has some of the room's clients.
//
// Of each sender one book alone writes, the one whose thread sends for it, and all
// read. Nobody waits for anybody: a message is noted before the kernel is given
// it, so whoever receives it finds it here. Times are kept in a ring for each sender;
// whoever reads one makes sure afterwards that it was not overwritten meanwhile.
//
// Of senders elsewhere, in other processes, nothing is known until Settle: how much they
// have sent in all. Until then any message may arrive that such a sender may say. Nobody can
// invent one, since texts follow from the seed alone.
type Said struct {
	shared bool
	counts []counts // by sender
	stamps []stamp  // a ring for each sender
	bits   int
}

// counts is how much a sender has said, in messages. It has a cache line of its own.
type counts struct {
	noted   uint64 // of which a time was written: the ring has the last of these
	offered uint64 // that the kernel was given, so that they may arrive
	sent    uint64 // that it took, so that they must
	_       [5]uint64
}

// stamp holds the times of one message.
type stamp struct{ due, sent int64 }

// NewSaid is one for several books, whose Config has the same senders, window and
// reach.
func NewSaid(senders, window, reach int) *Said {
	s := newSaid(senders, window, reach)
	s.shared = true
	return s
}

func newSaid(senders, window, reach int) *Said {
	each := max(cmp.Or(reach, defaultReach)/32/max(senders, 1), stampsAtLeast, 2*window)
	s := &Said{counts: make([]counts, senders), bits: bits.Len(uint(each - 1))}
	s.stamps = make([]stamp, senders<<s.bits)
	return s
}

// Elsewhere says which senders other processes send for. It is called before anything
// is sent.
func (s *Said) Elsewhere(senders []bool) {
	for i, elsewhere := range senders {
		if elsewhere {
			s.counts[i].offered = message.MaxSequence
		}
	}
}

// Settle notes how many messages each sender elsewhere has sent in all.
func (s *Said) Settle(sent []uint64) {
	for i := range s.counts {
		if c := &s.counts[i]; c.offered == message.MaxSequence {
			s.set(&c.sent, sent[i])
		}
	}
}

// Sent is how many messages each sender has sent.
func (s *Said) Sent() []uint64 {
	sent := make([]uint64, len(s.counts))
	for i := range sent {
		sent[i] = s.sent(i)
	}
	return sent
}

// set stores what other threads may read meanwhile. A book that shares with none
// stores it plainly.
func (s *Said) set(at *uint64, v uint64) {
	if s.shared {
		atomic.StoreUint64(at, v)
	} else {
		*at = v
	}
}

func (s *Said) setTime(at *int64, t int64) {
	if s.shared {
		atomic.StoreInt64(at, t)
	} else {
		*at = t
	}
}

func (s *Said) stampOf(sender int, seq uint64) *stamp {
	return &s.stamps[sender<<s.bits|int(seq)&(1<<s.bits-1)]
}

// note is called before a time of the messages before to is written.
func (s *Said) note(sender int, to uint64) {
	if c := &s.counts[sender]; to > c.noted {
		s.set(&c.noted, to)
	}
}

// times are those of a message; not ok if they are forgotten.
func (s *Said) times(sender int, seq uint64) (t stamp, ok bool) {
	at := s.stampOf(sender, seq)
	t.due, t.sent = atomic.LoadInt64(&at.due), atomic.LoadInt64(&at.sent)
	return t, atomic.LoadUint64(&s.counts[sender].noted)-seq <= 1<<s.bits
}

// offered is how many messages of a sender may arrive.
func (s *Said) offered(sender int) uint64 { return atomic.LoadUint64(&s.counts[sender].offered) }

// sent is how many messages of a sender must arrive.
func (s *Said) sent(sender int) uint64 { return atomic.LoadUint64(&s.counts[sender].sent) }

// inAll is how many messages of all senders must arrive.
func (s *Said) inAll() (n uint64) {
	for i := range s.counts {
		n += s.sent(i)
	}
	return n
}
