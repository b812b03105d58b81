package report

import (
	"fmt"
	"slices"
	"strings"

	"chatbench/bench/record"
	"chatbench/bench/stats"
)

// checkArrived is the first check, and the first thing to know of a run.
const checkArrived = "every message arrived"

// foreignMax is how much of the server's CPUs other processes may use before a check
// fails. The kernel's own threads, and interrupts if they cannot be distinguished from
// other tasks, use 2 to 6 % under load.
const foreignMax = 0.10

// tally is the totals of the rounds of a run, without those of the null server.
type tally struct {
	rounds, void int
	reasons      map[record.Reason]int // rounds that are void for each
	broken       int                   // rounds that ended in another breach of contract than a wrong delivery
	traffic      record.Traffic
}

func tallyOf(run *record.Run) tally {
	c := tally{reasons: make(map[record.Reason]int)}
	t := &c.traffic
	for i := range run.Rounds {
		r := &run.Rounds[i]
		if r.Arm == record.NullArm {
			continue
		}
		c.rounds++
		t.Checked += r.Traffic.Checked
		t.Clients += r.Traffic.Clients
		t.Lost += r.Traffic.Lost
		t.Duplicated += r.Traffic.Duplicated
		t.Reordered += r.Traffic.Reordered
		t.Altered += r.Traffic.Altered
		t.OtherOrder += r.Traffic.OtherOrder
		if !r.Counts() {
			c.void++
		}
		for _, reason := range r.Void {
			c.reasons[reason]++
		}
		if slices.ContainsFunc(r.Void, func(reason record.Reason) bool { return slices.Contains(breaks, reason) }) {
			c.broken++
		}
	}
	return c
}

// breaks are the ways in which a server breaks its contract without a wrong delivery. Such a round
// breaks off, and its ledger is not counted.
var breaks = []record.Reason{record.Disconnected, record.TargetMissed, record.ServerDied}

// correct says whether the servers did nothing wrong: the first line of the
// summary, of a list, of the page and of a comparison of runs. It is false if
// a server broke its contract in any round (the exit status is 3 then), or if
// nothing was checked. Under silent loads all clients must have logged in.
func (c tally) correct(silent bool) bool {
	if silent {
		return !violated(c.reasons) && c.disconnects() == 0 && c.traffic.Clients > 0
	}
	return !violated(c.reasons) && c.traffic.Checked > 0
}

// disconnects is in how many rounds clients could not log in, or lost their connection.
func (c tally) disconnects() int {
	return c.reasons[record.Disconnected] + c.reasons[record.ServerDied] + c.reasons[record.NotStarted] + c.reasons[record.LoadFailed]
}

// arrived is the detail of the first check.
func (c tally) arrived(silent bool) string {
	t := c.traffic
	if silent {
		return fmt.Sprintf("%s logins, %d rounds in which somebody did not, %d times something came that nobody said", count(float64(t.Clients)), c.disconnects(), t.Altered)
	}
	text := fmt.Sprintf("%s deliveries checked, %d lost, %d twice, %d out of order, %d altered", count(float64(t.Checked)), t.Lost, t.Duplicated, t.Reordered+t.OtherOrder, t.Altered)
	if c.broken > 0 {
		text += fmt.Sprintf(", and in %d of %d rounds the server died, cut a client or did not keep up", c.broken, c.rounds)
	}
	return text
}

// check computes checks.json: what must hold for the figures to be trusted.
func check(run *record.Run, s *Summary, sums map[string]string) record.Checks {
	t := tallyOf(run)
	c := record.Checks{Schema: run.Manifest.Schema, Rounds: t.rounds, VoidRounds: t.void, Void: t.reasons, Files: sums}
	add := func(arm, name string, ok bool, format string, args ...any) {
		c.Checks = append(c.Checks, record.Check{Name: name, Arm: arm, OK: ok, Detail: fmt.Sprintf(format, args...)})
	}
	first, silent := checkArrived, silent(run.Manifest.Loads)
	if silent {
		first = "everybody got in and stayed"
	}
	add("", first, t.correct(silent), "%s", t.arrived(silent))
	add("", "every round counts", c.VoidRounds == 0, "%d of %d void%s", c.VoidRounds, c.Rounds, voids(c.Void))
	name, ok, detail := enough(run, s, c.Rounds)
	add("", name, ok, "%s", detail)
	if m := &run.Manifest; len(m.Agents) > 0 {
		add("", "CPUs of their own", false, "not known: server on %v, generator on %s", m.ServersCPUs(), generatorText(m))
	} else {
		add("", "CPUs of their own", !m.AnyShares(), "server on %v, generator on %v", m.ServerCPUs, m.GeneratorCPUs)
	}
	for i := range s.Loads {
		l := &s.Loads[i]
		pairs := stats.Pairs
		if l.looks {
			pairs = stats.PairsAtLooks
		}
		checkLoad(l, pairs(l.comparisons(s.Reference)), add)
		l.agrees = l.agree(run)
		for _, a := range l.agrees {
			add("", l.Name+": "+a.Name, a.OK, "%s; %s", a.Says, a.Detail)
		}
		l.checkPrice(run.Env, add)
	}
	return c
}

func checkLoad(l *LoadSummary, pairs int, add func(string, string, bool, string, ...any)) {
	if l.Closed() {
		add("", l.Name+": the generator's ceiling is known", l.Ceiling > 0, "%s deliveries/s against the null server", unknown(l.Ceiling))
	}
	for _, a := range l.Arms {
		add(a.Name, l.Name+": enough rounds", a.Rounds >= pairs, "%d count; to call a difference one takes %d", a.Rounds, pairs)
		if f, ok := a.Figures[keyForeign]; ok {
			add(a.Name, l.Name+": alone on its CPUs", f.Median <= foreignMax, "others took %s %% of them", percent(f.Median))
		}
	}
	if l.Sliced() {
		add("", l.Name+": frozen servers took no CPU", l.frozen == 0, "%v in all", l.frozen)
	}
	again := l.again()
	if again == nil {
		return
	}
	for _, m := range metrics {
		if v := again.Figures[m.key].Versus; v != nil && !v.full() {
			add("", l.Name+": A/A in "+m.title, v.Verdict != fails, "%s", ratioText(v))
		}
	}
}

// countingMax is the share of an arm's CPU per delivery that counting may cost
// before a check fails.
const countingMax = 0.02

// checkPrice checks that counting costs little of what is counted. Nothing is
// subtracted: all arms are counted, each by its own number of calls and switches.
func (l *LoadSummary) checkPrice(env record.Env, add func(string, string, bool, string, ...any)) {
	if env.CallPrice == nil && env.SwitchPrice == nil {
		return
	}
	for _, a := range l.Arms {
		cpu, ok := a.Figures[keyCPU]
		if !ok || cpu.Median <= 0 {
			continue
		}
		ns := 0.0
		if env.CallPrice != nil {
			ns += max(0, *env.CallPrice) * a.Figures[keySyscalls].Median
		}
		if env.SwitchPrice != nil {
			ns += max(0, *env.SwitchPrice) * a.Figures[keySwitches].Median
		}
		share := ns / cpu.Median
		add(a.Name, l.Name+": counting costs little", share <= countingMax, "it is some %s %% of CPU per delivery", plain(100*share))
	}
}

// comparisons is the size of the family of primary figures: each of them for
// each arm that is compared in it.
func (l *LoadSummary) comparisons(reference string) (n int) {
	for _, a := range l.Arms {
		if a.Name == reference || a.Again {
			continue
		}
		for _, key := range primary(l.Load) {
			if why, _ := l.notComparable(key, &a, reference); why == "" {
				n++
			}
		}
	}
	return n
}

// unknown formats a rate, which may not be known.
func unknown(rate float64) string {
	if rate == 0 {
		return "an unknown number of"
	}
	return count(rate)
}

// Violated says whether a server broke its contract in any round.
func (s *Summary) Violated() bool { return violated(s.Checks.Void) }

func violated(by map[record.Reason]int) bool {
	for reason, n := range by {
		if n > 0 && reason.Violation() {
			return true
		}
	}
	return false
}

// voids lists reasons and how often each occurred: ": 2 steal, 1 lost".
func voids(by map[record.Reason]int) string {
	var parts []string
	for _, reason := range record.Reasons {
		if n := by[reason]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, reason))
		}
	}
	if parts == nil {
		return ""
	}
	return ": " + strings.Join(parts, ", ")
}

// ratioText formats a ratio with its interval: "0.81 (0.78–0.84)". If there are
// too few rounds for an interval, there is none.
func ratioText(v *Versus) string {
	if v.Low == 0 {
		return digits(v.Ratio)
	}
	return fmt.Sprintf("%s (%s–%s)", digits(v.Ratio), digits(v.Low), digits(v.High))
}

// digits formats a ratio with as many digits as it needs.
func digits(ratio float64) string {
	switch {
	case ratio >= 100:
		return fmt.Sprintf("%.0f", ratio)
	case ratio >= 10:
		return fmt.Sprintf("%.1f", ratio)
	case ratio >= 0.5:
		return fmt.Sprintf("%.2f", ratio)
	case ratio >= 0.01:
		return fmt.Sprintf("%.3f", ratio)
	}
	return fmt.Sprintf("%.2g", ratio)
}

// reason says why there is neither a difference nor a tie: "few rounds (about 3
// more)"; "" if there is one.
func (v *Versus) reason() string {
	if v.MoreRounds > 0 {
		return fmt.Sprintf("%s (about %d more)", v.Reason, v.MoreRounds)
	}
	return string(v.Reason)
}

// size formats a difference: "7 %", "2.5 %".
func (f Finds) size() string {
	if f.Difference < 0.1 {
		return fmt.Sprintf("%.1f %%", 100*f.Difference)
	}
	return fmt.Sprintf("%.0f %%", 100*f.Difference)
}
