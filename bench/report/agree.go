package report

import (
	"fmt"
	"math"

	"chatbench/bench/record"
	"chatbench/bench/stats"
)

// Figures measured in different ways must agree. Each law here compares two
// figures that come from different places of the raw
// records: the generator's clock and its window, its ledger and its histograms,
// its count and the server's own.

// law is two sides that must agree.
type law struct {
	name      string
	statement string // which two figures are compared
	// least and most are the bounds of left ÷ right for all rounds of an arm.
	least, most float64
	// sides returns both figures of a round; ok is false if the law does not apply.
	sides func(view) (left, right float64, ok bool)
	print func(float64) string
}

// agreement is the result of a law under one load: whether every arm obeys it, and the arm
// with the largest deviation.
type agreement struct {
	Name, Says string
	OK         bool
	Detail     string
}

// laws are the laws that apply to a load. Bounds: counts are exact, except for
// messages at an edge of a slice; Little's law holds in the mean over the edges
// of a slice, at whose end the window is no longer full.
func (l *LoadSummary) laws(run *record.Run) []law {
	const exact = 0.01
	return []law{
		{"Little's law", "senders × window = messages/s × mean latency", 0.75, 1.1, little, plain},
		{"every message reached every client", "latencies recorded = messages × clients (relay: requests)", 1 - exact, 1 + exact, everyDelivery, count},
		{"every client got in", "logins timed = clients", 1, 1, loggedIn, count},
		{"server and generator counted the same octets", "octets the server wrote = deliveries checked × octets of one, the same for all arms", 1 - exact, 1 + exact, octets(run, l), count},
		{"latency adds up", "mean from due = mean from the send + mean lateness of the send", 1 - exact, 1 + exact, addsUp, duration},
		{"CPU within its allotment", "CPU used ≤ CPUs × time", 0, 1 + 2*exact, allotted, duration},
		{"user and kernel are all of the CPU", "in user code + in the kernel = CPU used", 1 - exact, 1 + exact, split, duration},
		{"memory that is shared is counted once", "PSS ≤ RSS", 0, 1 + 2*exact, shared, func(v float64) string { return mebi(v) + " MiB" }},
		{"slices fill the time", "slices that count × their length = the timed section", 1 - 2*exact, 1 + 2*exact, filled, duration},
	}
}

// agree checks the laws of a load; laws that do not apply are left out.
func (l *LoadSummary) agree(run *record.Run) (found []agreement) {
	for _, law := range l.laws(run) {
		if a, ok := law.evaluate(run, l); ok {
			found = append(found, a)
		}
	}
	return append(found, l.costsAddUp(run)...)
}

// evaluate compares both sides over the rounds of each arm that count.
func (w law) evaluate(run *record.Run, l *LoadSummary) (agreement, bool) {
	worst, applies, all := "", false, true
	off := -1.0
	for _, a := range l.Arms {
		left, right := w.sums(run, l, a.Name)
		if right == 0 {
			continue
		}
		ratio := left / right
		applies, all = true, all && w.least <= ratio && ratio <= w.most
		distance := math.Abs(ratio - 1)
		if w.least == 0 { // an upper bound: the arm that is nearest to it, or beyond
			distance = ratio
		}
		if distance > off {
			off, worst = distance, fmt.Sprintf("%s: %s is %s %% of %s", a.Name, w.print(left), plain(100*ratio), w.print(right))
		}
	}
	return agreement{w.name, w.statement, all, worst}, applies
}

// sums is the mean of both sides over an arm's rounds; the right one is 0 if the
// law does not apply.
func (w law) sums(run *record.Run, l *LoadSummary, arm string) (left, right float64) {
	n := 0.0
	for i := range run.Rounds {
		r := &run.Rounds[i]
		if r.Load != l.Name || r.Arm != arm || !r.Counts() {
			continue
		}
		if a, b, ok := w.sides(view{r, l.Load, &run.Manifest}); ok && b > 0 {
			left, right, n = left+a, right+b, n+1
		}
	}
	return left / math.Max(n, 1), right / math.Max(n, 1)
}

// little is J. D. C. Little's L = λW (1961): the mean number in flight is the
// rate times the mean latency.
func little(v view) (left, right float64, ok bool) {
	askers := v.load.Senders
	if v.load.Scenario == record.Relay {
		askers = v.load.Pairs
	}
	stay := v.Sent.Mean * float64(v.Traffic.Messages) / math.Max(float64(v.Edged()), 1)
	return stay, float64(askers * v.load.Window), v.load.Closed() && v.Edged() > 0
}

func everyDelivery(v view) (left, right float64, ok bool) {
	if v.load.Scenario == record.Idle {
		return 0, 0, false
	}
	took, messages := v.Sent.Count, v.Traffic.Messages
	if v.load.Open() {
		took, messages = v.Due.Count+v.Elsewhere.Count, v.Traffic.Due
	} else if v.ElsewhereBound > 0 { // it is not known when senders of other agents sent
		return 0, 0, false
	}
	each := 1.0
	if v.load.Scenario == record.Broadcast {
		each = v.load.PerMessage
	}
	return float64(took), float64(messages) * each, true
}

func loggedIn(v view) (left, right float64, ok bool) {
	return float64(v.Login.Count), float64(v.Traffic.Clients), v.load.Scenario == record.Idle
}

// octets: the octets of one delivery are the same for every server, because the load determines names
// and texts. The expected value is the median over all arms.
func octets(run *record.Run, l *LoadSummary) func(view) (float64, float64, bool) {
	known := func(v view) bool {
		return v.load.Scenario == record.Broadcast && v.Server != nil && v.Traffic.Checked > 0
	}
	var each []float64
	for i := range run.Rounds {
		if v := (view{&run.Rounds[i], l.Load, &run.Manifest}); v.Round.Load == l.Name && v.Counts() && known(v) {
			each = append(each, float64(v.Server.BytesOut)/float64(v.Traffic.Checked))
		}
	}
	if each == nil {
		return func(view) (float64, float64, bool) { return 0, 0, false }
	}
	one := math.Max(stats.Median(each), float64(l.Size))
	return func(v view) (left, right float64, ok bool) {
		if !known(v) {
			return 0, 0, false
		}
		return float64(v.Server.BytesOut), one * float64(v.Traffic.Checked), true
	}
}

func addsUp(v view) (left, right float64, ok bool) {
	return v.Due.Mean, v.Sent.Mean + v.Lag.Mean, v.load.Open() && v.Due.Count > 0
}

func allotted(v view) (left, right float64, ok bool) {
	if v.Usage.CPU == nil {
		return 0, 0, false
	}
	return float64(*v.Usage.CPU), float64(v.Edged()) * float64(len(v.CPUsOf(v.Arm))), true
}

func split(v view) (left, right float64, ok bool) {
	u := v.Usage
	if u.CPU == nil || u.CPUUser == nil || u.CPUKernel == nil {
		return 0, 0, false
	}
	return float64(*u.CPUUser + *u.CPUKernel), float64(*u.CPU), true
}

func shared(v view) (left, right float64, ok bool) {
	if v.Usage.PSS == nil || v.Usage.RSS == nil {
		return 0, 0, false
	}
	return float64(*v.Usage.PSS), float64(*v.Usage.RSS), true
}

func filled(v view) (left, right float64, ok bool) {
	n := 0
	for i := range v.Slices {
		if v.Slices[i].Counts() {
			n++
		}
	}
	return float64(n) * float64(v.load.Duration), float64(v.Wall), v.load.Sliced() && n > 0
}

// costsAddUp checks that the medians of three columns agree: CPU per delivery times
// deliveries a second is the CPU in use. Each median may be that of another round, so
// they agree only approximately.
func (l *LoadSummary) costsAddUp(run *record.Run) []agreement {
	const about = 0.15
	found := agreement{"cost × rate = use", "median CPU per delivery × median deliveries a second = median use of the CPUs", true, ""}
	off := -1.0
	for _, a := range l.Arms {
		var rates []float64
		for i := range run.Rounds {
			if r := &run.Rounds[i]; r.Load == l.Name && r.Arm == a.Name && r.Counts() && r.Edged() > 0 {
				rates = append(rates, chargedDeliveries(view{r, l.Load, &run.Manifest})/r.Edged().Seconds())
			}
		}
		cost, use := a.Figures[keyCPU].Median, a.Figures[keyBusy].Median*float64(len(run.Manifest.CPUsOf(a.Name)))
		if rates == nil || cost == 0 || use == 0 {
			continue
		}
		got := cost * stats.Median(rates) / 1e9
		distance := math.Abs(got/use - 1)
		found.OK = found.OK && distance <= about
		if distance > off {
			off, found.Detail = distance, fmt.Sprintf("%s: %s %% and %s %%", a.Name, plain(100*got), plain(100*use))
		}
	}
	if off < 0 {
		return nil
	}
	return []agreement{found}
}
