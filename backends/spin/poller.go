package spin

import (
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends/internal/readiness"
)

// poller waits for nothing: it says of every descriptor, in turn, that it may
// be ready, and the loop finds out by trying.
type poller struct {
	watched []readiness.Event
	place   map[int]int // of a descriptor in watched
	from    int         // where the next turn begins
}

func newPoller() (readiness.Poller, error) { return &poller{place: map[int]int{}}, nil }

func (p *poller) Add(id readiness.ID) error {
	if _, found := p.place[id.FD()]; found {
		return unix.EEXIST
	}
	p.place[id.FD()] = len(p.watched)
	p.watched = append(p.watched, readiness.Event{ID: id, Readable: true})
	return nil
}

func (p *poller) Want(id readiness.ID, read, write bool) error {
	i, found := p.place[id.FD()]
	if !found {
		return unix.ENOENT
	}
	p.watched[i].Readable, p.watched[i].Writable = read, write
	return nil
}

func (p *poller) Remove(id readiness.ID) {
	i, found := p.place[id.FD()]
	if !found {
		return
	}
	last := len(p.watched) - 1
	delete(p.place, id.FD())
	if i != last {
		p.watched[i] = p.watched[last]
		p.place[p.watched[i].ID.FD()] = i
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
