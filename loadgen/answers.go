package loadgen

import (
	"bytes"
	"slices"

	"chatbench/core/wire"
	"chatbench/loadgen/ledger"
)

// remembered is how many frames that were passed over a stream remembers, and
// how far it looks back for one that comes again.
const remembered = 256

// stream is the frames of one direction of one pair, in their order. The frame
// at next must come; any other is an error, which is classed by where it
// should have come.
type stream struct {
	next   uint64
	missed []uint64 // places that were passed over, the latest
}

// take goes through the frames that came for client i.
func (r *relay) take(i, end int, now int64) error {
	if i >= len(r.links) {
		return r.chat.take(i, end, now)
	}
	d := &r.links[i].decoder
	for in := r.in[r.front:end]; ; {
		f, rest, ok, err := d.Next(in)
		if err != nil { // no frame of any kind: what follows in this read is lost with it
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
			r.frame(i, f, now)
		case wire.Close:
			return r.lost(i, ledger.ErrClosed)
		default:
			if err := r.chatter(i, f, now); err != nil {
				return err
			}
		}
	}
}

var (
	serverSays = []byte(wire.ServerName + ": ")
	notFound   = []byte("File not found: ")
)

// chatter deals with what is said to an asker or a sharer: by the server,
// because it has to or of its own accord, or by those who talk meanwhile.
func (r *relay) chatter(i int, f wire.Frame, now int64) error {
	if said, ok := bytes.CutPrefix(f.Body, serverSays); ok && f.Type == wire.Chat {
		if i%2 == 0 && r.isNext(i, f) {
			r.frame(i, f, now)
			return nil
		}
		if bytes.HasPrefix(said, notFound) {
			r.tally.Altered++
			return nil
		}
		r.notices++
		r.links[i].said = string(said[:min(len(said), 200)])
		return nil
	}
	r.scratch = append(r.scratch[:0], r.chat.held[i]...)
	r.scratch = append(append(append(r.scratch, byte(f.Type)), f.Body...), 0)
	return r.chat.hear(i, r.scratch, now)
}

// frame books a frame that came for client i.
func (r *relay) frame(i int, f wire.Frame, now int64) {
	if !r.isNext(i, f) {
		r.stray(i, f, now)
		return
	}
	r.came(i, now)
}

// came books the frame that had to come next.
func (r *relay) came(i int, now int64) {
	a := &r.pairs[i/2]
	if i%2 == 1 {
		r.arrive(now)
		n := a.arrived.next >> 8
		a.arrived.next += 1 << 8
		r.answer(i, n)
		return
	}
	n, at := a.answers.next>>8, int(a.answers.next&0xff)
	if r.requests.kind(i/2, n) == refused && at == 1 {
		r.told++ // by the server itself: nothing was passed on
	} else {
		r.arrive(now)
	}
	a.answers.next = r.after(i, a.answers.next)
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

func (r *relay) arrive(now int64) {
	r.delivered++
	if r.timed(now) {
		r.inTime++
	}
}

// answer queues the whole answer to a request.
func (r *relay) answer(sharer int, n uint64) {
	l := &r.links[sharer]
	frames := r.requests.frames(sharer/2, n)
	if r.requests.kind(sharer/2, n) == refused {
		frames = 1 // the notice is the server's
	}
	for at := range frames {
		l.out = r.requests.appendAnswer(l.out, sharer/2, n, at, sharer-1)
	}
}

// isNext says whether a frame is the one that must come, octet for octet.
func (r *relay) isNext(i int, f wire.Frame) bool {
	a := &r.pairs[i/2]
	next := a.answers.next
	if i%2 == 1 {
		next = a.arrived.next
	}
	return next>>8 < a.asked && r.is(i, f, next)
}

// is says whether a frame is the one of a place.
func (r *relay) is(i int, f wire.Frame, place uint64) bool {
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

// after is the place after another.
func (r *relay) after(i int, place uint64) uint64 {
	if i%2 == 0 && int(place&0xff)+1 < r.requests.frames(i/2, place>>8) {
		return place + 1
	}
	return (place>>8 + 1) << 8
}

// stray classes a frame that is not the one that had to come. It may allocate:
// the run is void.
func (r *relay) stray(i int, f wire.Frame, now int64) {
	a := &r.pairs[i/2]
	s := &a.answers
	if i%2 == 1 {
		s = &a.arrived
	}
	for _, place := range s.missed {
		if r.is(i, f, place) {
			s.missed = slices.DeleteFunc(s.missed, func(p uint64) bool { return p == place })
			r.tally.Reordered++
			r.arrive(now)
			if i%2 == 1 {
				r.answer(i, place>>8)
			}
			return
		}
	}
	passed := []uint64{}
	for place := s.next; place>>8 < a.asked && len(passed) < remembered; place = r.after(i, place) {
		if !r.is(i, f, place) {
			passed = append(passed, place)
			continue
		}
		s.missed = append(s.missed, passed...)
		s.missed = s.missed[max(0, len(s.missed)-remembered):]
		if i%2 == 0 { // answers that were passed over count as given: nobody waits for them
			r.answered += place>>8 - s.next>>8
		}
		s.next = place
		r.came(i, now)
		return
	}
	for back := s.next; back > 0 && s.next>>8-back>>8 <= remembered; {
		if back&0xff > 0 {
			back--
		} else {
			back = (back>>8-1)<<8 | uint64(r.lastFrame(i, back>>8-1))
		}
		if r.is(i, f, back) {
			r.tally.Duplicated++
			return
		}
	}
	r.tally.Altered++
}

// lastFrame is the place within request n of the frame that ends it.
func (r *relay) lastFrame(i int, n uint64) int {
	if i%2 == 1 {
		return 0
	}
	return r.requests.frames(i/2, n) - 1
}

// untaken is the frames of requests that the kernel never took; a request it
// took in part is among them.
func (r *relay) untaken() (frames uint64) {
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
		Unanswered: r.asked - r.unasked - min(r.answered, r.asked-r.unasked),
		Rate:       float64(r.cfg.ChatRate), Chat: Latency{Histogram: r.chat.book.FromDue}, ChatLag: Latency{Histogram: r.chat.lags},
		Heard: r.chat.book.Delivered(), HeardInTime: r.chat.book.InTime(),
	}
	heard := r.chat.book.Tally()
	missing := r.expected - r.untaken() - r.delivered + r.refusals - r.told
	to.Sum.Tally = ledger.Tally{
		Lost:       missing - min(missing, r.tally.Altered) + heard.Lost,
		Duplicated: r.tally.Duplicated + heard.Duplicated,
		Reordered:  r.tally.Reordered + heard.Reordered,
		Altered:    r.tally.Altered + heard.Altered,
		OtherOrder: heard.OtherOrder,
	}
	to.Notices = r.notices + r.chat.book.Notices()
	r.pace.fill(&to.Result)
}
