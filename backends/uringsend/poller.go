package uringsend

import (
	"fmt"
	"time"

	"chatbench/backends/internal/readiness"
	"chatbench/backends/internal/ring"
)

// sendsAtOnce is how many sends one io_uring_enter does at most. The call keeps its processor (the
// runtime's P) and cannot be interrupted. A send of one packet takes some 5 µs, so the call takes less
// than a millisecond, and its cost is shared by enough sends.
const sendsAtOnce = 128

// poller is epoll with a ring for the writes.
type poller struct {
	*readiness.Epoll
	ring        *ring.Ring
	completions [sendsAtOnce]ring.CQE
	failed      error // of the ring; it stays
}

func newPoller() (readiness.Poller, error) {
	epoll, err := readiness.OpenEpoll()
	if err != nil {
		return nil, err
	}
	r, err := ring.NewUnbound(sendsAtOnce, sendsAtOnce)
	if err != nil {
		_ = epoll.Close()
		return nil, err
	}
	return &poller{Epoll: epoll, ring: r}, nil
}

// Wait is that of epoll, but fails once the ring has failed.
func (p *poller) Wait(events []readiness.Event, timeout time.Duration, brief bool) (int, error) {
	if p.failed != nil {
		return 0, p.failed
	}
	return p.Epoll.Wait(events, timeout, brief)
}

// WriteAll implements readiness.BatchWriter.
func (p *poller) WriteAll(writes []readiness.Write) {
	for len(writes) > 0 && p.failed == nil {
		n := min(len(writes), sendsAtOnce)
		p.failed = p.send(writes[:n])
		writes = writes[n:]
	}
}

// send does up to sendsAtOnce writes in one system call.
func (p *poller) send(writes []readiness.Write) error {
	for i := range writes {
		p.ring.SendNow(writes[i].FD, writes[i].Data, uint64(i))
	}
	if err := p.ring.Submit(); err != nil {
		return err
	}
	n := p.ring.Reap(p.completions[:])
	for i := range p.completions[:n] {
		done := &p.completions[i]
		if errno := done.Err(); errno != 0 {
			writes[done.UserData].Err = errno
		} else {
			writes[done.UserData].N = int(done.Res)
		}
	}
	if n != len(writes) {
		return fmt.Errorf("uringsend: %d of %d sends are not complete, and none may wait", len(writes)-n, len(writes))
	}
	return nil
}

// Close closes epoll and the ring.
func (p *poller) Close() error {
	p.ring.Close()
	return p.Epoll.Close()
}
