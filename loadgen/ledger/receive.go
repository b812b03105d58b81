package ledger

import (
	"bytes"

	"chatbench/core/wire"
	"chatbench/loadgen/message"
)

// maxNotice bounds what a server may say in one notice, in octets of the frame.
const maxNotice = 4096

// MaxHeld is the most that Receive leaves over, for frames of this length.
func MaxHeld(frame int) int { return max(frame, maxNotice) }

// Receive takes what a client got at now: the octets left over by the last
// call, followed by new ones. It returns an unfinished frame at the end, which the caller puts
// in front of the next octets. ErrClosed and ErrBehind are final.
func (b *Book) Receive(client int, p []byte, now int64) (rest []byte, err error) {
	r := &b.receivers[client]
	if r.account != nil {
		return b.audit(client, p, now)
	}
	if !b.reference.reaches(r.pos) {
		return p, ErrBehind
	}
	for {
		n, err := b.matchReference(client, p, now)
		p = p[n*b.frame:]
		if err != nil || len(p) == 0 || len(p) < b.frame && message.MayBegin(p) {
			return p, err
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
			r.account = b.openAccount(r.pos)
			return b.audit(client, p, now)
		}
	}
}

// matchReference counts the whole frames at the beginning of p that are the next ones
// of the reference, or become the next ones.
func (b *Book) matchReference(client int, p []byte, now int64) (n int, err error) {
	r := &b.receivers[client]
	n = b.reference.match(r.pos, p)
	if r.pos+uint64(n) == b.reference.head {
		led, leadErr := b.extendReference(p[n*b.frame:])
		n, err = n+led, leadErr
	}
	if n > 0 {
		b.advance(client, n, now)
	}
	return n, err
}

// extendReference appends whole frames at the beginning of p to the reference as long
// as each is the next one of its sender, octet for octet, and counts them.
func (b *Book) extendReference(p []byte) (n int, err error) {
	ref := &b.reference
	for ; len(p) >= b.frame; p = p[b.frame:] {
		sender, seq, ok := b.identify(p)
		if !ok || seq != ref.next[sender] {
			break
		}
		slot := ref.slot(ref.head)
		b.script.PutBroadcast(slot, b.user[sender], seq)
		if !bytes.Equal(slot, p[:b.frame]) {
			break
		}
		t, ok := b.times(sender, seq)
		if !ok {
			return n, ErrBehind
		}
		at := ref.head & ref.mask
		ref.due[at], ref.sent[at], ref.who[at] = t.due, t.sent, uint32(sender)
		if b.closed {
			b.echoes[sender].add(ref.head)
		}
		ref.addToOrder(sender)
		ref.next[sender]++
		ref.head++
		n++
	}
	return n, nil
}

// identify returns which message a frame claims to be; ok is false if it was not sent.
func (b *Book) identify(frame []byte) (sender int, seq uint64, ok bool) {
	user, seq, ok := b.script.ParseBroadcast(frame)
	if !ok || user >= uint64(len(b.sender)) || b.sender[user] < 0 {
		return 0, 0, false
	}
	sender = int(b.sender[user])
	return sender, seq, seq < b.sentLog.offered(sender)
}

// advance counts the next n messages of the reference as delivered.
func (b *Book) advance(client, n int, now int64) {
	r := &b.receivers[client]
	from := r.pos
	r.pos += uint64(n)
	b.delivered += uint64(n)
	if b.timed(now) {
		b.inTime += uint64(n)
	}
	if s := b.sender[client]; b.closed && s >= 0 {
		b.echoes[s].reached(r.pos)
	}
	for n > 0 {
		at := int(from & b.reference.mask)
		run := min(n, int(b.reference.mask)+1-at) // up to the ring's end
		if b.server == nil && b.elsewhere == nil {
			b.record(at, at+run, now)
		} else {
			b.recordEach(client, at, at+run, now)
		}
		from += uint64(run)
		n -= run
	}
}

// record puts the latencies of places from to to of the reference into the
// histograms. Messages that were sent in one write have the same time and are
// counted together: in a closed loop that is nearly all of them.
func (b *Book) record(from, to int, now int64) {
	sent, due := b.reference.sent[from:to], b.reference.due[from:to]
	if b.closed {
		for i := 0; i < len(sent); {
			t, first := sent[i], i
			for i++; i < len(sent) && sent[i] == t; i++ {
			}
			if b.timed(t) {
				b.FromSend.Record(now-t, int64(i-first))
			}
		}
		return
	}
	for i, t := range due {
		if b.timed(t) {
			b.FromDue.Record(now-t, 1)
			b.FromSend.Record(now-sent[i], 1)
		}
	}
}

// recordEach is record if it matters whose message went to whom.
func (b *Book) recordEach(client, from, to int, now int64) {
	ref := &b.reference
	for at := from; at < to; at++ {
		b.latency(client, int(ref.who[at]), stamp{ref.due[at], ref.sent[at]}, now)
	}
}

// note keeps what the server said in a notice to this receiver.
func (b *Book) note(r *receiver, frame []byte) {
	b.notices++
	text := frame[1+len(wire.ServerName)+2 : len(frame)-1]
	r.notice = append(r.notice[:0], text[:min(len(text), 200)]...)
}

type kind int

const (
	foreign    kind = iota // neither a notice nor CLOSE
	notice                 // CHAT "server: …"
	closing                // CLOSE
	incomplete             // the beginning of one of these
)

var noticeHead = append([]byte{byte(wire.Chat)}, wire.ServerName+": "...)

// serverFrame looks for a frame of the server's own at the beginning of p and
// measures it.
func serverFrame(p []byte) (n int, k kind) {
	if wire.Type(p[0]) == wire.Close {
		switch {
		case len(p) < 2:
			return 0, incomplete
		case p[1] == 0:
			return 2, closing
		}
		return 0, foreign
	}
	if known := min(len(p), len(noticeHead)); !bytes.Equal(p[:known], noticeHead[:known]) {
		return 0, foreign
	}
	if end := bytes.IndexByte(p[1:min(len(p), maxNotice)], 0); end >= 0 {
		return 1 + end + 1, notice
	}
	if len(p) >= maxNotice {
		return 0, foreign
	}
	return 0, incomplete
}
