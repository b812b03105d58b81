// Package report turns the records of a run into everything that is shown of
// it: the summary on a terminal, tables, plots, files for other tools, and the
// comparison of runs.
//
// It measures nothing, and remembers nothing: whatever it prints is a pure function
// of the raw files, so that Verify can compute it again and compare. Functions may
// be called from any goroutine, as long as the run does not change.
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

// Summary is the figures of a run: what the tables print and what -json prints.
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
	// Scaling says how backends scale with their CPUs; nil if all have the same number.
	Scaling []Scaling     `json:"scaling,omitempty"`
	Checks  record.Checks `json:"checks"`
	limited limited
}

// LoadSummary is all arms under one load.
type LoadSummary struct {
	record.Load
	// Ceiling is the rate of generator and null server together, in deliveries a
	// second, the median of the rounds that count; closed loops only.
	Ceiling    float64       `json:"ceiling,omitempty"`
	Arms       []ArmSummary  `json:"arms"`
	looks      bool          // the run took as many rounds as it needed
	frozen     time.Duration // CPU that servers used while they were frozen
	agrees     []agreement
	nullServer ArmSummary // of the null server
	// Finds is, by primary figure, the difference that the rounds could have found, computed from the
	// reference against itself.
	Finds map[string]Finds `json:"finds,omitempty"`
	// Ranking is nil if nothing is compared.
	Ranking *Ranking `json:"ranking,omitempty"`
	// Pilot is how the rate was chosen; nil if it was given.
	Pilot *record.Pilot `json:"pilot,omitempty"`
}

// Finds is the relative difference that a run finds four times in five, and
// about how many more rounds are needed to find one as small as Wanted.
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
	// MaybeFull: there are several CPUs, and one of its threads may have had none to spare.
	MaybeFull bool              `json:"server_maybe_full,omitempty"`
	Figures   map[string]Figure `json:"figures"` // by key, in base units

	unsure    bool                      // it is not known who limited the rate: Limit is "unclear"
	lastRound int                       // its last round
	series    map[string]series         // by figure
	slices    map[string]map[int]series // by figure and round, then by block
	samples   int64                     // the number of messages, or logins, in its curve
	curve     *hdrhistogram.Histogram   // of all rounds that count; nil if there are none
	lag       *hdrhistogram.Histogram
	queue     *hdrhistogram.Histogram
}

// Figure is one figure of one arm over its rounds.
type Figure struct {
	N      int     `json:"n"`
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	Spread float64 `json:"spread,omitempty"` // coefficient of variation
	// AtLeast: the generator was the limit, so the server can do more.
	AtLeast bool `json:"at_least,omitempty"`
	// AtMost: the server was full, so a delivery costs at most this.
	AtMost bool    `json:"at_most,omitempty"`
	Versus *Versus `json:"versus,omitempty"` // the reference; absent for the reference itself
}

// Versus compares an arm with the reference in one figure.
type Versus struct {
	N     int     `json:"n"` // pairs
	Ratio float64 `json:"ratio"`
	Low   float64 `json:"low,omitempty"` // of the 95 % interval; 0: there is none
	High  float64 `json:"high,omitempty"`
	// SureLow and SureHigh are the ends of the interval at the confidence that a claim of no
	// difference needs (stats.Comparison.Sure); 0: there is none.
	SureLow  float64 `json:"sure_low,omitempty"`
	SureHigh float64 `json:"sure_high,omitempty"`
	P        float64 `json:"p"`
	Adjusted float64 `json:"p_adjusted"` // for the family
	Primary  bool    `json:"primary"`    // chosen before the run; otherwise exploratory
	Verdict  string  `json:"verdict"`
	// Reason is why there is neither a difference nor a tie, "" if there is
	// one; Why says what the verdict is based on.
	Reason stats.Reason `json:"reason,omitempty"`
	Why    string       `json:"why"`
	// MoreRounds is about how many more rounds are needed if there are too few; 0: not known.
	MoreRounds int `json:"more_rounds,omitempty"`
}

// The A/A arm's verdicts.
const (
	holds = "holds" // the reference is equal to itself on this machine
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

// differs says whether the verdict is a difference; a nil Versus has none.
func (v *Versus) differs() bool {
	return v != nil && slices.ContainsFunc([][2]string{speed, cost, size, span}, func(words [2]string) bool { return slices.Contains(words[:], v.Verdict) })
}

// Summarize computes the figures of a run.
func Summarize(run *record.Run, sums map[string]string) *Summary {
	m := &run.Manifest
	s := &Summary{
		Name: m.Name, Started: m.Started, Commit: m.Commit, Dirty: m.Dirty,
		Reference: m.Reference, SharedCPU: m.SharedCPU, Agents: m.Agents, limited: limitedOf(run),
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

// judgeLoad is summarizeLoad without the curves, which take longer than everything else.
func judgeLoad(run *record.Run, load record.Load) LoadSummary {
	l := LoadSummary{Load: load, Ceiling: Ceiling(run, load.Name), Finds: make(map[string]Finds), looks: len(run.Manifest.Looks) > 0, Pilot: pilotOf(&run.Manifest, load)}
	for _, a := range run.Manifest.Arms {
		l.Arms = append(l.Arms, summarizeArm(run, load, a))
	}
	l.nullServer = summarizeArm(run, load, record.Arm{Name: record.NullArm})
	for i := range run.Rounds {
		if r := &run.Rounds[i]; r.Load == load.Name {
			l.frozen += r.FrozenCPU
		}
	}
	l.judge(run.Manifest.Reference)
	return l
}

// Ceiling is the rate of generator and null server together under a load: the
// median of the null rounds that count, in deliveries a second; 0 if there are none.
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

// CeilingOf is the ceiling with which the rate of an arm is compared. There is none for
// an arm whose clients speak TLS, because the null server does not.
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
		if arm.lastRound = max(arm.lastRound, r.Round); !r.Counts() {
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
		arm.addSlices(r, load)
	}
	for _, m := range metrics {
		if m.p > 0 && !carries(rests[m.key], m.p, tail) {
			delete(of, m.key)
		} else if of[m.key] != nil {
			arm.Figures[m.key] = figure(of[m.key])
		}
	}
	arm.markFull(load, &run.Manifest)
	if load.Closed() {
		arm.judgeLimit(run, load, 2*marked > arm.Rounds)
	}
	return arm
}

// merge computes the curve of all rounds of an arm that count.
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
			if a.samples += r.Traffic.Messages; load.Scenario == record.Idle {
				a.samples += r.Traffic.Clients
			}
		}
	}
	a.curve, a.lag, a.queue = merged(stream(load)), merged(record.StreamLag), merged(record.StreamQueue)
}

// addSlices adds the figures of a round's slices.
func (a *ArmSummary) addSlices(r *record.Round, load record.Load) {
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

// judgeLimit determines which side was the limit in a closed loop, and whether
// the rate is only a lower bound of the server's. marked says that most of the rounds
// are marked: near the generator's ceiling, or without its CPU.
//
// A busy generator is not necessarily the limit: it handles more in a turn
// the more there is, as the null server's ceiling shows. But one that is not
// busy has waited for the server; and if the server was busy all the time,
// the server was the limit, whatever the marks say: the ceiling is only what
// the generator reached with one other server.
//
// On several CPUs, if the server uses at least as much as one but not all of them, one
// thread of it may be busy all the time or none: it is not known whether the server
// was the limit, and the rate is a lower bound only if it is one in either case.
func (a *ArmSummary) judgeLimit(run *record.Run, load record.Load, marked bool) {
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
