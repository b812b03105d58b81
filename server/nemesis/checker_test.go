package nemesis

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The checker holds what clients have heard against what a room promises. It knows no
// server and no network: it is given a history when all is over, or in between.
//
// All lists of what clients heard are put together into one order, in which each line
// stands behind those that anybody heard before it. Each client has to have heard a piece of
// that order without a hole, from where it came in to where it left.

// line is something that was said: by whom, a stay of the history, and which of its lines,
// counted from 0.
type line struct{ stay, number int }

// text is what is said.
func (l line) text() string { return fmt.Sprintf("%d %d", l.stay, l.number) }

// stay is a client's time in the room, from a login to the end of its connection.
type stay struct {
	name  string
	from  time.Time   // when it was let in, or later
	sent  []time.Time // when it said each of its lines, or earlier
	heard []line      // in this order, its own among them
	in    bool        // it is still in the room, all is quiet, and it was given the time to hear all
	bye   bool        // it has left in order, all is quiet, and its server was there to publish what it said
}

// history is the stays of a test.
type history []stay

// verdict is what is wrong with a history.
type verdict struct {
	said         int // lines
	acknowledged int // of them, heard by who said them
	lost         int // times that a client did not hear a line that it should have
	twice        int // times that a client heard a line again
	disordered   int // times that a client heard a line in another order than others, or than it was said
	details      []string
}

func (v *verdict) find(count *int, format string, args ...any) {
	*count++
	const most = 10
	if len(v.details) < most {
		v.details = append(v.details, fmt.Sprintf(format, args...))
	}
}

func (v *verdict) clean() bool { return v.lost+v.twice+v.disordered == 0 }

// judge judges a history.
func (h history) judge() (v verdict) {
	heard := make([][]line, len(h))
	for i := range h {
		heard[i] = h.once(i, &v)
		v.said += len(h[i].sent)
	}
	all := h.merge(heard)
	at := make(map[line]int, len(all))
	for k, l := range all {
		at[l] = k
	}
	for i := range h {
		h.hold(i, heard[i], all, at, &v)
		h.own(i, at, &v)
	}
	return v
}

// once is what a stay has heard, without what it heard again.
func (h history) once(i int, v *verdict) (list []line) {
	seen := make(map[line]bool, len(h[i].heard))
	for _, l := range h[i].heard {
		if seen[l] {
			v.find(&v.twice, "%s heard line %d of %s twice", h[i].name, l.number, h[l.stay].name)
			continue
		}
		seen[l] = true
		list = append(list, l)
		if l.stay == i {
			v.acknowledged++
		}
	}
	return list
}

// merge puts what all have heard into one order. Of lines of which nobody heard both, those
// said first come first. If there is no one order, it is broken where the earliest line is.
func (h history) merge(heard [][]line) (all []line) {
	after := map[line][]line{}
	before := map[line]int{} // lines that have to stand before one, and do not yet
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
	latestFirst := func(a, b line) int { return h[b.stay].sent[b.number].Compare(h[a.stay].sent[a.number]) }
	var ready []line // the last is the next
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

// hold holds what one stay has heard against the order of all.
func (h history) hold(i int, heard, all []line, at map[line]int, v *verdict) {
	s := h[i]
	first, last := len(all), -1
	has := make([]bool, len(all))
	for k, l := range heard {
		has[at[l]] = true
		first, last = min(first, at[l]), max(last, at[l])
		if k > 0 && at[l] < at[heard[k-1]] {
			v.find(&v.disordered, "%s heard line %d of %s later than others did", s.name, l.number, h[l.stay].name)
		}
	}
	for k, l := range all {
		due := k >= first || h[l.stay].sent[l.number].After(s.from)
		if due && (k <= last || s.in) && !has[k] {
			v.find(&v.lost, "%s did not hear line %d of %s", s.name, l.number, h[l.stay].name)
		}
	}
}

// own looks at the lines of one stay: whether they stand in the order in which it said them,
// and none is left out.
func (h history) own(i int, at map[line]int, v *verdict) {
	s := h[i]
	due := len(s.sent)
	if !s.in && !s.bye { // what it said last may have got nowhere
		for due > 0 {
			if _, heard := at[line{i, due - 1}]; heard {
				break
			}
			due--
		}
	}
	before := -1
	for n := range due {
		k, heard := at[line{i, n}]
		switch {
		case !heard:
			v.find(&v.lost, "nobody heard line %d of %s", n, s.name)
		case k < before:
			v.find(&v.disordered, "line %d of %s was heard before one that it said earlier", n, s.name)
		default:
			before = k
		}
	}
}

// wrongNames says what is wrong with the names in the room: nothing, if those who are in it
// have each one of their own, and each server names all of them and nobody else.
func wrongNames(in []string, told map[string][]string) (wrong []string) {
	in = slices.Sorted(slices.Values(in))
	for i := 1; i < len(in); i++ {
		if in[i] == in[i-1] {
			wrong = append(wrong, in[i]+" is in the room twice")
		}
	}
	for server, names := range told {
		names = slices.Sorted(slices.Values(names))
		if !slices.Equal(names, in) {
			wrong = append(wrong, fmt.Sprintf("%s names %s, in the room are %s", server, strings.Join(names, " "), strings.Join(in, " ")))
		}
	}
	slices.Sort(wrong)
	return wrong
}
