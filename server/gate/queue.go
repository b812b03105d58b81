package gate

import (
	"container/list"
	"net/netip"
)

// queue holds the logins that wait for a hashing thread, and is fair to addresses:
//
//   - The addresses that wait take turns, one login each. So the only login of an address waits for
//     at most one of each other address.
//   - An address may fill the whole queue while no other waits, and half of it while others do.
//   - If the queue is full, the address with the most logins loses its newest one to a new login
//     from an address with fewer.
//
// Logins of clients that have gone stay in the queue until their turn, or until it is full. The
// caller holds the lock of the pool.
type queue struct {
	most      int // logins
	n         int
	addresses map[netip.Prefix]*list.Element // in turns
	turns     *list.List                     // of *addressQueue, the next one in front

	sweepAfter int // refusals until a full queue is searched again
}

// addressQueue is the waiting logins of one address, the oldest first. It is never empty.
type addressQueue struct {
	from netip.Prefix
	jobs []job
}

func newQueue(most int) *queue {
	return &queue{most: most, addresses: make(map[netip.Prefix]*list.Element), turns: list.New()}
}

// add adds a job, or returns why it may not. out is the jobs that it has removed from the queue,
// for which the caller has to call done.
func (q *queue) add(j job) (out []removed, err error) {
	own := 0
	if e := q.addresses[j.from]; e != nil {
		own = len(e.Value.(*addressQueue).jobs)
	}
	if len(q.addresses) > 1 && own >= max(q.most/2, 1) {
		return nil, errCrowded
	}
	if q.n >= q.most {
		out = q.sweep()
	}
	if q.n >= q.most {
		longest := q.longest()
		// If it has only one login more than j's address, the two would only be exchanged.
		if len(longest.jobs) < own+2 {
			return out, errBusy
		}
		newest := len(longest.jobs) - 1 // not the only one
		out = append(out, removed{longest.jobs[newest], errBusy})
		longest.jobs[newest] = job{}
		longest.jobs = longest.jobs[:newest]
		q.n--
	}
	e := q.addresses[j.from]
	if e == nil {
		e = q.turns.PushBack(&addressQueue{from: j.from})
		q.addresses[j.from] = e
	}
	l := e.Value.(*addressQueue)
	l.jobs = append(l.jobs, j)
	q.n++
	return out, nil
}

// removed is a job that was removed from the queue before its turn, and its result.
type removed struct {
	job job
	err error
}

// next removes and returns the job whose turn it is.
func (q *queue) next() (job, bool) {
	e := q.turns.Front()
	if e == nil {
		return job{}, false
	}
	l := e.Value.(*addressQueue)
	j := l.jobs[0]
	l.jobs[0] = job{} // it has a password, which must not stay in memory
	l.jobs = l.jobs[1:]
	q.n--
	if len(l.jobs) == 0 {
		q.drop(e)
	} else {
		q.turns.MoveToBack(e)
	}
	return j, true
}

func (q *queue) drop(e *list.Element) {
	delete(q.addresses, e.Value.(*addressQueue).from)
	q.turns.Remove(e)
}

// longest is the addressQueue with the most jobs.
func (q *queue) longest() *addressQueue {
	var most *addressQueue
	for e := q.turns.Front(); e != nil; e = e.Next() {
		if l := e.Value.(*addressQueue); most == nil || len(l.jobs) > len(most.jobs) {
			most = l
		}
	}
	return most
}

// sweep removes the jobs of clients that have gone. If it finds none it does nothing for the next
// refusals, so that refusing a login stays cheap.
func (q *queue) sweep() (out []removed) {
	if q.sweepAfter > 0 {
		q.sweepAfter--
		return nil
	}
	for e := q.turns.Front(); e != nil; {
		l, next := e.Value.(*addressQueue), e.Next()
		kept := make([]job, 0, len(l.jobs))
		for _, j := range l.jobs {
			if j.gone() {
				out = append(out, removed{j, errAbandoned})
			} else {
				kept = append(kept, j)
			}
		}
		l.jobs = kept
		if len(kept) == 0 {
			q.drop(e)
		}
		e = next
	}
	q.n -= len(out)
	if len(out) == 0 {
		q.sweepAfter = q.most / 8
	}
	return out
}
