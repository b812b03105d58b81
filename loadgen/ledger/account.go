package ledger

import (
	"bytes"
	"slices"

	"chatbench/loadgen/message"
)

// account is what is known of a receiver that has left the reference: of each
// sender the next message to come, and the gaps before it. It may allocate: a
// server that sends somebody here has done something wrong already, or has no
// one order for everybody.
type account struct {
	next    []uint64 // of each sender: the message after the highest that came
	gaps    [][]gap  // of each sender, in order: what was jumped over
	got     uint64   // messages that came, each counted once
	skipped int      // octets since the last frame that was understood
	garbled bool     // in the middle of what is not understood

	duplicated, reordered, altered uint64
}

// gap is messages from ≤ seq < to.
type gap struct{ from, to uint64 }

// open opens an account for who has had the first pos messages of the reference.
func (b *Book) open(pos uint64) *account {
	return &account{
		next: b.reference.countsAt(pos),
		gaps: make([][]gap, len(b.user)),
		got:  pos,
	}
}

// audit goes through p frame by frame for a receiver that has left the reference.
func (b *Book) audit(client int, p []byte, now int64) (rest []byte, err error) {
	r := &b.receivers[client]
	a := r.account
	for len(p) > 0 {
		if a.garbled {
			if p = b.seek(a, p); a.garbled {
				return p, nil
			}
		}
		if len(p) < b.frame && message.MayBegin(p) {
			return p, nil
		}
		if len(p) >= b.frame {
			if sender, seq, ok := b.verify(p); ok {
				if err := b.enter(client, sender, seq, now); err != nil {
					return p, err
				}
				p = p[b.frame:]
				continue
			}
		}
		switch n, kind := serversOwn(p); kind {
		case notice:
			b.note(r, p[:n])
			p = p[n:]
		case closing:
			return p, ErrClosed
		case cut:
			return p, nil
		case foreign:
			a.garbled, a.skipped = true, 1
			p = p[1:]
		}
	}
	return p, nil
}

// verify says which message stands at the beginning of p, checked octet for octet.
func (b *Book) verify(p []byte) (sender int, seq uint64, ok bool) {
	sender, seq, ok = b.whose(p)
	if !ok {
		return 0, 0, false
	}
	b.script.PutSaid(b.scratch, b.user[sender], seq)
	return sender, seq, bytes.Equal(b.scratch, p[:b.frame])
}

// enter books one message that came, whole and unaltered.
func (b *Book) enter(client, sender int, seq uint64, now int64) error {
	a := b.receivers[client].account
	switch next := a.next[sender]; {
	case seq >= next:
		if seq > next {
			a.gaps[sender] = append(a.gaps[sender], gap{next, seq})
		}
		a.next[sender] = seq + 1
		if b.closed && b.sender[client] == int32(sender) {
			// What was lost never echoes: the highest that came stands for all before.
			b.echoes[sender].count = seq + 1
		}
	case a.fill(sender, seq):
		a.reordered++
	default:
		a.duplicated++
		return nil
	}
	t, ok := b.times(sender, seq)
	if !ok {
		return ErrBehind
	}
	a.got++
	b.arrive(client, sender, t, now)
	return nil
}

// fill takes a message out of the gaps; false if it was in none.
func (a *account) fill(sender int, seq uint64) bool {
	gaps := a.gaps[sender]
	i, found := slices.BinarySearchFunc(gaps, seq, func(g gap, seq uint64) int {
		switch {
		case g.to <= seq:
			return -1
		case g.from > seq:
			return 1
		}
		return 0
	})
	if !found {
		return false
	}
	switch g := gaps[i]; {
	case g.from+1 == g.to:
		gaps = slices.Delete(gaps, i, i+1)
	case g.from == seq:
		gaps[i].from++
	case g.to == seq+1:
		gaps[i].to--
	default:
		gaps[i].to = seq
		gaps = slices.Insert(gaps, i+1, gap{seq + 1, g.to})
	}
	a.gaps[sender] = gaps
	return true
}

// seek goes on to the next frame that is understood. What lies between was
// altered; it is counted in frames when its end is found.
func (b *Book) seek(a *account, p []byte) (rest []byte) {
	for len(p) > 0 {
		at := bytes.IndexByte(p, 0)
		if at < 0 {
			at = len(p)
		}
		a.skipped += at
		if p = p[at:]; len(p) == 0 || len(p) < b.frame && message.MayBegin(p) {
			return p
		}
		if len(p) >= b.frame {
			if _, _, ok := b.verify(p); ok {
				a.garbled = false
				a.altered += b.frames(a.skipped)
				return p
			}
		}
		a.skipped++
		p = p[1:]
	}
	return p
}

// frames is how many frames so many octets were, at least one.
func (b *Book) frames(octets int) uint64 { return uint64(max(1, (octets+b.frame/2)/b.frame)) }
