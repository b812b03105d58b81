package nemesis

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// sessionCase is a session as the tests of the checker write it.
type sessionCase struct {
	from     int    // when it began, in seconds
	received string // the lines that it received
	in       bool   // it is still in the room
	closed   bool   // it has left with Close
}

// newHistory makes a history in which lines are said in this order, one a second: "a0" is the
// first line of session a.
func newHistory(t *testing.T, said string, stays ...sessionCase) (h history) {
	start := time.Unix(1e9, 0)
	second := func(n int) time.Time { return start.Add(time.Duration(n) * time.Second) }
	parse := func(text string) (lines []line) {
		for word := range strings.FieldsSeq(text) {
			var who rune
			var number int
			if _, err := fmt.Sscanf(word, "%c%d", &who, &number); err != nil {
				t.Fatal(err)
			}
			lines = append(lines, line{int(who - 'a'), number})
		}
		return lines
	}
	for i, s := range stays {
		h = append(h, sessionRecord{name: string(rune('a' + i)), from: second(s.from), received: parse(s.received), in: s.in, closed: s.closed})
	}
	for k, l := range parse(said) {
		h[l.session].sent = append(h[l.session].sent, second(k+1))
	}
	return h
}

// The checker finds each kind of violation, and nothing if there is none.
func TestChecker(t *testing.T) {
	type found struct{ lost, twice, disordered int }
	for _, c := range []struct {
		name  string
		said  string
		stays []sessionCase
		want  found
	}{
		{"all hear all", "a0 b0 a1 b1", []sessionCase{{0, "a0 b0 a1 b1", true, false}, {0, "a0 b0 a1 b1", true, false}}, found{}},
		{"another order than it was said in", "a0 b0 a1 b1", []sessionCase{{0, "b0 b1 a0 a1", true, false}, {0, "b0 b1 a0 a1", true, false}}, found{}},
		{"one comes later", "a0 b0 a1", []sessionCase{{0, "a0 b0 a1", true, false}, {1, "b0 a1", true, false}}, found{}},
		{"one comes later, and hears what was on its way", "a0 a1", []sessionCase{{0, "a0 a1", true, false}, {2, "a1", true, false}}, found{}},
		{"one leaves", "a0 b0 a1", []sessionCase{{0, "a0 b0 a1", true, false}, {0, "a0 b0", false, false}}, found{}},
		{"one leaves before its line is heard", "a0 b0 a1", []sessionCase{{0, "a0 a1", true, false}, {0, "a0", false, false}}, found{}},
		{"one leaves before it hears its own line", "a0 b0 a1", []sessionCase{{0, "a0 b0 a1", true, false}, {0, "a0", false, false}}, found{}},
		{"nobody is there all the time", "a0 b0 a1 b1", []sessionCase{{0, "a0 b0", false, false}, {2, "b1", true, false}}, found{}},
		{"nobody says anything", "", []sessionCase{{0, "", true, false}, {0, "", false, false}}, found{}},

		{"one misses a line", "a0 a1 a2", []sessionCase{{0, "a0 a1 a2", true, false}, {0, "a0 a2", true, false}}, found{lost: 1}},
		{"one misses two", "a0 a1 a2 a3", []sessionCase{{0, "a0 a1 a2 a3", true, false}, {0, "a0 a3", true, false}}, found{lost: 2}},
		{"one misses the last", "a0 a1", []sessionCase{{0, "a0 a1", true, false}, {0, "a0", true, false}}, found{lost: 1}},
		{"one misses the first", "a0 a1", []sessionCase{{0, "a0 a1", true, false}, {0, "a1", true, false}}, found{lost: 1}},
		{"one hears nothing", "a0 a1", []sessionCase{{0, "a0 a1", true, false}, {0, "", true, false}}, found{lost: 2}},
		{"one who left has missed a line", "a0 a1 a2", []sessionCase{{0, "a0 a1 a2", true, false}, {0, "a0 a2", false, false}}, found{lost: 1}},
		{"one who stayed is not heard", "a0 b0 b1", []sessionCase{{0, "a0 b0", true, false}, {0, "a0 b0", true, false}}, found{lost: 1}},
		{"one who left in order is not heard to the end", "a0 b0 b1", []sessionCase{{0, "a0 b0", true, false}, {0, "a0 b0", false, true}}, found{lost: 1}},
		{"one who left in order is heard to the end", "a0 b0 b1", []sessionCase{{0, "a0 b0 b1", true, false}, {0, "a0 b0", false, true}}, found{}},
		{"one who left is heard with a hole", "a0 b0 b1", []sessionCase{{0, "a0 b1", true, false}, {0, "a0", false, false}}, found{lost: 1}},

		{"one hears a line twice", "a0 a1", []sessionCase{{0, "a0 a0 a1", true, false}, {0, "a0 a1", true, false}}, found{twice: 1}},
		{"one hears a line again later", "a0 a1 a2", []sessionCase{{0, "a0 a1 a2 a0", true, false}, {0, "a0 a1 a2", true, false}}, found{twice: 1}},
		{"all hear a line twice", "a0 a1", []sessionCase{{0, "a0 a1 a0", true, false}, {0, "a0 a1 a0", true, false}}, found{twice: 2}},

		{"two hear two orders", "a0 b0 a1 b1", []sessionCase{{0, "a0 b0 a1 b1", true, false}, {0, "b0 a0 a1 b1", true, false}}, found{disordered: 1}},
		{"one client's lines change their order", "a0 a1 b0", []sessionCase{{0, "a1 a0 b0", true, false}, {0, "a1 a0 b0", true, false}}, found{disordered: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := newHistory(t, c.said, c.stays...).check()
			if got := (found{v.lost, v.twice, v.disordered}); got != c.want {
				t.Errorf("found %+v, want %+v: %q", got, c.want, v.details)
			}
			if v.clean() != (c.want == found{}) || v.clean() != (len(v.details) == 0) {
				t.Errorf("clean: %v, %q", v.clean(), v.details)
			}
			if n := len(strings.Fields(c.said)); v.said != n {
				t.Errorf("%d lines were said, want %d", v.said, n)
			}
		})
	}
	v := newHistory(t, "a0 b0 b1", sessionCase{0, "a0 b0 b1", true, false}, sessionCase{0, "a0 b0", false, false}).check()
	if v.acknowledged != 2 {
		t.Errorf("%d lines are acknowledged, want 2", v.acknowledged)
	}
}

// Names are wrong if one is in the room twice, or if a server lists other names than there are.
func TestWrongNames(t *testing.T) {
	for _, c := range []struct {
		in   string
		a, b string
		want int
	}{
		{"ann bob", "ann bob", "bob ann", 0},
		{"", "", "", 0},
		{"ann bob", "ann", "ann bob", 1},
		{"ann", "ann bob", "ann bob", 2},
		{"ann ann", "ann ann", "ann ann", 1},
		{"ann", "", "ann", 1},
	} {
		wrong := wrongNames(strings.Fields(c.in), map[string][]string{"a": strings.Fields(c.a), "b": strings.Fields(c.b)})
		if len(wrong) != c.want {
			t.Errorf("in the room %q, listed %q and %q: %q, want %d", c.in, c.a, c.b, wrong, c.want)
		}
	}
}
