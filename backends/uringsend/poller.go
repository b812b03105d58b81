package uringsend

import (
	"fmt"
	"time"

	"chatbench/backends/internal/readiness"
	"chatbench/backends/internal/ring"
)

// sendsAtOnce is how many sends one io_uring_enter does at most. The call keeps the processor
// (the runtime's P) and nothing can interrupt it. A send of a packet takes some 5 µs, so this is
// less than a millisecond, and the cost of the call is shared by enough.
const sendsAtOnce = 128

// poller is epoll with a ring for what is written.
type poller struct {
	*readiness.Epoll
	ring        *ring.Ring
	completions [sendsAtOnce]ring.CQE
	failed      error // of the ring, for ever
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

// Wait is epoll's, and fails when the ring has.
func (p *poller) Wait(events []readiness.Event, timeout time.Duration, brief bool) (int, error) {
	if p.failed != nil {
		return 0, p.failed
	}
	return p.Epoll.Wait(events, timeout, brief)
}

// WriteAll is for readiness.BatchWriter.
func (p *poller) WriteAll(writes []readiness.Write) {
	for len(writes) > 0 && p.failed == nil {
		n := min(len(writes), sendsAtOnce)
		p.failed = p.send(writes[:n])
		writes = writes[n:]
	}
}

// send does at most sendsAtOnce writes in one system call.
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
			writes[done.User].Err = errno
		} else {
			writes[done.User].N = int(done.Res)
		}
	}
	if n != len(writes) {
		return fmt.Errorf("uringsend: of %d sends that must not wait %d are complete", len(writes), n)
	}
	return nil
}

// Close gives up epoll and the ring.
func (p *poller) Close() error {
	p.ring.Close()
	return p.Epoll.Close()
}
