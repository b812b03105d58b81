package nemesis

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The checker compares what clients have received with what a room promises. It knows no
// server and no network: it is given a history, at the end of a test or during it.
//
// It merges the lists of lines that the clients received into one order, in which each line
// comes after those that any client received before it. Each client must have received a
// contiguous part of that order, from where it logged in to where it left.

// line identifies a line that was said: the session in the history, and the number of the line
// in that session, from 0.
type line struct{ session, number int }

// text is the text of the line.
func (l line) text() string { return fmt.Sprintf("%d %d", l.session, l.number) }

// sessionRecord is a session in a history: from a login to the end of the connection.
type sessionRecord struct {
	name     string
	from     time.Time   // when it was let in, or later
	sent     []time.Time // when it said each of its lines, or earlier
	received []line      // the lines that it received, in order, including its own
	in       bool        // it is still in the room, nobody talks any more, and it had time to receive all lines
	closed   bool        // it left with Close, nobody talks any more, and its server did not die before it published its lines
}

// history is the sessions of a test.
type history []sessionRecord

// verdict is the result of the checker.
type verdict struct {
	said         int // lines
	acknowledged int // lines that the client that said them has received
	lost         int // lines that a client should have received and did not
	twice        int // lines that a client received again
	disordered   int // lines that a client received in another order than others, or than they were said
	details      []string
}

// add counts a violation, and keeps the details of the first ten.
func (v *verdict) add(count *int, format string, args ...any) {
	*count++
	const most = 10
	if len(v.details) < most {
		v.details = append(v.details, fmt.Sprintf(format, args...))
	}
}

func (v *verdict) clean() bool { return v.lost+v.twice+v.disordered == 0 }

// check checks a history.
func (h history) check() (v verdict) {
	received := make([][]line, len(h))
	for i := range h {
		received[i] = h.once(i, &v)
		v.said += len(h[i].sent)
	}
	all := h.merge(received)
	at := make(map[line]int, len(all))
	for k, l := range all {
		at[l] = k
	}
	for i := range h {
		h.checkReceived(i, received[i], all, at, &v)
		h.checkOwn(i, at, &v)
	}
	return v
}

// once is the lines that a session has received, without duplicates, which are counted.
func (h history) once(i int, v *verdict) (list []line) {
	seen := make(map[line]bool, len(h[i].received))
	for _, l := range h[i].received {
		if seen[l] {
			v.add(&v.twice, "%s heard line %d of %s twice", h[i].name, l.number, h[l.session].name)
			continue
		}
		seen[l] = true
		list = append(list, l)
		if l.session == i {
			v.acknowledged++
		}
	}
	return list
}

// merge merges the lines that all sessions received into one order. If no client has received
// both of two lines, the one said first comes first. If the orders contradict one another, merge
// continues with the earliest line.
func (h history) merge(heard [][]line) (all []line) {
	after := map[line][]line{}
	before := map[line]int{} // how many lines have to come before a line, and are not in all yet
	for _, list := range heard {
		for k, l := range list {
			if _, known := before[l]; !known {
				before[l] = 0
			}
			if k > 0 && !slices.Contains(after[list[k-1]], l) {
				after[list[k-1]] = append(after[list[k-1]], l)
				before[l]++
			}
		}
	}
	latestFirst := func(a, b line) int { return h[b.session].sent[b.number].Compare(h[a.session].sent[a.number]) }
	var ready []line // the last one is the next
	for l, n := range before {
		if n == 0 {
			ready = append(ready, l)
		}
	}
	slices.SortFunc(ready, latestFirst)
	for len(before) > 0 {
		if len(ready) == 0 {
			var left []line
			for l := range before {
				left = append(left, l)
			}
			ready = append(ready, slices.MaxFunc(left, latestFirst))
		}
		next := ready[len(ready)-1]
		ready = ready[:len(ready)-1]
		delete(before, next)
		all = append(all, next)
		for _, l := range after[next] {
			if n, waits := before[l]; waits {
				if before[l] = n - 1; n == 1 {
					ready = append(ready, l)
				}
			}
		}
	}
	return all
}

// checkReceived compares the lines that one session received with the merged order.
func (h history) checkReceived(i int, heard, all []line, at map[line]int, v *verdict) {
	s := h[i]
	first, last := len(all), -1
	has := make([]bool, len(all))
	for k, l := range heard {
		has[at[l]] = true
		first, last = min(first, at[l]), max(last, at[l])
		if k > 0 && at[l] < at[heard[k-1]] {
			v.add(&v.disordered, "%s heard line %d of %s later than others did", s.name, l.number, h[l.session].name)
		}
	}
	for k, l := range all {
		due := k >= first || h[l.session].sent[l.number].After(s.from)
		if due && (k <= last || s.in) && !has[k] {
			v.add(&v.lost, "%s did not hear line %d of %s", s.name, l.number, h[l.session].name)
		}
	}
}

// checkOwn checks the lines that one session said: whether others received all of them, in the
// order in which it said them.
func (h history) checkOwn(i int, at map[line]int, v *verdict) {
	s := h[i]
	due := len(s.sent)
	if !s.in && !s.closed { // its last lines may not have reached its server
		for due > 0 {
			if _, heard := at[line{i, due - 1}]; heard {
				break
			}
			due--
		}
	}
	before := -1
	for n := range due {
		k, received := at[line{i, n}]
		switch {
		case !received:
			v.add(&v.lost, "nobody heard line %d of %s", n, s.name)
		case k < before:
			v.add(&v.disordered, "line %d of %s was heard before one that it said earlier", n, s.name)
		default:
			before = k
		}
	}
}

// wrongNames lists what is wrong with the names in the room: a name that is in it twice, and a
// server that does not list exactly the names in the room.
func wrongNames(in []string, listed map[string][]string) (wrong []string) {
	in = slices.Sorted(slices.Values(in))
	for i := 1; i < len(in); i++ {
		if in[i] == in[i-1] {
			wrong = append(wrong, in[i]+" is in the room twice")
		}
	}
	for server, names := range listed {
		names = slices.Sorted(slices.Values(names))
		if !slices.Equal(names, in) {
			wrong = append(wrong, fmt.Sprintf("%s lists %s, in the room are %s", server, strings.Join(names, " "), strings.Join(in, " ")))
		}
	}
	slices.Sort(wrong)
	return wrong
}
