package ledger

import "iter"

// Tally is what went wrong, summed over all pairs of sender and receiver. The
// zero Tally is what a correct server gets.
type Tally struct {
	// Lost messages never came.
	Lost uint64 `json:"lost"`
	// Duplicated messages came again after they had come.
	Duplicated uint64 `json:"duplicated"`
	// Reordered messages came after a later one of the same sender.
	Reordered uint64 `json:"reordered"`
	// Altered frames are nothing that anybody sent. Each is taken for one
	// message that did not come, which is then not counted as lost as well.
	Altered uint64 `json:"altered"`
	// OtherOrder counts the receivers that got every message, those of each
	// sender in order, but saw the senders interleaved in another way than the
	// first did. It is told only where nothing else is wrong: once a message is
	// missing somewhere the orders cannot be compared.
	OtherOrder uint64 `json:"receivers_in_other_order"`
}

// Clean says whether nothing went wrong.
func (t Tally) Clean() bool { return t == Tally{} }

// add adds what went wrong elsewhere.
func (t *Tally) add(other Tally) {
	t.Lost += other.Lost
	t.Duplicated += other.Duplicated
	t.Reordered += other.Reordered
	t.Altered += other.Altered
	t.OtherOrder += other.OtherOrder
}

// Sum is what a book comes to, to be put together with those of the other books of
// its room.
type Sum struct {
	Tally     Tally  `json:"tally"`     // without OtherOrder
	Receivers uint64 `json:"receivers"` // whose octets the book was given
	Apart     uint64 `json:"apart"`     // of them: who left the reference
	Messages  uint64 `json:"messages"`  // in the reference
	Order     uint64 `json:"order"`     // digest of who said them, one after the other
}

// Merge is the tally of a room by the sums of all its books. An order is compared
// where nothing else is wrong: then each reference has every message, each octet of which
// was checked, and two are the same stream if their digests of the order are equal.
func Merge(sums ...Sum) Tally {
	var t Tally
	apart := uint64(0)
	for _, s := range sums {
		t.add(s.Tally)
		if apart += s.Apart; s.Messages != sums[0].Messages || s.Order != sums[0].Order {
			apart += s.Receivers - s.Apart
		}
	}
	if t.Clean() {
		t.OtherOrder = apart
	}
	return t
}

// Tally is that of a book that is the only one of its room.
func (b *Book) Tally() Tally { return Merge(b.Sum()) }

// Sum goes through every pair of sender and receiver. What has not come by
// now counts as lost. With several books, all of them must have ended.
func (b *Book) Sum() Sum {
	s := Sum{Messages: b.reference.head, Order: b.reference.order}
	t := &s.Tally
	for r := range b.each() {
		s.Receivers++
		if r.account == nil {
			counts := b.reference.next
			if r.pos != b.reference.head {
				counts = b.reference.countsAt(r.pos)
			}
			t.Lost += b.lost(counts)
			t.Altered += b.invented(counts)
			continue
		}
		s.Apart++
		a := r.account
		altered := a.altered
		if a.garbled {
			altered += b.frames(a.skipped)
		}
		missing := b.missing(a)
		t.Lost += missing - min(missing, altered)
		t.Altered += altered + b.invented(a.next)
		t.Duplicated += a.duplicated
		t.Reordered += a.reordered
	}
	return s
}

// each goes through the receivers whose octets the book is given.
func (b *Book) each() iter.Seq[*receiver] {
	return func(yield func(*receiver) bool) {
		if b.own == nil {
			for i := range b.receivers {
				if !yield(&b.receivers[i]) {
					return
				}
			}
		}
		for _, i := range b.own {
			if !yield(&b.receivers[i]) {
				return
			}
		}
	}
}

// Overtaken is how many messages have not come though a later one of the same
// sender has. They never will, however long one waits.
func (b *Book) Overtaken() (n uint64) {
	for r := range b.each() {
		if a := r.account; a != nil {
			for _, gaps := range a.gaps {
				for _, g := range gaps {
					n += g.to - g.from
				}
			}
		}
	}
	return n
}

// lost is what a receiver lacks that has had so many messages of each sender.
func (b *Book) lost(counts []uint64) (lost uint64) {
	for s := range b.user {
		lost += less(b.said.sent(s), counts[s])
	}
	return lost
}

// invented is what a receiver has had of senders elsewhere beyond what these sent in the end.
func (b *Book) invented(counts []uint64) (n uint64) {
	for s, elsewhere := range b.elsewhere {
		if elsewhere {
			n += less(counts[s], b.said.sent(s))
		}
	}
	return n
}

// missing is what never came to a receiver with an account of its own.
func (b *Book) missing(a *account) (missing uint64) {
	for s := range b.user {
		missing += less(b.said.sent(s), a.next[s])
		for _, g := range a.gaps[s] {
			missing += g.to - g.from
		}
	}
	return missing
}

// less is a - b, or 0 where a is the lesser: of a message that the kernel took in part
// when the load ended, or a TLS session holds back, nobody says that it was sent.
func less(a, b uint64) uint64 { return a - min(a, b) }
