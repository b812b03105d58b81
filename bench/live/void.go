package live

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"chatbench/bench/record"
)

// maxNames is how many names a line lists; if there are more it has only their number.
const maxNames = 4

// noise are the reasons for void rounds that say nothing about a server: with a noisy
// neighbour they are frequent, and equally so for all arms.
var noise = []record.Reason{record.GeneratorLimited, record.Disturbed, record.Steal, record.NotDrained, record.FewSlices}

// voids counts rounds that are void because of noise.
type voids struct {
	rounds int
	by     map[record.Reason]map[string]int // by the most serious reason and the arm
}

func (v *voids) add(r record.Round) {
	if v.by == nil {
		v.by = make(map[record.Reason]map[string]int)
	}
	if v.by[r.Void[0]] == nil {
		v.by[r.Void[0]] = make(map[string]int)
	}
	v.rounds++
	v.by[r.Void[0]][r.Arm]++
}

// String is like "7 disturbed (epoll 4, thread 3), 2 generator-limited (thread 2)".
func (v *voids) String() string {
	var parts []string
	for _, reason := range noise {
		arms := v.by[reason]
		if len(arms) == 0 {
			continue
		}
		rounds, each := 0, []string(nil)
		for _, arm := range slices.Sorted(maps.Keys(arms)) {
			rounds += arms[arm]
			each = append(each, fmt.Sprintf("%s %d", arm, arms[arm]))
		}
		of := strings.Join(each, ", ")
		if len(each) > maxNames {
			of = fmt.Sprintf("%d arms", len(each))
		}
		parts = append(parts, fmt.Sprintf("%d %s (%s)", rounds, reason, of))
	}
	return strings.Join(parts, ", ")
}

// line says how many more void rounds there are since it was last called; "": none.
func (v *voids) line() string {
	n, text := v.rounds, v.String()
	*v = voids{}
	switch n {
	case 0:
		return ""
	case 1:
		return "bench: 1 more round is void: " + text
	}
	return fmt.Sprintf("bench: %d more rounds are void: %s", n, text)
}

// head is the count for a terminal.
func (v *voids) head() string {
	if v.rounds == 1 {
		return "1 round void: " + v.String()
	}
	return fmt.Sprintf("%d rounds void: %s", v.rounds, v)
}

// Void shows that a round does not count. If a server is the reason, or no reason was
// given, it is a line of its own at once. Disturbances by others on
// the machine are counted: on a terminal above the table, elsewhere in one line
// before the next look's, or at the end.
func (v *View) Void(r record.Round) {
	if !slices.Contains(noise, r.Void[0]) {
		v.print(voidText(r))
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.void.add(r); v.look != nil {
		v.draw()
	}
}

// voidText says that a round does not count, and why.
func voidText(r record.Round) string {
	var reasons []string
	for _, reason := range r.Void {
		reasons = append(reasons, string(reason))
	}
	text := fmt.Sprintf("bench: round %d of %s under %s is void: %s", r.Round, r.Arm, r.Load, strings.Join(reasons, ", "))
	if r.Error != "" {
		text += " (" + r.Error + ")"
	}
	return text
}
