package loadgen

import (
	"bytes"
	"slices"

	"chatbench/core/wire"
	"chatbench/loadgen/ledger"
)

// maxMissed is how many skipped frames a stream remembers, and how many requests it looks back
// for a frame that comes again.
const maxMissed = 256

// stream is the frames of one direction of one pair, in order. The frame at next must come.
// Any other frame is an error, which is classified by the place where it should have come.
type stream struct {
	next   uint64
	missed []uint64 // the latest places that were skipped
}

// received handles the frames that came for client i.
func (r *relay) received(i, end int, now int64) error {
	if i >= len(r.links) {
		return r.chat.received(i, end, now)
	}
	d := &r.links[i].decoder
	for in := r.in[r.front:end]; ; {
		f, rest, ok, err := d.Next(in)
		if err != nil { // not a frame: the rest of this read is lost too
			r.tally.Altered++
			*d = wire.Decoder{Max: wire.MaxFromServer}
			return nil
		}
		if !ok {
			return nil
		}
		in = rest
		switch f.Type {
		case wire.File:
			r.fileFrame(i, f, now)
		case wire.Close:
			return r.connectionLost(i, ledger.ErrClosed)
		default:
			if err := r.chatFrame(i, f, now); err != nil {
				return err
			}
		}
	}
}

var (
	serverSays = []byte(wire.ServerName + ": ")
	notFound   = []byte("File not found: ")
)

// chatFrame handles what an asker or a sharer is told: by the server, as an answer or on its
// own initiative, or by the clients that talk at the same time.
func (r *relay) chatFrame(i int, f wire.Frame, now int64) error {
	if said, ok := bytes.CutPrefix(f.Body, serverSays); ok && f.Type == wire.Chat {
		if i%2 == 0 && r.isNext(i, f) {
			r.fileFrame(i, f, now)
			return nil
		}
		if bytes.HasPrefix(said, notFound) {
			r.tally.Altered++
			return nil
		}
		r.notices++
		r.links[i].notice = string(said[:min(len(said), 200)])
		return nil
	}
	r.scratch = append(r.scratch[:0], r.chat.partial[i]...)
	r.scratch = append(append(append(r.scratch, byte(f.Type)), f.Body...), 0)
	return r.chat.feedLedger(i, r.scratch, now)
}

// fileFrame handles a FILE frame, or the server's refusal, that came for client i.
func (r *relay) fileFrame(i int, f wire.Frame, now int64) {
	if !r.isNext(i, f) {
		r.classifyUnexpected(i, f, now)
		return
	}
	r.acceptExpected(i, now)
}

// acceptExpected counts the frame that had to come next.
func (r *relay) acceptExpected(i int, now int64) {
	a := &r.pairs[i/2]
	if i%2 == 1 {
		r.countDelivery(now)
		n := a.arrived.next >> 8
		a.arrived.next += 1 << 8
		r.queueAnswer(i, n)
		return
	}
	n, at := a.answers.next>>8, int(a.answers.next&0xff)
	if r.requests.kind(i/2, n) == refused && at == 1 {
		r.noticesReceived++ // by the server itself: no frame was forwarded
	} else {
		r.countDelivery(now)
	}
	a.answers.next = r.nextPlace(i, a.answers.next)
	if a.answers.next>>8 == n {
		return
	}
	r.answered++
	switch t := a.times[n%maxRequests]; {
	case r.arrivals == nil && r.timed(t.sent):
		r.fromSend.Record(now-t.sent, 1)
	case r.arrivals != nil && r.timed(t.due):
		r.fromDue.Record(now-t.due, 1)
		r.fromSend.Record(now-t.sent, 1)
	}
}

func (r *relay) countDelivery(now int64) {
	r.delivered++
	if r.timed(now) {
		r.inTime++
	}
}

// queueAnswer queues the whole answer to a request.
func (r *relay) queueAnswer(sharer int, n uint64) {
	l := &r.links[sharer]
	frames := r.requests.frames(sharer/2, n)
	if r.requests.kind(sharer/2, n) == refused {
		frames = 1 // the notice is the server's
	}
	for at := range frames {
		l.out = r.requests.appendAnswer(l.out, sharer/2, n, at, sharer-1)
	}
}

// isNext says whether a frame is the expected one, octet for octet.
func (r *relay) isNext(i int, f wire.Frame) bool {
	a := &r.pairs[i/2]
	next := a.answers.next
	if i%2 == 1 {
		next = a.arrived.next
	}
	return next>>8 < a.asked && r.isFrameAt(i, f, next)
}

// isFrameAt says whether a frame is the one that belongs at a place.
func (r *relay) isFrameAt(i int, f wire.Frame, place uint64) bool {
	if i%2 == 1 {
		r.scratch = r.requests.appendRequest(r.scratch[:0], i/2, place>>8, i-1)
	} else {
		r.scratch = r.requests.appendAnswer(r.scratch[:0], i/2, place>>8, int(place&0xff), i+1)
	}
	want := r.scratch[1 : len(r.scratch)-1]
	if byte(f.Type) != r.scratch[0] {
		return false
	}
	if f.Type == wire.File {
		return byte(f.Command) == want[0] && bytes.Equal(f.Body, want[1:])
	}
	return bytes.Equal(f.Body, want)
}

// nextPlace returns the place after another one.
func (r *relay) nextPlace(i int, place uint64) uint64 {
	if i%2 == 0 && int(place&0xff)+1 < r.requests.frames(i/2, place>>8) {
		return place + 1
	}
	return (place>>8 + 1) << 8
}

// classifyUnexpected counts a frame that is not the expected one as reordered, duplicated or
// altered. It may allocate: the run is void.
func (r *relay) classifyUnexpected(i int, f wire.Frame, now int64) {
	a := &r.pairs[i/2]
	s := &a.answers
	if i%2 == 1 {
		s = &a.arrived
	}
	for _, place := range s.missed {
		if r.isFrameAt(i, f, place) {
			s.missed = slices.DeleteFunc(s.missed, func(p uint64) bool { return p == place })
			r.tally.Reordered++
			r.countDelivery(now)
			if i%2 == 1 {
				r.queueAnswer(i, place>>8)
			}
			return
		}
	}
	passed := []uint64{}
	for place := s.next; place>>8 < a.asked && len(passed) < maxMissed; place = r.nextPlace(i, place) {
		if !r.isFrameAt(i, f, place) {
			passed = append(passed, place)
			continue
		}
		s.missed = append(s.missed, passed...)
		s.missed = s.missed[max(0, len(s.missed)-maxMissed):]
		if i%2 == 0 { // skipped answers count as given: nothing waits for them
			r.answered += place>>8 - s.next>>8
		}
		s.next = place
		r.acceptExpected(i, now)
		return
	}
	for back := s.next; back > 0 && s.next>>8-back>>8 <= maxMissed; {
		if back&0xff > 0 {
			back--
		} else {
			back = (back>>8-1)<<8 | uint64(r.lastFrame(i, back>>8-1))
		}
		if r.isFrameAt(i, f, back) {
			r.tally.Duplicated++
			return
		}
	}
	r.tally.Altered++
}

// lastFrame returns the place, within request n, of the frame that ends it.
func (r *relay) lastFrame(i int, n uint64) int {
	if i%2 == 1 {
		return 0
	}
	return r.requests.frames(i/2, n) - 1
}

// unsentFrames counts the frames of requests that the kernel has not taken, or only in part.
func (r *relay) unsentFrames() (frames uint64) {
	for p := range r.pairs {
		for n := r.pairs[p].taken; n < r.pairs[p].asked; n++ {
			frames += uint64(r.requests.relayed(p, n))
			if r.requests.kind(p, n) == refused {
				frames++
			}
		}
	}
	return frames
}

func (r *relay) fill(to *Part) {
	q := &r.requests
	to.Size = q.names.Size
	to.Frame = len(q.appendAnswer(nil, 0, 0, 1, 0))
	to.Messages.InAll, to.Messages.Unsent = r.asked, r.unsent()
	to.Deliveries.InAll, to.Deliveries.InTime, to.Deliveries.Due = r.delivered, r.inTime, r.dueFrames
	to.FromDue.Histogram, to.FromSend.Histogram = r.fromDue, r.fromSend
	to.Requests = &Requests{
		Pairs: len(r.pairs), Files: q.files, Downloads: q.downloads, Answered: r.answered,
		Unanswered: r.asked - r.unsentRequests - min(r.answered, r.asked-r.unsentRequests),
		Rate:       float64(r.cfg.ChatRate), Chat: Latency{Histogram: r.chat.book.FromDue}, ChatLag: Latency{Histogram: r.chat.lags},
		Heard: r.chat.book.Delivered(), HeardInTime: r.chat.book.InTime(),
	}
	chat := r.chat.book.Tally()
	missing := r.expected - r.unsentFrames() - r.delivered + r.noticesExpected - r.noticesReceived
	to.Sum.Tally = ledger.Tally{
		Lost:       missing - min(missing, r.tally.Altered) + chat.Lost,
		Duplicated: r.tally.Duplicated + chat.Duplicated,
		Reordered:  r.tally.Reordered + chat.Reordered,
		Altered:    r.tally.Altered + chat.Altered,
		OtherOrder: chat.OtherOrder,
	}
	to.Notices = r.notices + r.chat.book.Notices()
	r.pace.fill(&to.Result)
}
