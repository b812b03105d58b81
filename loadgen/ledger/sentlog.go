package ledger

import (
	"cmp"
	"math/bits"
	"sync/atomic"

	"chatbench/loadgen/message"
)

// SentLog is how much the senders of a room have sent, and when. Each book has a SentLog
// of its own, or the books of a room share one: those of several threads, each
// of which drives some of the room's clients.
//
// For each sender only one book writes, the one whose thread sends for it; all books read.
// There are no locks: a message is noted before the kernel is given
// it, so every receiver finds it here. Times are kept in a ring for each sender;
// a reader checks afterwards that the time was not overwritten while it read.
//
// Of senders in other processes nothing is known until Settle says how much they
// have sent in all. Until then any message of such a sender may arrive. A server cannot
// invent one, since texts follow from the seed alone.
type SentLog struct {
	shared bool
	counts []counts // by sender
	stamps []stamp  // a ring for each sender
	bits   int
}

// counts is how much a sender has sent, in messages. It has a cache line of its own.
type counts struct {
	noted   uint64 // messages whose time was written: the ring has the last of these
	offered uint64 // messages that the kernel was given, so that they may arrive
	sent    uint64 // messages that the kernel took, so that they must arrive
	_       [5]uint64
}

// stamp holds the times of one message.
type stamp struct{ due, sent int64 }

// NewSentLog makes a log for several books, whose Config has the same senders, window and
// reach.
func NewSentLog(senders, window, reach int) *SentLog {
	s := newSentLog(senders, window, reach)
	s.shared = true
	return s
}

func newSentLog(senders, window, reach int) *SentLog {
	each := max(cmp.Or(reach, defaultReach)/32/max(senders, 1), stampsAtLeast, 2*window)
	s := &SentLog{counts: make([]counts, senders), bits: bits.Len(uint(each - 1))}
	s.stamps = make([]stamp, senders<<s.bits)
	return s
}

// Elsewhere marks the senders that other processes drive. Call it before anything
// is sent.
func (s *SentLog) Elsewhere(senders []bool) {
	for i, elsewhere := range senders {
		if elsewhere {
			s.counts[i].offered = message.MaxSequence
		}
	}
}

// Settle notes how many messages each sender in another process has sent in all.
func (s *SentLog) Settle(sent []uint64) {
	for i := range s.counts {
		if c := &s.counts[i]; c.offered == message.MaxSequence {
			s.set(&c.sent, sent[i])
		}
	}
}

// Sent returns how many messages each sender has sent.
func (s *SentLog) Sent() []uint64 {
	sent := make([]uint64, len(s.counts))
	for i := range sent {
		sent[i] = s.sent(i)
	}
	return sent
}

// set stores a value that other threads may read at the same time. A book that shares with none
// stores it plainly.
func (s *SentLog) set(at *uint64, v uint64) {
	if s.shared {
		atomic.StoreUint64(at, v)
	} else {
		*at = v
	}
}

func (s *SentLog) setTime(at *int64, t int64) {
	if s.shared {
		atomic.StoreInt64(at, t)
	} else {
		*at = t
	}
}

func (s *SentLog) stampOf(sender int, seq uint64) *stamp {
	return &s.stamps[sender<<s.bits|int(seq)&(1<<s.bits-1)]
}

// note is called before a time of the messages before to is written.
func (s *SentLog) note(sender int, to uint64) {
	if c := &s.counts[sender]; to > c.noted {
		s.set(&c.noted, to)
	}
}

// times returns the times of a message; ok is false if they are forgotten.
func (s *SentLog) times(sender int, seq uint64) (t stamp, ok bool) {
	at := s.stampOf(sender, seq)
	t.due, t.sent = atomic.LoadInt64(&at.due), atomic.LoadInt64(&at.sent)
	return t, atomic.LoadUint64(&s.counts[sender].noted)-seq <= 1<<s.bits
}

// offered is how many messages of a sender may arrive.
func (s *SentLog) offered(sender int) uint64 { return atomic.LoadUint64(&s.counts[sender].offered) }

// sent is how many messages of a sender must arrive.
func (s *SentLog) sent(sender int) uint64 { return atomic.LoadUint64(&s.counts[sender].sent) }

// inAll is how many messages of all senders must arrive.
func (s *SentLog) inAll() (n uint64) {
	for i := range s.counts {
		n += s.sent(i)
	}
	return n
}
