package loadgen

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"chatbench/core/wire"
	"chatbench/loadgen/hist"
	"chatbench/loadgen/ledger"
	"chatbench/loadgen/message"
)

// maxRequests is how many requests of one asker may be without their answer.
const maxRequests = 1 << 10

// relay is the load of file frames: clients 2p ask, clients 2p+1 answer them,
// all through the server. The clients that talk at the same time are others, so
// chat frames never interleave with file frames of the same client.
type relay struct {
	*generator
	pace
	chat     *broadcast // the chat at the same time; it may be silent
	requests requests
	arrivals Schedule // open loop; nil: closed
	number   uint64   // the next request of the schedule
	first    uint64   // the number of its first one in this section
	fresh    bool     // closed loop: nothing is asked in this section yet
	nextDue  int64    // when that request is due
	links    []link   // by client
	pairs    []pair
	dirty    []int // askers to whom something was queued

	fromDue, fromSend                *hist.Histogram
	asked, answered                  uint64 // requests
	unsentRequests                   uint64 // how many of them the kernel has not taken yet
	expected                         uint64 // frames that all requests cause
	dueFrames                        uint64 // those of requests due in the timed section
	noticesExpected, noticesReceived uint64 // notices of refusal
	delivered, inTime                uint64 // frames that came
	tally                            ledger.Tally
	notices                          uint64
	scratch                          []byte
}

// link is a client's connection.
type link struct {
	decoder wire.Decoder
	out     []byte // frames to send
	sent    int    // octets of them that the kernel took
	blocked bool   // it takes no more for now
	dirty   bool
	notice  string // the server's latest notice that answers no request
}

// pair is a client that asks and the client that answers it. A place is request<<8 | frame.
type pair struct {
	asked   uint64   // requests
	taken   uint64   // by the kernel, whole
	queued  uint64   // octets of all requests so far
	octets  uint64   // of them the kernel took
	tried   uint64   // requests that the kernel was offered
	times   []stamps // of requests, a ring
	answers stream   // as the asker gets them
	arrived stream   // requests, as the sharer gets them
}

// stamps is what is remembered of a request until it is answered.
type stamps struct {
	due, sent int64
	end       uint64 // octets of all requests up to its end
}

func newRelay(g *generator) *relay {
	c := &g.cfg
	r := &relay{
		generator: g, pace: newPace(), chat: newBroadcast(g), arrivals: c.schedule(),
		links: make([]link, 2*c.Pairs), pairs: make([]pair, c.Pairs), dirty: make([]int, 0, c.Pairs),
		fromDue: hist.New(), fromSend: hist.New(),
	}
	r.requests = requests{
		names: message.Script{Seed: c.Seed, Size: int(c.Size)}, files: c.Files, downloads: c.Downloads,
		user: make([]string, c.Clients), addr: netip.IPv4Unspecified(),
	}
	for i := range r.requests.user {
		r.requests.user[i] = message.Name(i)
	}
	for i := range r.links {
		r.links[i].decoder.Max = wire.MaxFromServer
	}
	for p := range r.pairs {
		r.pairs[p].times = make([]stamps, maxRequests)
	}
	return r
}

func (r *relay) begin() {
	r.chat.begin()
	r.reset()
	r.fromDue.Reset()
	r.fromSend.Reset()
	r.inTime, r.dueFrames = 0, 0
	r.fresh, r.first = true, r.number
	if r.arrivals != nil {
		r.arrivals = again(r.arrivals, r.cfg.Seed+r.sections)
		r.nextDue = r.origin + int64(r.arrivals.Due(0))
	}
	if a, err := unix.Getsockname(r.fds[0]); err == nil {
		r.requests.addr = address(a)
	}
}

// address returns the address of a socket without its port.
func address(a unix.Sockaddr) netip.Addr {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrFrom4(a.Addr)
	case *unix.SockaddrInet6:
		return netip.AddrFrom16(a.Addr).Unmap()
	}
	return netip.IPv4Unspecified()
}

func (r *relay) offer(now int64) error {
	if err := r.chat.offer(now); err != nil {
		return err
	}
	if r.arrivals == nil {
		if r.fresh {
			r.fresh, r.health.worked = false, true
			return r.refillAll()
		}
		return nil
	}
	if r.nextDue > now || r.nextDue >= r.to {
		return nil
	}
	r.health.worked = true
	for ; r.nextDue <= now && r.nextDue < r.to; r.nextDue = r.origin + int64(r.arrivals.Due(r.number-r.first)) {
		if err := r.queueDue(int(r.number%uint64(len(r.pairs))), now); err != nil {
			return err
		}
		r.number++
	}
	for _, p := range r.dirty {
		r.links[2*p].dirty = false
		if err := r.flush(2 * p); err != nil {
			return err
		}
	}
	r.dirty = r.dirty[:0]
	return nil
}

// queueDue gives the request that is due to its asker.
func (r *relay) queueDue(p int, now int64) error {
	a, l := &r.pairs[p], &r.links[2*p]
	if a.asked-a.answers.next>>8 >= maxRequests {
		return fmt.Errorf("%w: %v after the start %s waits for %d answers; give a lower rate", ErrBackpressure, r.sinceStart(now), r.requests.user[2*p], maxRequests)
	}
	timed := r.timed(r.nextDue)
	if timed {
		r.due++
		r.dueFrames += uint64(r.requests.relayed(p, a.asked))
	}
	r.queueRequest(p, r.nextDue)
	if l.blocked { // the generator was here in time, the server was not
		a.tried = a.asked
		if timed {
			r.lags.Record(now-r.nextDue, 1)
			r.stalled++
		}
	} else if !l.dirty {
		l.dirty = true
		r.dirty = append(r.dirty, p)
	}
	return nil
}

// queueRequest queues the next request of a pair.
func (r *relay) queueRequest(p int, due int64) {
	a, l := &r.pairs[p], &r.links[2*p]
	before := len(l.out)
	l.out = r.requests.appendRequest(l.out, p, a.asked, 2*p+1)
	a.queued += uint64(len(l.out) - before)
	a.times[a.asked%maxRequests] = stamps{due: due, end: a.queued}
	r.expected += uint64(r.requests.relayed(p, a.asked))
	if r.requests.kind(p, a.asked) == refused {
		r.noticesExpected++
	}
	a.asked++
	r.asked++
	r.unsentRequests++
}

// refill lets an asker of a closed loop ask as many times as it was answered.
func (r *relay) refill(p int) {
	a := &r.pairs[p]
	for a.asked < a.answers.next>>8+uint64(r.cfg.Window) {
		r.queueRequest(p, 0)
	}
}

func (r *relay) refillAll() error {
	for p := range r.pairs {
		r.refill(p)
		if err := r.flush(2 * p); err != nil {
			return err
		}
	}
	return nil
}

// flush gives the kernel what a client has to send, until the kernel takes no more.
func (r *relay) flush(i int) error {
	l := &r.links[i]
	for !l.blocked && l.sent < len(l.out) {
		now := r.now()
		if i%2 == 0 {
			r.recordLag(i/2, now)
		}
		r.health.sends++
		n, err := r.write(i, l.out[l.sent:])
		switch {
		case err == nil:
			l.sent += n
			if i%2 == 0 {
				r.recordSent(i/2, uint64(n), now)
			}
		case err == unix.EAGAIN:
			l.blocked = true
			l.out, l.sent = l.out[:copy(l.out, l.out[l.sent:])], 0
			return r.watchWritable(i)
		case err != unix.EINTR:
			return r.writeError(i, err)
		}
	}
	if l.sent == len(l.out) {
		l.out, l.sent = l.out[:0], 0
	}
	return nil
}

// recordLag records how late the requests are that the kernel is offered now for the first time.
func (r *relay) recordLag(p int, now int64) {
	a := &r.pairs[p]
	if r.arrivals == nil {
		return
	}
	for ; a.tried < a.asked; a.tried++ {
		if due := a.times[a.tried%maxRequests].due; r.timed(due) {
			r.lags.Record(now-due, 1)
		}
	}
}

// recordSent notes what the kernel took: a request is sent with its last octet.
func (r *relay) recordSent(p int, octets uint64, now int64) {
	a := &r.pairs[p]
	a.octets += octets
	for a.taken < a.asked && a.times[a.taken%maxRequests].end <= a.octets {
		a.times[a.taken%maxRequests].sent = now
		a.taken++
		r.unsentRequests--
		if r.timed(now) {
			r.sent++
		}
	}
}

func (r *relay) writable(i int) error {
	if i >= len(r.links) {
		return r.chat.writable(i)
	}
	l := &r.links[i]
	if !l.blocked {
		return nil
	}
	l.blocked = false
	if err := r.unwatchWritable(i); err != nil {
		return err
	}
	return r.flush(i)
}

func (r *relay) served(i int, now int64) error {
	if i < len(r.links) {
		if i%2 == 0 && r.arrivals == nil && now < r.to {
			r.refill(i / 2)
		}
		if err := r.flush(i); err != nil {
			return err
		}
	}
	if r.arrivals == nil {
		return r.chat.offer(now)
	}
	return r.offer(now)
}

func (r *relay) counts() (messages, delivered, missing uint64) {
	sent, received, missing := r.chat.counts()
	return r.asked + sent, r.delivered + received, r.asked - r.answered + r.unsentRequests + missing
}

func (r *relay) unsent() uint64 { return r.unsentRequests + r.chat.unsent() }

func (r *relay) overtaken() uint64 {
	n := r.chat.overtaken()
	for i := range r.pairs {
		n += uint64(len(r.pairs[i].answers.missed) + len(r.pairs[i].arrived.missed))
	}
	return n
}

func (r *relay) notice(i int) string {
	if i < len(r.links) && r.links[i].notice != "" {
		return r.links[i].notice
	}
	return r.chat.notice(i)
}
