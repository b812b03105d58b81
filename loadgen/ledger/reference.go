package ledger

import (
	"bytes"
	"math/bits"
)

// reference is the room's stream as the leader saw it: a ring of frames of one
// length, each of them checked octet for octet, with the times and the sender
// of each.
type reference struct {
	frame int
	mask  uint64
	text  []byte
	due   []int64
	sent  []int64
	who   []uint32
	head  uint64   // messages ever appended
	order uint64   // digest of the sequence of their senders
	next  []uint64 // how many of them each sender has sent
}

func newReference(frame, reach, senders int) reference {
	messages := 1 << bits.Len(uint(reach/frame))
	return reference{
		frame: frame,
		mask:  uint64(messages - 1),
		text:  make([]byte, messages*frame),
		due:   make([]int64, messages),
		sent:  make([]int64, messages),
		who:   make([]uint32, messages),
		next:  make([]uint64, senders),
	}
}

// addToOrder adds the sender of the next message to the digest of the order, in the
// manner of FNV-1a. Swapping two neighbours always changes it: sender numbers are below
// 2^24, and the product separates two of them above bit 39, where the
// next sender has no influence.
func (r *reference) addToOrder(sender int) { r.order = (r.order ^ uint64(sender+1)) * 0x100000001b3 }

// slot is the place of message pos.
func (r *reference) slot(pos uint64) []byte {
	at := int(pos&r.mask) * r.frame
	return r.text[at : at+r.frame : at+r.frame]
}

// reaches says whether everything from pos on is still in the ring. One slot
// is kept free: the leader writes into it before it knows that the frame is right.
func (r *reference) reaches(pos uint64) bool { return r.head-pos <= r.mask }

// match counts the whole frames at the beginning of p that are those of the
// reference from pos on.
func (r *reference) match(pos uint64, p []byte) int {
	frames := min(uint64(len(p)/r.frame), r.head-pos)
	matched := uint64(0)
	for matched < frames {
		from := (pos + matched) & r.mask
		n := min(frames-matched, r.mask+1-from) // up to the ring's end
		ours := r.text[int(from)*r.frame : int(from+n)*r.frame]
		theirs := p[int(matched)*r.frame : int(matched+n)*r.frame]
		if !bytes.Equal(ours, theirs) {
			for bytes.Equal(ours[:r.frame], theirs[:r.frame]) {
				matched++
				ours, theirs = ours[r.frame:], theirs[r.frame:]
			}
			break
		}
		matched += n
	}
	return int(matched)
}

// countsAt returns, for each sender, how many of its messages are among the first pos.
func (r *reference) countsAt(pos uint64) []uint64 {
	counts := append([]uint64(nil), r.next...)
	for at := r.head; at > pos; at-- {
		counts[r.who[(at-1)&r.mask]]--
	}
	return counts
}

// echoes counts how many of its own messages a sender has received back. Their places
// in the reference are queued, so that a delivery costs nothing.
type echoes struct {
	count uint64
	at    []uint64 // ring of places in the reference, from count to added
	added uint64
}

func newEchoes(senders, window int) []echoes {
	size := 1 << bits.Len(uint(window-1))
	all := make([]echoes, senders)
	places := make([]uint64, senders*size)
	for i := range all {
		all[i].at = places[i*size : (i+1)*size]
	}
	return all
}

// add notes that the sender's next message has place pos in the reference.
func (e *echoes) add(pos uint64) {
	e.at[e.added&uint64(len(e.at)-1)] = pos
	e.added++
}

// reached counts the messages that stand before pos.
func (e *echoes) reached(pos uint64) {
	for e.count < e.added && e.at[e.count&uint64(len(e.at)-1)] < pos {
		e.count++
	}
}
