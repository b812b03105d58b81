package spin

import (
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends/internal/readiness"
)

// poller does not wait: it reports every descriptor as ready, in turn, and the loop finds out by
// trying.
type poller struct {
	watched []readiness.Event
	index   map[int]int // of a descriptor in watched
	from    int         // where the next turn begins
}

func newPoller() (readiness.Poller, error) { return &poller{index: map[int]int{}}, nil }

func (p *poller) Add(id readiness.ID) error {
	if _, found := p.index[id.FD()]; found {
		return unix.EEXIST
	}
	p.index[id.FD()] = len(p.watched)
	p.watched = append(p.watched, readiness.Event{ID: id, Readable: true})
	return nil
}

func (p *poller) Want(id readiness.ID, read, write bool) error {
	i, found := p.index[id.FD()]
	if !found {
		return unix.ENOENT
	}
	p.watched[i].Readable, p.watched[i].Writable = read, write
	return nil
}

func (p *poller) Remove(id readiness.ID) {
	i, found := p.index[id.FD()]
	if !found {
		return
	}
	last := len(p.watched) - 1
	delete(p.index, id.FD())
	if i != last {
		p.watched[i] = p.watched[last]
		p.index[p.watched[i].ID.FD()] = i
	}
	p.watched = p.watched[:last]
}

func (p *poller) Wait(events []readiness.Event, _ time.Duration, _ bool) (int, error) {
	if p.from >= len(p.watched) {
		p.from = 0
	}
	n := copy(events, p.watched[p.from:])
	p.from += n
	return n, nil
}

func (p *poller) Close() error { return nil }
