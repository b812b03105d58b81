package ledger

import "iter"

// Tally counts what went wrong, summed over all pairs of sender and receiver. It is
// zero for a correct server.
type Tally struct {
	// Lost messages never came.
	Lost uint64 `json:"lost"`
	// Duplicated messages came again after they had come.
	Duplicated uint64 `json:"duplicated"`
	// Reordered messages came after a later one of the same sender.
	Reordered uint64 `json:"reordered"`
	// Altered frames are not what any sender sent. Each counts as one
	// message that did not come, which is then not counted as lost as well.
	Altered uint64 `json:"altered"`
	// OtherOrder counts the receivers that got every message, those of each
	// sender in order, but saw the senders interleaved in another way than the
	// first receiver did. It is counted only if nothing else is wrong: if a message is
	// missing somewhere the orders cannot be compared.
	OtherOrder uint64 `json:"receivers_in_other_order"`
}

// Clean says whether nothing went wrong.
func (t Tally) Clean() bool { return t == Tally{} }

// add adds another tally.
func (t *Tally) add(other Tally) {
	t.Lost += other.Lost
	t.Duplicated += other.Duplicated
	t.Reordered += other.Reordered
	t.Altered += other.Altered
	t.OtherOrder += other.OtherOrder
}

// Sum is the total of a book, to be merged with those of the other books of
// its room.
type Sum struct {
	Tally     Tally  `json:"tally"`     // without OtherOrder
	Receivers uint64 `json:"receivers"` // whose octets the book was given
	Diverged  uint64 `json:"apart"`     // how many of them left the reference
	Messages  uint64 `json:"messages"`  // in the reference
	Order     uint64 `json:"order"`     // digest of the sequence of their senders
}

// Merge computes the tally of a room from the sums of all its books. Orders are compared
// if nothing else is wrong: then each reference has every message, each octet of which
// was checked, and two references are the same stream if their digests of the order are equal.
func Merge(sums ...Sum) Tally {
	var t Tally
	apart := uint64(0)
	for _, s := range sums {
		t.add(s.Tally)
		if apart += s.Diverged; s.Messages != sums[0].Messages || s.Order != sums[0].Order {
			apart += s.Receivers - s.Diverged
		}
	}
	if t.Clean() {
		t.OtherOrder = apart
	}
	return t
}

// Tally is the tally of a book that is the only one of its room.
func (b *Book) Tally() Tally { return Merge(b.Sum()) }

// Sum goes through every pair of sender and receiver. What has not come by
// now counts as lost. If there are several books, all of them must have ended.
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
		s.Diverged++
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

// each iterates over the receivers whose octets the book is given.
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

// Overtaken is how many messages have not come although a later one of the same
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

// lost is how many messages a receiver lacks that has had counts messages of each sender.
func (b *Book) lost(counts []uint64) (lost uint64) {
	for s := range b.user {
		lost += saturatingSub(b.sentLog.sent(s), counts[s])
	}
	return lost
}

// invented is how many messages of senders in other processes a receiver has had beyond what these sent in the end.
func (b *Book) invented(counts []uint64) (n uint64) {
	for s, elsewhere := range b.elsewhere {
		if elsewhere {
			n += saturatingSub(counts[s], b.sentLog.sent(s))
		}
	}
	return n
}

// missing is how many messages never came to a receiver with an account of its own.
func (b *Book) missing(a *account) (missing uint64) {
	for s := range b.user {
		missing += saturatingSub(b.sentLog.sent(s), a.next[s])
		for _, g := range a.gaps[s] {
			missing += g.to - g.from
		}
	}
	return missing
}

// saturatingSub is a - b, or 0 if b is larger: a message that the kernel took only in part
// when the load ended, or that a TLS session holds back, does not count as sent.
func saturatingSub(a, b uint64) uint64 { return a - min(a, b) }
