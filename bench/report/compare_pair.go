package report

import (
	"slices"
	"time"

	"chatbench/bench/record"
	"chatbench/bench/stats"
)

// Pair compares one run, B, with another, A. Each load has two comparisons,
// because rounds of two runs are not pairs:
//
//   - B/A is an arm in B against the same arm in A: two independent samples of
//     rounds. Whatever the machine does otherwise in B is in it.
//   - The relative change is that of an arm's ratio to the reference: in each run
//     the arm was measured beside the reference, so what slows both cancels out (a
//     difference in differences). What changed in the reference itself cancels too.
type Pair struct {
	A Side `json:"a"`
	B Side `json:"b"`
	// Reference is the arm that both runs measured and that the arms are compared with; "": there
	// is none, and no relative change.
	Reference   string       `json:"reference"`
	Differences []Difference `json:"differences"`
	Loads       []PairLoad   `json:"loads"`
	// Single is the loads and arms that only one of the runs has.
	Single []Single `json:"single,omitempty"`
	// Advice is how to measure so that more can be compared, in sentences.
	Advice []string `json:"advice,omitempty"`
}

// Side is one of the two runs.
type Side struct {
	Dir       string    `json:"dir"`
	Name      string    `json:"name"`
	Started   time.Time `json:"started"`
	Commit    string    `json:"commit"`
	Reference string    `json:"reference"`
	Rounds    int       `json:"rounds"` // measured, and how many of them are void
	Void      int       `json:"void"`
	Correct   bool      `json:"correct"` // every message arrived: as the run's own summary says
	// Pilot is how the rate of the open loop was chosen; nil: it was given.
	Pilot *record.Pilot `json:"pilot,omitempty"`
}

// Single is a load or an arm that only one of the two runs has.
type Single struct {
	Load string `json:"load"`
	Arm  string `json:"arm,omitempty"` // "": the whole load
	In   string `json:"in"`            // "A" or "B"
}

// PairLoad is a load that both runs have.
type PairLoad struct {
	record.Load           // as it was in B
	Arms        []PairArm `json:"arms"` // the A/A arm last
	// Noise is how much the reference varies against itself in each run, by figure.
	Noise map[string]Noise `json:"noise"`
	// Shifts is latency in B over that in A at each percentile; Relative is the same
	// for the ratio to the reference.
	Shifts   []Shift `json:"shifts"`
	Relative []Shift `json:"relative_shifts"`
}

// Noise is the standard deviation of the logarithm of A/A from round to round.
// 0: unknown.
type Noise struct {
	A float64 `json:"a"`
	B float64 `json:"b"`
}

// PairArm is an arm that both runs have.
type PairArm struct {
	record.Arm
	Figures map[string]Changed `json:"figures"` // by key, in base units
}

// The comparisons that may be trusted.
const (
	TrustBoth     = "B/A"      // the reference came out the same, on the same machine
	TrustRelative = "relative" // it did not, or that is not known
	TrustNone     = "none"     // the runs have no reference in common
)

// Changed is one figure of an arm in both runs.
type Changed struct {
	A Figure `json:"a"`
	B Figure `json:"b"`
	// Change is B/A, Relative that of the ratio to the reference; nil: there is none.
	Change   *Versus `json:"change,omitempty"`
	Relative *Versus `json:"relative,omitempty"`
	Trust    string  `json:"trust"`
}

// verdict is the verdict of the trusted comparison; nil: there is none.
func (c Changed) verdict() *Versus {
	switch c.Trust {
	case TrustBoth:
		return c.Change
	case TrustRelative:
		return c.Relative
	}
	return nil
}

// ComparePair compares the second run with the first.
func ComparePair(a, b *record.Run, dirA, dirB string) *Pair {
	p := &Pair{A: side(a, dirA), B: side(b, dirB), Reference: common(a, b), Differences: differences(a, b)}
	for _, load := range b.Manifest.Loads {
		was, ok := a.Load(load.Name)
		if !ok {
			p.Single = append(p.Single, Single{Load: load.Name, In: "B"})
			continue
		}
		p.addSingles(load.Name, a, b, "A")
		p.addSingles(load.Name, b, a, "B")
		if work(was) == work(load) {
			p.Loads = append(p.Loads, p.load(a, b, was, load))
		}
	}
	for _, load := range a.Manifest.Loads {
		if _, ok := b.Load(load.Name); !ok {
			p.Single = append(p.Single, Single{Load: load.Name, In: "A"})
		}
	}
	p.Advice = piloted(&a.Manifest, &b.Manifest)
	return p
}

func side(r *record.Run, dir string) Side {
	t := tallyOf(r)
	return Side{
		Dir: dir, Name: r.Manifest.Name, Started: r.Manifest.Started,
		Commit: commitText(&r.Manifest), Reference: r.Manifest.Reference,
		Rounds: t.rounds, Void: t.void, Correct: t.correct(silent(r.Manifest.Loads)), Pilot: r.Manifest.Pilot,
	}
}

// addSingles notes the arms of one run that the other does not have.
func (p *Pair) addSingles(load string, of, other *record.Run, in string) {
	for _, a := range of.Manifest.Arms {
		if !a.Again && !hasArm(other, a.Name) {
			p.Single = append(p.Single, Single{Load: load, Arm: a.Name, In: in})
		}
	}
}

func hasArm(r *record.Run, name string) bool {
	return slices.ContainsFunc(r.Manifest.Arms, func(a record.Arm) bool { return a.Name == name })
}

// common returns the reference of one of the runs, if the other has measured it too.
func common(a, b *record.Run) string {
	switch {
	case hasArm(b, a.Manifest.Reference):
		return a.Manifest.Reference
	case hasArm(a, b.Manifest.Reference):
		return b.Manifest.Reference
	}
	return ""
}

// pairing is the data from which the comparisons of one load are computed.
type pairing struct {
	reference string
	a, b      LoadSummary
	same      bool // the machine, and the way it was measured
}

func (p *Pair) load(a, b *record.Run, was, load record.Load) PairLoad {
	at := pairing{p.Reference, judgeLoad(a, was), judgeLoad(b, load), true}
	for _, d := range p.Differences {
		if (d.load == "" || d.load == load.Name) && (d.Concern == OfMachine || d.Concern == OfMethod) {
			at.same = false
		}
	}
	l := PairLoad{Load: load, Noise: make(map[string]Noise)}
	for _, arm := range at.b.Arms {
		if old := at.a.arm(arm.Name); old != nil && old.Clients == arm.Clients {
			l.Arms = append(l.Arms, PairArm{Arm: arm.Arm, Figures: at.figures(old, &arm)})
		}
	}
	at.judge(&l)
	for _, m := range metrics {
		n := Noise{at.a.spread(m.key, p.Reference), at.b.spread(m.key, p.Reference)}
		if m.judged && n != (Noise{}) {
			l.Noise[m.key] = n
		}
	}
	l.shifts(a, b, was, p.Reference)
	return l
}

// figures returns the figures of an arm that either run has.
func (at *pairing) figures(a, b *ArmSummary) map[string]Changed {
	figures := make(map[string]Changed)
	for _, m := range metrics {
		f, okA := a.Figures[m.key]
		g, okB := b.Figures[m.key]
		if okA || okB {
			f.Versus, g.Versus = nil, nil
			figures[m.key] = Changed{A: f, B: g, Trust: TrustNone}
		}
	}
	return figures
}

// spread is the standard deviation of the logarithm of A/A; 0: unknown.
func (l *LoadSummary) spread(key, reference string) float64 {
	again := l.again()
	if again == nil || again.Name != reference+record.AgainSuffix {
		return 0
	}
	logs := l.comparable(key, again, l.arm(reference)).all()
	if len(logs) < 2 {
		return 0
	}
	return stats.Deviation(logs)
}
