package report

import (
	"fmt"
	"strings"

	"chatbench/bench/record"
	"chatbench/bench/stats"
)

// checkArrived is the first check, and the first thing to know of a run.
const checkArrived = "every message arrived"

// foreignMax is how much of the server's CPUs others may take before it is
// said. The kernel's own threads, and interrupts where they cannot be told from
// others, come to 2 to 6 % under load.
const foreignMax = 0.10

// check makes checks.json: what must hold for the figures to be believed.
func check(run *record.Run, s *Summary, sums map[string]string) record.Checks {
	c := record.Checks{Schema: run.Manifest.Schema, Void: make(map[record.Reason]int), Files: sums}
	var t record.Traffic
	for i := range run.Rounds {
		r := &run.Rounds[i]
		if r.Arm == record.NullArm {
			continue
		}
		c.Rounds++
		t.Checked += r.Traffic.Checked
		t.Clients += r.Traffic.Clients
		t.Lost += r.Traffic.Lost
		t.Duplicated += r.Traffic.Duplicated
		t.Reordered += r.Traffic.Reordered
		t.Altered += r.Traffic.Altered
		t.OtherOrder += r.Traffic.OtherOrder
		if !r.Counts() {
			c.VoidRounds++
		}
		for _, reason := range r.Void {
			c.Void[reason]++
		}
	}
	add := func(arm, name string, ok bool, format string, args ...any) {
		c.Checks = append(c.Checks, record.Check{Name: name, Arm: arm, OK: ok, Detail: fmt.Sprintf(format, args...)})
	}
	if s.silent() {
		cut := c.Void[record.Disconnected] + c.Void[record.ServerDied] + c.Void[record.NotStarted] + c.Void[record.LoadFailed]
		add("", "everybody got in and stayed", t.Clients > 0 && t.Altered == 0 && cut == 0,
			"%s logins, %d rounds in which somebody did not, %d times something came that nobody said", count(float64(t.Clients)), cut, t.Altered)
	} else {
		add("", checkArrived, t.Lost+t.Duplicated+t.Reordered+t.Altered+t.OtherOrder == 0 && t.Checked > 0,
			"%s deliveries checked, %d lost, %d twice, %d out of order, %d altered", count(float64(t.Checked)), t.Lost, t.Duplicated, t.Reordered+t.OtherOrder, t.Altered)
	}
	add("", "every round counts", c.VoidRounds == 0, "%d of %d void%s", c.VoidRounds, c.Rounds, voids(c.Void))
	name, ok, detail := enough(run, s, c.Rounds)
	add("", name, ok, "%s", detail)
	add("", "CPUs of their own", !run.Manifest.SharedCPU, "server on %v, generator on %v", run.Manifest.ServerCPUs, run.Manifest.GeneratorCPUs)
	for i := range s.Loads {
		l := &s.Loads[i]
		pairs := stats.Pairs
		if l.looks {
			pairs = stats.PairsLooked
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
		if v := again.Figures[m.key].Versus; v != nil && v.Verdict != string(stats.ServerFull) {
			add("", l.Name+": A/A in "+m.title, v.Verdict != fails, "%s", ratioText(v))
		}
	}
}

// countingMax is the share of an arm's CPU per delivery that counting may be
// before it is said.
const countingMax = 0.02

// checkPrice checks that counting is little of what is counted. Nothing is
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
			if l.pointless(key, &a, reference) == "" {
				n++
			}
		}
	}
	return n
}

// unknown writes a rate that may not be known.
func unknown(rate float64) string {
	if rate == 0 {
		return "an unknown number of"
	}
	return count(rate)
}

// Violated says whether a server broke its contract in any round.
func (s *Summary) Violated() bool {
	for reason := range s.Checks.Void {
		if reason.Violation() {
			return true
		}
	}
	return false
}

// voids writes reasons and how often each occurred: ": 2 steal, 1 lost".
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

// ratioText writes a ratio with its interval: "0.81 (0.78–0.84)". Where the
// rounds are too few for one, there is none.
func ratioText(v *Versus) string {
	if v.Low == 0 {
		return digits(v.Ratio)
	}
	return fmt.Sprintf("%s (%s–%s)", digits(v.Ratio), digits(v.Low), digits(v.High))
}

// digits keeps what a ratio needs.
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
// more)"; "" where there is one.
func (v *Versus) reason() string {
	if v.MoreRounds > 0 {
		return fmt.Sprintf("%s (about %d more)", v.Reason, v.MoreRounds)
	}
	return string(v.Reason)
}

// size writes a difference: "7 %", "2.5 %".
func (f Finds) size() string {
	if f.Difference < 0.1 {
		return fmt.Sprintf("%.1f %%", 100*f.Difference)
	}
	return fmt.Sprintf("%.0f %%", 100*f.Difference)
}
