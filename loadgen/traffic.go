package loadgen

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/loadgen/ledger"
	"chatbench/loadgen/message"
)

// offer sends what is due by now; in a closed loop, the first window.
func (g *generator) offer(now int64) error {
	if g.schedule == nil {
		if g.senders[0].queued == 0 {
			return g.refillAll()
		}
		return nil
	}
	if g.nextDue > now || g.nextDue >= g.to {
		return nil
	}
	g.health.worked = true
	for g.nextDue <= now && g.nextDue < g.to {
		if err := g.queue(now); err != nil {
			return err
		}
	}
	for _, s := range g.dirty {
		g.senders[s].dirty = false
		if err := g.flush(s); err != nil {
			return err
		}
	}
	g.dirty = g.dirty[:0]
	return nil
}

// queue gives the next message of the schedule to its sender.
func (g *generator) queue(now int64) error {
	i := int(g.number % uint64(len(g.senders)))
	s := &g.senders[i]
	if g.waiting >= maxBacklog || s.queued-s.taken/uint64(g.script.FrameLen()) >= g.book.Reach() {
		return fmt.Errorf("%w: %v after the start %d messages are due that it does not read; give a lower rate",
			ErrBackpressure, time.Duration(now-g.origin).Round(time.Millisecond), g.waiting)
	}
	g.book.Due(i, s.queued, g.nextDue)
	s.queued++
	g.waiting++
	timed := g.timed(g.nextDue)
	if timed {
		g.health.due++
	}
	if s.blocked { // the generator was here in time, the server was not
		s.tried = s.queued
		if timed {
			g.health.lag.Record(now-g.nextDue, 1)
			g.health.stalled++
		}
	} else if !s.dirty {
		s.dirty = true
		g.dirty = append(g.dirty, i)
	}
	g.number++
	g.nextDue = g.origin + int64(g.schedule.Due(g.number))
	return nil
}

// refill lets a sender of a closed loop send as many as have come back.
func (g *generator) refill(i int) error {
	s := &g.senders[i]
	if may := g.book.Echoed(i) + uint64(g.cfg.Window); may > s.queued {
		g.waiting += may - s.queued
		s.queued = may
		return g.flush(i)
	}
	return nil
}

func (g *generator) refillAll() error {
	for i := range g.senders {
		if err := g.refill(i); err != nil {
			return err
		}
	}
	return nil
}

// flush gives the kernel what is queued, until it takes no more. The texts are
// written anew: a backlog takes no memory.
func (g *generator) flush(i int) error {
	s := &g.senders[i]
	frame := uint64(g.script.FrameLen())
	for !s.blocked {
		first := s.taken / frame
		n := min(s.queued-first, writeSize/frame+1)
		if n == 0 {
			return nil
		}
		for k := range n {
			g.script.PutFrame(g.out[k*frame:], uint64(s.client), first+k)
		}
		now := g.now()
		g.lag(i, now)
		g.health.sends++
		took, err := unix.Write(g.clients[s.client].fd, g.out[s.taken%frame:n*frame])
		switch {
		case err == nil:
			g.took(i, uint64(took), now)
		case err == unix.EAGAIN:
			s.blocked = true
			return g.watch(unix.EPOLL_CTL_MOD, s.client, unix.EPOLLIN|unix.EPOLLOUT)
		case err != unix.EINTR:
			return g.last(s.client, err)
		}
	}
	return nil
}

// lag notes how late the messages are that the kernel is now offered for the
// first time.
func (g *generator) lag(i int, now int64) {
	s := &g.senders[i]
	if g.schedule == nil {
		return
	}
	for ; s.tried < s.queued; s.tried++ {
		if due := g.book.DueAt(i, s.tried); g.timed(due) {
			g.health.lag.Record(now-due, 1)
		}
	}
}

// took notes what the kernel took: a message is sent with its last octet.
func (g *generator) took(i int, octets uint64, now int64) {
	s := &g.senders[i]
	frame := uint64(g.script.FrameLen())
	seq := s.taken / frame
	s.taken += octets
	for ; seq < s.taken/frame; seq++ {
		g.book.Sent(i, seq, now)
		g.waiting--
		if g.timed(now) {
			g.health.sent++
		}
	}
}

func (g *generator) timed(t int64) bool { return t >= g.from && t < g.to }

// receive takes what came for one client with one recv. All that came in it
// came now: the clock is read once.
func (g *generator) receive(i int) (now int64, err error) {
	c := &g.clients[i]
	n, err := unix.Read(c.fd, g.in[g.front:])
	now = g.now()
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return now, nil
	case err != nil || n == 0:
		return now, g.lost(i, err)
	}
	g.health.recvs++
	g.health.octets += uint64(n)
	return now, g.take(i, g.front+n, now)
}

// take gives the ledger what was left over for a client and what lies in
// in[front:end].
func (g *generator) take(i, end int, now int64) error {
	c := &g.clients[i]
	start := g.front - len(c.held)
	copy(g.in[start:], c.held)
	rest, err := g.book.Receive(i, g.in[start:end], now)
	c.held = append(c.held[:0], rest...)
	switch {
	case errors.Is(err, ledger.ErrClosed):
		return g.lost(i, err)
	case errors.Is(err, ledger.ErrBehind):
		return fmt.Errorf("%w: %s is too far behind what was sent (%v after the start)", ErrBackpressure, message.Name(i), g.age(now))
	}
	return err
}

// last is what to say of a client to which nothing can be written any more:
// what the server said last is read first.
func (g *generator) last(i int, cause error) error {
	for range 1000 {
		n, err := unix.Read(g.clients[i].fd, g.in[g.front:])
		if err != nil || n == 0 {
			break
		}
		if err := g.take(i, g.front+n, g.now()); err != nil {
			return err
		}
	}
	return g.lost(i, cause)
}

// lost says that a client's connection is gone and what the server said to it.
func (g *generator) lost(i int, cause error) error {
	how := "the server closed that of"
	if cause != nil && !errors.Is(cause, ledger.ErrClosed) {
		how = fmt.Sprintf("%v, that of", cause)
	}
	said := ""
	if n := g.book.Notice(i); n != "" {
		said = fmt.Sprintf(", saying %q", n)
	}
	when := "at login"
	if g.origin > 0 {
		when = fmt.Sprintf("%v after the start", g.age(g.now()))
	}
	return fmt.Errorf("%w: %s %s %s%s", ErrDisconnected, how, message.Name(i), when, said)
}

func (g *generator) age(now int64) time.Duration {
	return time.Duration(now - g.origin).Round(time.Millisecond)
}
