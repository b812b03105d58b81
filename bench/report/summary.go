// Package report turns the records of a run into everything that is shown of
// it: the summary on a terminal, tables, plots, files for other tools, and the
// comparison of runs.
//
// It refuses to measure, and to remember: whatever it prints is a pure function
// of the raw files, so that Verify can make it again and compare. Functions may
// be called from any goroutine, on a run that nobody changes.
package report

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"chatbench/bench/record"
	"chatbench/bench/rules"
	"chatbench/bench/stats"
)

// Summary is a run in figures: what the tables print, and what -json gives.
type Summary struct {
	Name      string    `json:"name"`
	Started   time.Time `json:"started"`
	Commit    string    `json:"commit,omitempty"`
	Dirty     bool      `json:"dirty,omitempty"`
	Reference string    `json:"reference"`
	// Binaries are the servers, where there are several.
	Binaries  []record.Binary `json:"binaries,omitempty"`
	SharedCPU bool            `json:"shared_cpu,omitempty"`
	Agents    []record.Agent  `json:"agents,omitempty"` // that drove the loads
	Loads     []LoadSummary   `json:"loads"`
	// Scaling is how backends grow with their CPUs; nil where all have the same.
	Scaling []Scaling     `json:"scaling,omitempty"`
	Checks  record.Checks `json:"checks"`
}

// LoadSummary is all arms under one load.
type LoadSummary struct {
	record.Load
	// Ceiling is what generator and null server reached together, in deliveries a
	// second, the median of the rounds that count; closed loops only.
	Ceiling float64       `json:"ceiling,omitempty"`
	Arms    []ArmSummary  `json:"arms"`
	looks   bool          // the run took as many rounds as it needed
	frozen  time.Duration // CPU that servers took while they were frozen
	agrees  []agreement
	pair    ArmSummary // of the null server
	// Finds is, by primary figure, what the rounds could have found, from the
	// reference against itself.
	Finds map[string]Finds `json:"finds,omitempty"`
	// Ranking is nil where nothing is compared.
	Ranking *Ranking `json:"ranking,omitempty"`
	// Pilot is how the rate was chosen; nil where it was given.
	Pilot *record.Pilot `json:"pilot,omitempty"`
}

// Finds is the relative difference that a run finds four times in five, and
// about how many more rounds it takes to find one as small as Wanted.
type Finds struct {
	Difference float64 `json:"difference"`
	MoreRounds int     `json:"more_rounds"`
	Wanted     float64 `json:"wanted"`
}

// ArmSummary is one arm under one load.
type ArmSummary struct {
	record.Arm
	Rounds     int    `json:"rounds"` // that count
	Void       int    `json:"void"`
	Deliveries int64  `json:"deliveries"` // of rounds that count
	Limit      string `json:"limit,omitempty"`
	Full       bool   `json:"server_full,omitempty"` // open loop: the server had no CPU to spare
	// MaybeFull: on several CPUs a thread of it may have had none to spare.
	MaybeFull bool              `json:"server_maybe_full,omitempty"`
	Figures   map[string]Figure `json:"figures"` // by key, in base units

	unsure bool                      // whether the rate was the generator's: Limit is "unclear"
	until  int                       // its last round
	series map[string]series         // by figure
	slices map[string]map[int]series // by figure and round, then by block
	rests  int64                     // messages, or logins, that its curve rests on
	curve  *hdrhistogram.Histogram   // of all rounds that count; nil of none
	lag    *hdrhistogram.Histogram
	queue  *hdrhistogram.Histogram
}

// Figure is one figure of one arm over its rounds.
type Figure struct {
	N      int     `json:"n"`
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	Spread float64 `json:"spread,omitempty"` // coefficient of variation
	// AtLeast: the generator was the limit, the server can do more.
	AtLeast bool `json:"at_least,omitempty"`
	// AtMost: the server was full, a delivery costs it no more than this.
	AtMost bool    `json:"at_most,omitempty"`
	Versus *Versus `json:"versus,omitempty"` // the reference; absent for the reference itself
}

// Versus is an arm against the reference in one figure.
type Versus struct {
	N     int     `json:"n"` // pairs
	Ratio float64 `json:"ratio"`
	Low   float64 `json:"low,omitempty"` // of the 95 % interval; 0: there is none
	High  float64 `json:"high,omitempty"`
	// SureLow and SureHigh are of the interval at the confidence that a claim of no
	// difference needs (stats.Comparison.Sure); 0: there is none.
	SureLow  float64 `json:"sure_low,omitempty"`
	SureHigh float64 `json:"sure_high,omitempty"`
	P        float64 `json:"p"`
	Adjusted float64 `json:"p_adjusted"` // for the family
	Primary  bool    `json:"primary"`    // named before the run; else exploratory
	Verdict  string  `json:"verdict"`
	// Reason is why there is neither a difference nor a tie, "" where there is
	// one; Why says what the verdict rests on.
	Reason stats.Reason `json:"reason,omitempty"`
	Why    string       `json:"why"`
	// MoreRounds is about how many more it takes where they are too few; 0: nobody knows.
	MoreRounds int `json:"more_rounds,omitempty"`
}

// The A/A arm's verdicts.
const (
	holds = "holds" // the machine finds the reference equal to itself
	fails = "fails"
)

// word is the verdict as tables print it.
func (v *Versus) word() string {
	switch v.Verdict {
	case holds:
		return "equal"
	case fails:
		return "differs"
	}
	return v.Verdict
}

// differs says whether the verdict is that of a difference; nil has none.
func (v *Versus) differs() bool {
	return v != nil && slices.ContainsFunc([][2]string{speed, cost, size, span}, func(words [2]string) bool { return slices.Contains(words[:], v.Verdict) })
}

// Summarize works out a run.
func Summarize(run *record.Run, sums map[string]string) *Summary {
	m := &run.Manifest
	s := &Summary{
		Name: m.Name, Started: m.Started, Commit: m.Commit, Dirty: m.Dirty,
		Reference: m.Reference, SharedCPU: m.SharedCPU, Agents: m.Agents,
	}
	if len(m.Binaries) > 1 {
		s.Binaries = m.Binaries
	}
	for _, l := range m.Loads {
		s.Loads = append(s.Loads, summarizeLoad(run, l))
	}
	s.Scaling = s.scalings(run)
	s.Checks = check(run, s, sums)
	return s
}

// arm finds an arm by name; nil if there is none.
func (l *LoadSummary) arm(name string) *ArmSummary {
	for i := range l.Arms {
		if l.Arms[i].Name == name {
			return &l.Arms[i]
		}
	}
	return nil
}

// again is the A/A arm.
func (l *LoadSummary) again() *ArmSummary {
	for i := range l.Arms {
		if l.Arms[i].Again {
			return &l.Arms[i]
		}
	}
	return nil
}

func summarizeLoad(run *record.Run, load record.Load) LoadSummary {
	l := judgeLoad(run, load)
	for i := range l.Arms {
		l.Arms[i].merge(run, load)
	}
	l.Ranking = l.rank(run)
	return l
}

// judgeLoad is summarizeLoad without the curves, which take longer than all else.
func judgeLoad(run *record.Run, load record.Load) LoadSummary {
	l := LoadSummary{Load: load, Ceiling: Ceiling(run, load.Name), Finds: make(map[string]Finds), looks: len(run.Manifest.Looks) > 0, Pilot: pilotOf(&run.Manifest, load)}
	for _, a := range run.Manifest.Arms {
		l.Arms = append(l.Arms, summarizeArm(run, load, a))
	}
	l.pair = summarizeArm(run, load, record.Arm{Name: record.NullArm})
	for i := range run.Rounds {
		if r := &run.Rounds[i]; r.Load == load.Name {
			l.frozen += r.FrozenCPU
		}
	}
	l.judge(run.Manifest.Reference)
	return l
}

// Ceiling is what generator and null server reached together under a load: the
// median of the null rounds that count, in deliveries a second; 0 of none.
func Ceiling(run *record.Run, load string) float64 {
	var rates []float64
	for i := range run.Rounds {
		if r := &run.Rounds[i]; r.Arm == record.NullArm && r.Load == load && r.Counts() {
			rates = append(rates, rules.PerSecond(*r))
		}
	}
	if rates == nil {
		return 0
	}
	return stats.Median(rates)
}

// CeilingOf is the ceiling that the rate of an arm is held against. There is none for
// an arm whose clients speak TLS: the null server does not.
func CeilingOf(run *record.Run, load, arm string) float64 {
	if slices.ContainsFunc(run.Manifest.Arms, func(a record.Arm) bool { return a.Name == arm && a.TLS }) {
		return 0
	}
	return Ceiling(run, load)
}

// series is a figure by round.
type series map[int]float64

func summarizeArm(run *record.Run, load record.Load, a record.Arm) ArmSummary {
	of := make(map[string]series)
	arm := ArmSummary{Arm: a, Figures: make(map[string]Figure), series: of, slices: make(map[string]map[int]series)}
	marked, rests := 0, make(map[string]int64)
	for i := range run.Rounds {
		r := &run.Rounds[i]
		if r.Arm != a.Name || r.Load != load.Name {
			continue
		}
		if arm.until = max(arm.until, r.Round); !r.Counts() {
			arm.Void++
			continue
		}
		arm.Rounds++
		arm.Deliveries += r.Traffic.Deliveries
		if r.Marked(record.GeneratorLimited) {
			marked++
		}
		for _, m := range metrics {
			one := view{r, load, &run.Manifest}
			if v, ok := m.at(one); ok {
				if of[m.key] == nil {
					of[m.key] = make(series)
				}
				if of[m.key][r.Round] = v; m.p > 0 {
					rests[m.key] += m.messages(one)
				}
			}
		}
		arm.cut(r, load)
	}
	for _, m := range metrics {
		if m.p > 0 && !carries(rests[m.key], m.p, tail) {
			delete(of, m.key)
		} else if of[m.key] != nil {
			arm.Figures[m.key] = figure(of[m.key])
		}
	}
	arm.fill(load, &run.Manifest)
	if load.Closed() {
		arm.bound(run, load, 2*marked > arm.Rounds)
	}
	return arm
}

// merge makes the curves of all rounds of an arm that count.
func (a *ArmSummary) merge(run *record.Run, load record.Load) {
	merged := func(stream string) *hdrhistogram.Histogram {
		var all []*hdrhistogram.Histogram
		for i := range run.Rounds {
			if r := &run.Rounds[i]; r.Arm == a.Name && r.Load == load.Name && r.Counts() {
				all = append(all, run.Histograms[record.Key{Load: load.Name, Arm: a.Name, Stream: stream, StartedMs: r.StartedMs}])
			}
		}
		return record.Merge(all)
	}
	for i := range run.Rounds {
		if r := &run.Rounds[i]; r.Arm == a.Name && r.Load == load.Name && r.Counts() {
			if a.rests += r.Traffic.Messages; load.Scenario == record.Idle {
				a.rests += r.Traffic.Clients
			}
		}
	}
	a.curve, a.lag, a.queue = merged(stream(load)), merged(record.StreamLag), merged(record.StreamQueue)
}

// cut takes the figures of a round's slices.
func (a *ArmSummary) cut(r *record.Round, load record.Load) {
	for _, m := range metrics {
		if m.slice == nil || !m.applies(load) {
			continue
		}
		if a.slices[m.key] == nil {
			a.slices[m.key] = make(map[int]series)
		}
		blocks := make(series)
		for i := range r.Slices {
			if s := &r.Slices[i]; s.Counts() && (m.p == 0 || carries(s.Messages, m.p, tailRound)) {
				if v, ok := m.slice(s, load); ok {
					blocks[s.Block] = v
				}
			}
		}
		a.slices[m.key][r.Round] = blocks
	}
}

func figure(values series) Figure {
	xs := values.all()
	f := Figure{N: len(xs), Median: stats.Median(xs), Min: stats.Quantile(xs, 0), Max: stats.Quantile(xs, 1)}
	if spread := stats.Spread(xs); !math.IsNaN(spread) && !math.IsInf(spread, 0) {
		f.Spread = spread
	}
	return f
}

// bound says which side stood in the way of more in a closed loop, and whether
// the rate is only a bound of the server's. marked says that most of its rounds
// are: near the generator's ceiling, or without its CPU.
//
// That a generator is busy does not make it the limit: it takes more in a turn
// the more there is, as the null server's ceiling shows. But one that is not
// busy has waited for the server; and where the server was busy all the time,
// the server was the limit, whatever the marks say: the ceiling is only what
// the generator reached with one other server.
//
// On several CPUs, of which the server uses as much as one and not all, one
// thread of it may be busy all the time or none: nobody knows whether the server
// was the limit, and a rate is a bound only if it is one either way.
func (a *ArmSummary) bound(run *record.Run, load record.Load, marked bool) {
	m := &run.Manifest
	slack := a.Figures[keyGenBusy].Median < cmp.Or(m.Rules.GeneratorMax, record.DefaultRules().GeneratorMax)
	busy := a.Figures[keyGenBusy].Median >= m.Rules.BusyShare
	limited := func(server bool) bool {
		return marked && !(server && slack) || busy && (!server || CeilingOf(run, load.Name, a.Name) == 0)
	}
	use := a.Figures[keyBusy].Median + a.Figures[keyNobody].Median
	server := use >= m.Rules.BusyShare
	unclear := !server && use*float64(len(m.CPUsOf(a.Name))) >= m.Rules.BusyShare
	generator := limited(server)
	if unclear {
		generator = limited(true) && limited(false)
		a.unsure = limited(true) != limited(false)
	}
	if f, ok := a.Figures[keyRate]; ok {
		f.AtLeast = generator
		a.Figures[keyRate] = f
	}
	switch {
	case a.Rounds == 0:
	case m.Shares(a.Name):
		a.Limit = "pair"
	case unclear:
		a.Limit = "unclear"
	case server && generator:
		a.Limit = "both"
	case server:
		a.Limit = "server"
	case generator:
		a.Limit = "generator"
	case a.Figures[keyBusy].Median+a.Figures[keyForeign].Median >= m.Rules.BusyShare:
		a.Limit = "others"
	default:
		a.Limit = "neither"
	}
}
