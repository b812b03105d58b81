package ledger

import (
	"bytes"
	"slices"

	"chatbench/loadgen/message"
)

// account is the record of a receiver that has left the reference: the next message to come
// from each sender, and the gaps before it. It may allocate: a server that makes an account
// necessary has done something wrong already, or has no single order for everybody.
type account struct {
	next    []uint64 // of each sender: the message after the highest that came
	gaps    [][]gap  // of each sender, in order: what was skipped
	got     uint64   // messages that came, each counted once
	skipped int      // octets since the last frame that was understood
	garbled bool     // inside octets that are not understood

	duplicated, reordered, altered uint64
}

// gap is messages from ≤ seq < to.
type gap struct{ from, to uint64 }

// openAccount opens an account for a receiver that has had the first pos messages of the reference.
func (b *Book) openAccount(pos uint64) *account {
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
				if err := b.bookMessage(client, sender, seq, now); err != nil {
					return p, err
				}
				p = p[b.frame:]
				continue
			}
		}
		switch n, kind := serverFrame(p); kind {
		case notice:
			b.note(r, p[:n])
			p = p[n:]
		case closing:
			return p, ErrClosed
		case incomplete:
			return p, nil
		case foreign:
			a.garbled, a.skipped = true, 1
			p = p[1:]
		}
	}
	return p, nil
}

// verify returns the message at the beginning of p, after checking it octet for octet.
func (b *Book) verify(p []byte) (sender int, seq uint64, ok bool) {
	sender, seq, ok = b.identify(p)
	if !ok {
		return 0, 0, false
	}
	b.script.PutBroadcast(b.scratch, b.user[sender], seq)
	return sender, seq, bytes.Equal(b.scratch, p[:b.frame])
}

// bookMessage books one message that came, whole and unaltered.
func (b *Book) bookMessage(client, sender int, seq uint64, now int64) error {
	a := b.receivers[client].account
	switch next := a.next[sender]; {
	case seq >= next:
		if seq > next {
			a.gaps[sender] = append(a.gaps[sender], gap{next, seq})
		}
		a.next[sender] = seq + 1
		if b.closed && b.sender[client] == int32(sender) {
			// Lost messages never come back: the highest one that came stands for all before it.
			b.echoes[sender].count = seq + 1
		}
	case a.fillGap(sender, seq):
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

// fillGap removes a message from the gaps; it returns false if the message was in none.
func (a *account) fillGap(sender int, seq uint64) bool {
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

// seek skips to the next frame that is understood. What lies between was
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

// frames converts octets to frames, at least one.
func (b *Book) frames(octets int) uint64 { return uint64(max(1, (octets+b.frame/2)/b.frame)) }
