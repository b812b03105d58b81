package loadgen

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/loadgen/ledger"
	"chatbench/loadgen/message"
)

// broadcast is the load in which everybody receives what the senders say. It is also the chat
// during another load, and, without senders, silence.
type broadcast struct {
	*generator
	pace
	script   message.Script
	window   int // closed loop; 0: open
	book     *ledger.Book
	schedule Schedule  // open loop; nil: closed, or silence
	dueTimes *dueTimes // of the schedule, where there are other agents; else nil
	number   uint64    // the next message of the schedule
	first    uint64    // the number of its first one in this section
	nextDue  int64     // when the next is due
	fresh    bool      // closed loop: nothing has been sent in this section yet
	waiting  uint64    // messages that are due and that the kernel has not taken yet
	dirty    []int     // senders to whom something was queued
	senders  []sender  // of the whole room
	senderOf []int     // of each client its number as a sender, or -1
	partial  [][]byte  // of each client: an unfinished frame
	out      []byte
}

// sender is what a client has in addition if it sends.
type sender struct {
	client  int
	own     bool   // this generator drives it
	queued  uint64 // messages to send so far
	tried   uint64 // messages the kernel was offered
	taken   uint64 // octets the kernel took
	blocked bool   // the kernel takes no more at the moment
	dirty   bool
}

func newBroadcast(g *generator) *broadcast {
	c := &g.cfg
	b := &broadcast{
		generator: g,
		pace:      newPace(),
		script:    message.Script{Seed: c.Seed, Size: int(c.Size)},
		window:    c.Window,
		schedule:  c.schedule(),
	}
	if c.Scenario == Relay {
		if b.window, b.schedule = 0, nil; c.ChatRate > 0 {
			b.schedule = Fixed(c.ChatRate)
		}
	}
	at := c.senders()
	b.book = ledger.New(ledger.Config{
		Script: b.script, Clients: c.Clients, Senders: at, Window: b.window, Reach: g.reach,
		Receivers: g.own, SentLog: g.sentLog, Server: g.server, Elsewhere: g.elsewhere, DueElsewhere: b.dueElsewhere,
	})
	if g.elsewhere != nil && b.schedule != nil {
		b.dueTimes = newDueTimes()
	}
	b.senders, b.dirty = make([]sender, len(at)), make([]int, 0, len(at))
	b.senderOf, b.partial = make([]int, c.Clients), make([][]byte, c.Clients)
	for i := range b.senderOf {
		b.senderOf[i] = -1
	}
	for i := range b.senders {
		b.senders[i].client = at[i]
		b.senderOf[at[i]] = i
	}
	for _, i := range g.own {
		b.partial[i] = make([]byte, 0, min(b.script.BroadcastLen(), 512))
		if s := b.senderOf[i]; s >= 0 {
			b.senders[s].own = true
		}
	}
	b.out = make([]byte, writeSize+b.script.FrameLen())
	g.reserve(b.script.BroadcastLen())
	return b
}

func (b *broadcast) begin() {
	b.book.Timed(b.from, b.to)
	b.reset()
	b.fresh, b.first = true, b.number
	if b.schedule != nil {
		b.schedule = again(b.schedule, b.cfg.Seed+b.sections)
		b.nextDue = b.origin + b.dueAfter(0)
	}
}

// offer sends what is due by now; in a closed loop it sends the first window.
func (b *broadcast) offer(now int64) error {
	if b.schedule == nil {
		if b.window > 0 && b.fresh && now >= b.origin {
			b.fresh, b.health.worked = false, true
			return b.refillAll()
		}
		return nil
	}
	if b.nextDue > now || b.nextDue >= b.to {
		return nil
	}
	// Every generator goes through the whole schedule, so that a message has the same
	// number, sender and due time whatever the number of generators.
	for b.nextDue <= now && b.nextDue < b.to {
		if i := int(b.number % uint64(len(b.senders))); b.senders[i].own {
			b.health.worked = true
			if err := b.queue(i, now); err != nil {
				return err
			}
		}
		b.number++
		b.nextDue = b.origin + b.dueAfter(b.number-b.first)
	}
	for _, s := range b.dirty {
		b.senders[s].dirty = false
		if err := b.flush(s); err != nil {
			return err
		}
	}
	b.dirty = b.dirty[:0]
	return nil
}

// queue gives the next message of the schedule to sender i.
func (b *broadcast) queue(i int, now int64) error {
	s := &b.senders[i]
	if b.waiting >= maxBacklog || s.queued-s.taken/uint64(b.script.FrameLen()) >= b.book.Reach() {
		return fmt.Errorf("%w: %v after the start it has not read %d messages that are due; give a lower rate",
			ErrBackpressure, time.Duration(now-b.origin).Round(time.Millisecond), b.waiting)
	}
	b.book.Due(i, s.queued, b.nextDue)
	s.queued++
	b.waiting++
	timed := b.timed(b.nextDue)
	if timed {
		b.due++
	}
	if s.blocked { // the generator was in time, the server was not
		s.tried = s.queued
		if timed {
			b.lags.Record(now-b.nextDue, 1)
			b.stalled++
		}
	} else if !s.dirty {
		s.dirty = true
		b.dirty = append(b.dirty, i)
	}
	return nil
}

// refill lets a sender of a closed loop send as many messages as have come back.
func (b *broadcast) refill(i int) error {
	s := &b.senders[i]
	if may := b.book.Echoed(i) + uint64(b.window); may > s.queued {
		b.waiting += may - s.queued
		s.queued = may
		return b.flush(i)
	}
	return nil
}

func (b *broadcast) refillAll() error {
	for i := range b.senders {
		if !b.senders[i].own {
			continue
		}
		if err := b.refill(i); err != nil {
			return err
		}
	}
	return nil
}

// flush gives the kernel what is queued, until the kernel takes no more. Texts are generated
// again each time, so a backlog takes no memory.
func (b *broadcast) flush(i int) error {
	s := &b.senders[i]
	frame := uint64(b.script.FrameLen())
	for !s.blocked {
		first := s.taken / frame
		n := min(s.queued-first, writeSize/frame+1)
		if n == 0 {
			return nil
		}
		for k := range n {
			b.script.PutFrame(b.out[k*frame:], uint64(s.client), first+k)
		}
		now := b.now()
		b.recordLag(i, now)
		b.book.Offer(i, first, first+n, now)
		b.health.sends++
		took, err := b.write(s.client, b.out[s.taken%frame:n*frame])
		switch {
		case err == nil:
			b.recordSent(i, uint64(took), now)
		case err == unix.EAGAIN:
			s.blocked = true
			return b.watchWritable(s.client)
		case err != unix.EINTR:
			return b.writeError(s.client, err)
		}
	}
	return nil
}

// recordLag records how late the messages are that the kernel is offered now for the first time.
func (b *broadcast) recordLag(i int, now int64) {
	s := &b.senders[i]
	if b.schedule == nil {
		return
	}
	for ; s.tried < s.queued; s.tried++ {
		if due := b.book.DueAt(i, s.tried); b.timed(due) {
			b.lags.Record(now-due, 1)
		}
	}
}

// recordSent notes what the kernel took: a message is sent with its last octet.
func (b *broadcast) recordSent(i int, octets uint64, now int64) {
	s := &b.senders[i]
	frame := uint64(b.script.FrameLen())
	before := s.taken / frame
	s.taken += octets
	after := s.taken / frame
	b.book.Sent(i, after)
	if b.waiting -= after - before; b.timed(now) {
		b.sent += after - before
	}
}

// received gives the ledger the client's unfinished frame and what is in in[front:end].
func (b *broadcast) received(i, end int, now int64) error {
	start := b.front - len(b.partial[i])
	copy(b.in[start:], b.partial[i])
	return b.feedLedger(i, b.in[start:end], now)
}

// feedLedger gives p to the ledger. p begins with the client's unfinished frame.
func (b *broadcast) feedLedger(i int, p []byte, now int64) error {
	rest, err := b.book.Receive(i, p, now)
	b.partial[i] = append(b.partial[i][:0], rest...)
	switch {
	case errors.Is(err, ledger.ErrClosed):
		return b.connectionLost(i, err)
	case errors.Is(err, ledger.ErrBehind):
		return fmt.Errorf("%w: %s is too far behind what was sent (%v after the start); give a lower rate", ErrBackpressure, message.Name(i), b.sinceStart(now))
	}
	return err
}

func (b *broadcast) writable(i int) error {
	s := b.senderOf[i]
	if s < 0 || !b.senders[s].blocked {
		return nil
	}
	b.senders[s].blocked = false
	if err := b.unwatchWritable(i); err != nil {
		return err
	}
	return b.flush(s)
}

// served sends what has become possible: the next message of a window, or what has become due
// in the meantime, so that it does not wait for the other clients.
func (b *broadcast) served(i int, now int64) error {
	if b.window == 0 {
		return b.offer(now)
	}
	if s := b.senderOf[i]; s >= 0 && now >= b.origin && now < b.to {
		return b.refill(s)
	}
	return nil
}

func (b *broadcast) counts() (messages, delivered, missing uint64) {
	return b.book.Messages(), b.book.Delivered(), b.book.Missing() + b.waiting
}

func (b *broadcast) unsent() uint64 { return b.waiting }

func (b *broadcast) overtaken() uint64 { return b.book.Overtaken() }

func (b *broadcast) notice(i int) string { return b.book.Notice(i) }

func (b *broadcast) fill(r *Part) {
	r.Size, r.Frame = b.script.Size, b.script.BroadcastLen()
	r.Messages.InAll, r.Messages.Unsent = b.book.Messages(), b.waiting
	r.Deliveries.InAll, r.Deliveries.InTime = b.book.Delivered(), b.book.InTime()
	r.Deliveries.Due = b.due * uint64(r.Clients)
	r.FromDue.Histogram, r.FromSend.Histogram = b.book.FromDue, b.book.FromSend
	if b.server != nil {
		r.Servers = &Servers{Within: Latency{Histogram: b.book.Within}, Across: Latency{Histogram: b.book.Across}}
	}
	if b.elsewhere != nil {
		r.Elsewhere = &Elsewhere{Latency: Latency{Histogram: b.book.Elsewhere}}
	}
	r.Sum, r.Notices = b.book.Sum(), b.book.Notices()
	b.pace.fill(&r.Result)
}
