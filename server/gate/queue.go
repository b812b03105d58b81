package gate

import (
	"container/list"
	"net/netip"
)

// queue holds the logins that wait for a hashing thread, and is fair to
// addresses:
//
//   - The addresses that wait have their turns one after another, one login each.
//     Who has one login in the queue waits for at most one of each other address.
//   - An address may fill the whole queue while it is the only one that waits, and
//     half of it while others wait too.
//   - In a full queue, the address with the most logins loses its newest one to a
//     newcomer from an address with fewer.
//
// Logins of clients that have gone stay in the queue until their turn, or until
// it is full. The caller holds the lock of the pool.
type queue struct {
	most  int // logins
	n     int
	lines map[netip.Prefix]*list.Element // in turns
	turns *list.List                     // of *line, the next one in front

	sweepAfter int // refusals until a full queue is searched again
}

// line is the logins of one address that wait, the oldest first. There is none
// without logins.
type line struct {
	from netip.Prefix
	jobs []job
}

func newQueue(most int) *queue {
	return &queue{most: most, lines: make(map[netip.Prefix]*list.Element), turns: list.New()}
}

// add puts a job in, or says why it may not. out are jobs that have left the
// queue instead, which the caller has to answer.
func (q *queue) add(j job) (out []removed, err error) {
	own := 0
	if e := q.lines[j.from]; e != nil {
		own = len(e.Value.(*line).jobs)
	}
	if len(q.lines) > 1 && own >= max(q.most/2, 1) {
		return nil, errCrowded
	}
	if q.n >= q.most {
		out = q.sweep()
	}
	if q.n >= q.most {
		greedy := q.greediest()
		// One that has only one login more would just change places with j.
		if len(greedy.jobs) < own+2 {
			return out, errBusy
		}
		newest := len(greedy.jobs) - 1 // not the only one
		out = append(out, removed{greedy.jobs[newest], errBusy})
		greedy.jobs[newest] = job{}
		greedy.jobs = greedy.jobs[:newest]
		q.n--
	}
	e := q.lines[j.from]
	if e == nil {
		e = q.turns.PushBack(&line{from: j.from})
		q.lines[j.from] = e
	}
	l := e.Value.(*line)
	l.jobs = append(l.jobs, j)
	q.n++
	return out, nil
}

// removed is a job that left the queue before its turn, and its answer.
type removed struct {
	job job
	err error
}

// next takes out the job whose turn it is.
func (q *queue) next() (job, bool) {
	e := q.turns.Front()
	if e == nil {
		return job{}, false
	}
	l := e.Value.(*line)
	j := l.jobs[0]
	l.jobs[0] = job{} // it holds a password, which nothing should keep alive
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
	delete(q.lines, e.Value.(*line).from)
	q.turns.Remove(e)
}

// greediest is the line with the most jobs.
func (q *queue) greediest() *line {
	var most *line
	for e := q.turns.Front(); e != nil; e = e.Next() {
		if l := e.Value.(*line); most == nil || len(l.jobs) > len(most.jobs) {
			most = l
		}
	}
	return most
}

// sweep takes out the jobs of clients that have gone. After a search that finds
// none it rests for a while, so that a login that is refused stays cheap.
func (q *queue) sweep() (out []removed) {
	if q.sweepAfter > 0 {
		q.sweepAfter--
		return nil
	}
	for e := q.turns.Front(); e != nil; {
		l, next := e.Value.(*line), e.Next()
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
