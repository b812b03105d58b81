package stats

import (
	"fmt"
	"math"
)

// Margin is how much more than the reference is still called a tie. The
// limit for less is 1/(1+Margin), so that swapping the two changes nothing.
const Margin = 0.05

// Alpha is what a corrected p-value must not exceed to be called a difference.
const Alpha = 0.05

// TieBand is the ratios that count as no difference.
var TieBand = Interval{1 / (1 + Margin), 1 + Margin}

// Verdict is the result of a comparison in one word.
type Verdict string

const (
	Tie        Verdict = "tie"          // the whole interval lies within ±5 %
	Higher     Verdict = "higher"       // above the reference, beyond chance
	Lower      Verdict = "lower"        // below the reference, beyond chance
	Unresolved Verdict = "not resolved" // the rounds do not decide it; the Reason says why
	// ServerFull is not an answer to the question, but it is final: the
	// figure means nothing, and no further round will change that. Judge never
	// gives it; its callers do.
	ServerFull Verdict = "server full"
)

// Reason is why there is no difference and no tie, in a form for programs.
type Reason string

const (
	FewRounds     Reason = "few rounds"     // Comparison.More rounds more might decide it
	Close         Reason = "close"          // nearly equal: the interval goes over an edge of the tie's band, and not far
	Noisy         Reason = "noisy"          // the rounds, or the reference against itself, scatter too much
	FullServer    Reason = "server full"    // the server used all of its CPU, whatever a delivery costs
	PerhapsFull   Reason = "perhaps full"   // on several CPUs: it is not known whether a thread had CPU to spare
	FullGenerator Reason = "generator full" // the generator limited the rate
)

// Comparison is one arm against the reference in one figure.
type Comparison struct {
	N        int      // rounds in which both have the figure
	Ratio    float64  // arm / reference, the center of the rounds
	Interval Interval // of the ratio, at Level; none below six rounds
	// Sure is the interval at the confidence that a claim of no difference needs,
	// because it is one of a family and, in a run with looks, may be made at each look;
	// none if there are too few rounds for it, and before Judge or JudgeAtLooks.
	Sure     Interval
	P        float64 // two-sided, exact signed-rank
	Adjusted float64 // P after the correction for the family it was judged in
	Verdict  Verdict
	Reason   Reason // of Unresolved and ServerFull; "" of all others
	Why      string // what the verdict rests on, in a sentence
	// More is about how many more rounds are needed if there are too few; 0: not known.
	More int

	// at is the interval at another level; nil: there are no rounds.
	at func(level float64) (Interval, bool)
}

// Compare compares pairs of rounds; Judge gives the verdict.
func Compare(xs, refs []float64) Comparison { return CompareRounds(LogRatios(xs, refs)) }

// CompareRounds is Compare of one log-ratio for each round.
func CompareRounds(logs []float64) Comparison {
	_, p, _ := SignedRank(logs)
	c := Comparison{
		N: len(logs), Ratio: math.Exp(Center(logs)),
		P: p, Adjusted: p, Verdict: Unresolved, Why: "not judged",
	}
	return c.with(func(level float64) (Interval, bool) { return SignedRankInterval(logs, level) })
}

// with sets the intervals, of which at returns the logarithm.
func (c Comparison) with(at func(level float64) (Interval, bool)) Comparison {
	c.at = at
	c.Interval = c.interval(Level)
	return c
}

// interval is the interval of the ratio at a level; none if there are too few rounds.
func (c Comparison) interval(level float64) Interval {
	if c.at == nil {
		return Interval{}
	}
	if i, ok := c.at(level); ok {
		return i.exp()
	}
	return Interval{}
}

// Question is a comparison of an arm with the reference, together with the comparison of
// the reference with itself in the same figure.
type Question struct{ Arm, Again Comparison }

// Pairs is the fewest rounds with which one of that many comparisons can be called
// a difference, after Holm's correction; no comparison counts as one.
func Pairs(comparisons int) int { return pairsFor(Alpha / float64(max(comparisons, 1))) }

// Judge gives the comparisons of one family their corrected p-values and
// verdicts: the chance of even one false difference among all of them is at
// most Alpha, and so is that of even one false tie.
//
// A tie means that two one-sided tests reject everything beyond either
// edge of the band (D. J. Schuirmann, "A Comparison of the Two One-Sided Tests
// Procedure and the Power Approach", Journal of Pharmacokinetics and
// Biopharmaceutics 15 (1987)). Each test is made at Alpha divided by the number of comparisons
// (Bonferroni), which corresponds to the interval at 1-2·Alpha/comparisons.
func Judge(family []Question) []Comparison {
	ps := make([]float64, len(family))
	for i, q := range family {
		if ps[i] = 1; q.Arm.N > 0 {
			ps[i] = q.Arm.P
		}
	}
	judged := make([]Comparison, len(family))
	for i, adjusted := range Holm(ps) {
		judged[i] = family[i].Arm
		judged[i].Adjusted = adjusted
		judged[i].judge(family[i].Again, Alpha/float64(max(len(family), 1)))
	}
	return judged
}

// judge is the rule. The difference of the reference from itself is the error of
// this machine: a difference that overlaps it does not count. bound is what p must
// not exceed for a difference; for a tie the interval at 1-2·bound, as well as
// the printed one, must lie in the band.
func (c *Comparison) judge(again Comparison, bound float64) {
	pairs := pairsFor(bound)
	c.Sure = c.interval(1 - 2*bound)
	switch {
	case c.N == 0:
		c.leaveUndecided(FewRounds, pairs, "no round has the figure of both")
	case !c.measured():
		c.leaveUndecided(FewRounds, pairs-c.N, fmt.Sprintf("%d rounds are too few for an interval", c.N))
	case !again.measured():
		c.leaveUndecided(FewRounds, pairs-again.N, fmt.Sprintf("%d rounds of the reference against itself are too few", again.N))
	case c.Interval.Within(TieBand) && !again.Passes():
		c.leaveUndecided(Noisy, 0, "the reference differs from itself here")
	case c.Interval.Within(TieBand) && c.Sure == Interval{}:
		few := pairsFor(2 * bound)
		c.leaveUndecided(FewRounds, few-c.N, fmt.Sprintf("the interval lies within ±%.0f %%, but a tie takes %d rounds", 100*Margin, few))
	case c.Interval.Within(TieBand) && !c.Sure.Within(TieBand):
		c.leaveUndecided(Close, 0, fmt.Sprintf("the interval lies within ±%.0f %%, but not at the %.4g %% confidence that a tie takes here", 100*Margin, 100*(1-2*bound)))
	case c.Interval.Within(TieBand):
		c.Verdict, c.Reason, c.Why = Tie, "", fmt.Sprintf("the interval lies within ±%.0f %%", 100*Margin)
	case c.Interval.Covers(1):
		c.leaveUndecided(c.scatter(), 0, fmt.Sprintf("the interval holds 1 and reaches past ±%.0f %%", 100*Margin))
	case !c.Interval.Outside(again.Floor()):
		c.leaveUndecided(Noisy, 0, "the reference differs from itself as much")
	case c.Adjusted > Alpha && c.N < pairs:
		c.leaveUndecided(FewRounds, pairs-c.N, fmt.Sprintf("%d rounds are too few, it takes %d", c.N, pairs))
	case c.Adjusted > Alpha && c.scatter() == Close:
		c.leaveUndecided(Close, 0, fmt.Sprintf("corrected p %.3f, and the interval reaches into ±%.0f %%", c.Adjusted, 100*Margin))
	case c.Adjusted > Alpha:
		more := max(1, again.MoreRounds(bound, math.Expm1(math.Abs(math.Log(c.Ratio)))))
		c.leaveUndecided(FewRounds, more, fmt.Sprintf("corrected p %.3f", c.Adjusted))
	case c.Ratio > 1:
		c.Verdict, c.Reason, c.Why = Higher, "", fmt.Sprintf("corrected p %.2g", c.Adjusted)
	default:
		c.Verdict, c.Reason, c.Why = Lower, "", fmt.Sprintf("corrected p %.2g", c.Adjusted)
	}
}

// leaveUndecided sets why there is neither a difference nor a tie.
func (c *Comparison) leaveUndecided(reason Reason, more int, why string) {
	c.Verdict, c.Reason, c.More, c.Why = Unresolved, reason, max(more, 0), why
}

// scatter calls an interval that is neither a tie nor a difference close if it
// reaches no further than twice the band of a tie, and noisy otherwise.
func (c *Comparison) scatter() Reason {
	if c.Interval.Within(nearly) && !c.Interval.Outside(TieBand) {
		return Close
	}
	return Noisy
}

// nearly is twice the band of a tie.
var nearly = Interval{1 / (1 + 2*Margin), 1 + 2*Margin}

// measured says whether there are enough rounds for an interval.
func (c Comparison) measured() bool { return c.Interval != Interval{} }

// Floor is the part of an A/A comparison that is attributed to chance and to the machine: its
// interval, and everything between that and 1. None if it has no interval.
func (c Comparison) Floor() Interval {
	if !c.measured() {
		return Interval{}
	}
	return c.Interval.With(1)
}

// Passes says whether an A/A comparison is as it should be: its interval contains 1
// or lies within the band of a tie.
func (c Comparison) Passes() bool {
	return c.measured() && (c.Interval.Covers(1) || c.Interval.Within(TieBand))
}

// smallestP is the least two-sided p-value that n signed ranks can have.
func smallestP(n int) float64 { return math.Exp2(1 - float64(n)) }
