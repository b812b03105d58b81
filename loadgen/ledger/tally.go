package ledger

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

// Tally goes through every pair of sender and receiver. What has not come by
// now counts as lost.
func (b *Book) Tally() Tally {
	var t Tally
	apart := uint64(0)
	for i := range b.receivers {
		r := &b.receivers[i]
		if r.account == nil {
			t.Lost += b.lostAt(r.pos)
			continue
		}
		apart++
		a := r.account
		altered := a.altered
		if a.garbled {
			altered += b.frames(a.skipped)
		}
		missing := b.missing(a)
		t.Lost += missing - min(missing, altered)
		t.Altered += altered
		t.Duplicated += a.duplicated
		t.Reordered += a.reordered
	}
	if t.Clean() {
		t.OtherOrder = apart
	}
	return t
}

// Overtaken is how many messages have not come though a later one of the same
// sender has. They never will, however long one waits.
func (b *Book) Overtaken() (n uint64) {
	for i := range b.receivers {
		if a := b.receivers[i].account; a != nil {
			for _, gaps := range a.gaps {
				for _, g := range gaps {
					n += g.to - g.from
				}
			}
		}
	}
	return n
}

// lostAt is what a receiver lacks that has had the first pos messages of the
// reference, sender by sender.
func (b *Book) lostAt(pos uint64) (lost uint64) {
	counts := b.reference.next
	if pos != b.reference.head {
		counts = b.reference.countsAt(pos)
	}
	for s, sent := range b.sent {
		lost += sent - counts[s]
	}
	return lost
}

// missing is what never came to a receiver with an account of its own.
func (b *Book) missing(a *account) (missing uint64) {
	for s, sent := range b.sent {
		missing += sent - a.next[s]
		for _, g := range a.gaps[s] {
			missing += g.to - g.from
		}
	}
	return missing
}
