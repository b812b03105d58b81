package stats

import (
	"math"
	"math/rand/v2"
	"testing"
)

// simulation skips a test that computes for seconds under the race detector: it would take ten times as long, and
// this package has no goroutine and no variable that changes.
func simulation(t *testing.T) {
	t.Helper()
	if raceEnabled {
		t.Skip("a simulation in one goroutine")
	}
}

// noises are the disturbances of a log-ratio: a standard deviation of
// about 0.1 each, the second with one outlier in ten rounds.
var noises = map[string]func(*rand.Rand) float64{
	"normal": func(r *rand.Rand) float64 { return 0.07 * r.NormFloat64() },
	"heavy": func(r *rand.Rand) float64 {
		x := 0.05 * r.NormFloat64()
		if r.IntN(10) == 0 {
			x *= 6
		}
		return x
	},
}

// simulate measures arms that differ from the reference by a factor, and the
// reference again, in rounds that all share the drift of the machine.
func simulate(source *rand.Rand, noise func(*rand.Rand) float64, rounds, arms int, factor float64) []Question {
	values := make([][]float64, arms+2)
	for range rounds {
		drift := 0.3 * source.NormFloat64()
		for a := range values {
			values[a] = append(values[a], math.Exp(drift+noise(source)))
		}
	}
	again := Compare(values[1], values[0])
	questions := make([]Question, arms)
	for a := range questions {
		questions[a] = Question{Compare(scaled(values[a+2], factor), values[0]), again}
	}
	return questions
}

func differ(v Verdict) bool { return v == Higher || v == Lower }

// TestFalseAlarms: for equal servers, at most one family in twenty contains
// a difference, whatever the noise and the number of arms.
func TestFalseAlarms(t *testing.T) {
	simulation(t)
	for name, noise := range noises {
		for _, c := range []struct{ rounds, arms, figures int }{{8, 1, 1}, {10, 1, 3}, {11, 11, 3}, {20, 11, 1}} {
			const runs = 500
			source, alarms := rand.New(rand.NewPCG(3, 4)), 0
			for range runs {
				var family []Question
				for range c.figures {
					family = append(family, simulate(source, noise, c.rounds, c.arms, 1)...)
				}
				for _, judged := range Judge(family) {
					if differ(judged.Verdict) {
						alarms++
						break
					}
				}
			}
			t.Logf("%s, %d rounds, %d arms, %d figures: %.1f %% with a false difference", name, c.rounds, c.arms, c.figures, 100*float64(alarms)/runs)
			if alarms > runs/20 {
				t.Errorf("%s, %d rounds, %d arms, %d figures: false alarms in %d of %d runs", name, c.rounds, c.arms, c.figures, alarms, runs)
			}
		}
	}
}

// TestFalseTies: for servers that are 5 % apart, at most one family in twenty
// contains a tie, with a fixed number of rounds too.
func TestFalseTies(t *testing.T) {
	simulation(t)
	for name, noise := range noises {
		for _, c := range []struct{ rounds, arms int }{{8, 1}, {12, 11}, {20, 11}} {
			const runs = 500
			source, ties := rand.New(rand.NewPCG(13, 14)), 0
			little := func(r *rand.Rand) float64 { return 0.3 * noise(r) }
			for range runs {
				for _, judged := range Judge(simulate(source, little, c.rounds, c.arms, 1+Margin)) {
					if judged.Verdict == Tie {
						ties++
						break
					}
				}
			}
			t.Logf("%s, %d rounds, %d arms: %.1f %% with a false tie", name, c.rounds, c.arms, 100*float64(ties)/runs)
			if ties > runs*7/100 { // 5 % and two standard deviations of chance
				t.Errorf("%s, %d rounds, %d arms: false ties in %d of %d runs", name, c.rounds, c.arms, ties, runs)
			}
		}
	}
}

// TestCoverage: the interval contains the true ratio as often as it claims.
func TestCoverage(t *testing.T) {
	simulation(t)
	for name, noise := range noises {
		for _, rounds := range []int{6, 8, 12, 24} {
			const runs = 4000
			source, covered := rand.New(rand.NewPCG(5, 6)), 0
			for range runs {
				if simulate(source, noise, rounds, 1, 1.3)[0].Arm.Interval.Covers(1.3) {
					covered++
				}
			}
			share := float64(covered) / runs
			t.Logf("%s, %d rounds: covers in %.1f %%", name, rounds, 100*share)
			if share < 0.94 || share > 0.98 {
				t.Errorf("%s, %d rounds: the interval covers the truth in %.1f %% of runs", name, rounds, 100*share)
			}
		}
	}
}

// TestFinds: a difference of the size of Finds is found about four times in
// five: a little more often if noise is normal, a little less if there are outliers.
func TestFinds(t *testing.T) {
	simulation(t)
	for name, noise := range noises {
		for _, c := range []struct{ rounds, family int }{{8, 1}, {10, 3}, {20, 3}, {24, 11}} {
			const runs = 1500
			source := rand.New(rand.NewPCG(7, 8))
			var differences []float64
			for range 300 {
				x, ok := simulate(source, noise, c.rounds, 1, 1)[0].Again.Finds(Alpha / float64(c.family))
				if !ok {
					t.Fatalf("%d rounds find nothing among %d", c.rounds, c.family)
				}
				differences = append(differences, x)
			}
			typical, found := Median(differences), 0
			for range runs {
				q := simulate(source, noise, c.rounds, 1, 1+typical)[0]
				family := make([]Question, c.family) // the others are of nothing, and count
				family[0] = q
				if differ(Judge(family)[0].Verdict) {
					found++
				}
			}
			share := float64(found) / runs
			t.Logf("%s, %d rounds, family of %d: %.1f %% is found in %.0f %%", name, c.rounds, c.family, 100*typical, 100*share)
			if share < 0.65 || share > 0.90 {
				t.Errorf("%s, %d rounds, family of %d: %.1f %% is found in %.0f %% of runs, not in 80", name, c.rounds, c.family, 100*typical, 100*share)
			}
		}
	}
	if _, ok := Compare(make([]float64, 5), make([]float64, 5)).Finds(Alpha); ok {
		t.Error("five rounds find something")
	}
	few := Compare([]float64{1, 1, 1, 1, 1, 1, 1.1}, []float64{1, 1.1, 1, 1, 1, 1, 1})
	if n := few.MoreRounds(Alpha/11, 0.05); n != Pairs(11)-7 {
		t.Errorf("%d more rounds for a family of 11, want %d", n, Pairs(11)-7)
	}
	again := Comparison{N: 10, Interval: Interval{1 / 1.04, 1.04}}
	if x, _ := again.Finds(Alpha); math.Abs(x-0.11) > 0.005 {
		t.Errorf("an A/A interval of ±4 %% finds %v", x)
	}
	if n := again.MoreRounds(Alpha, 0.05); n < 30 || n > 40 {
		t.Errorf("%d more rounds to find 5 %% where 10 find 10", n)
	}
}

// simulateLooks is one run that takes as many rounds as it needs: the verdict on each arm,
// and after how many rounds. budget ends it.
func simulateLooks(source *rand.Rand, noise func(*rand.Rand) float64, arms, budget int, factor float64) (verdicts []Verdict, rounds []int) {
	values := make([][]float64, arms+2)
	verdicts, rounds = make([]Verdict, arms), make([]int, arms)
	for n := 1; n <= budget; n++ {
		drift := 0.3 * source.NormFloat64()
		for a := range values {
			values[a] = append(values[a], math.Exp(drift+noise(source)))
		}
		if !IsLook(n) && n < budget {
			continue
		}
		family := make([]Question, arms) // those that are decided stay in it, for the bound
		again := Compare(values[1], values[0])
		for a := range family {
			if verdicts[a] == "" || verdicts[a] == Unresolved {
				family[a] = Question{Compare(scaled(values[a+2], factor), values[0]), again}
			}
		}
		for a, c := range JudgeAtLooks(family) {
			if family[a].Arm.N > 0 {
				verdicts[a], rounds[a] = c.Verdict, n
			}
		}
	}
	return verdicts, rounds
}

// TestLooks is the whole procedure: looks, bounds, the error of A/A, an end by
// the budget between two looks. Equal servers are called different in one
// family of twenty at most, one that is 5 % dearer hardly ever a tie, and one
// that is 30 % dearer is found.
func TestLooks(t *testing.T) {
	simulation(t)
	for name, noise := range noises {
		for _, c := range []struct {
			arms, budget int
			factor       float64
			most, least  float64 // share of runs with a difference
		}{{1, 48, 1, 0.05, 0}, {3, 48, 1, 0.05, 0}, {11, 24, 1, 0.05, 0}, {3, 10, 1, 0.05, 0}, {1, 48, 1.05, 1, 0}, {3, 48, 1.3, 1, 0.95}} {
			const runs = 200
			source := rand.New(rand.NewPCG(9, 10))
			different, ties, took := 0, 0, 0
			for range runs {
				verdicts, rounds := simulateLooks(source, noise, c.arms, c.budget, c.factor)
				for a := range verdicts {
					took += rounds[a]
					if verdicts[a] == Tie {
						ties++
					}
				}
				for _, v := range verdicts {
					if differ(v) {
						different++
						break
					}
				}
			}
			share, tied := float64(different)/runs, float64(ties)/float64(runs*c.arms)
			t.Logf("%s, %d arms at %.2f, at most %d rounds: a difference in %.1f %% of runs, %.1f %% ties, %.1f rounds an arm",
				name, c.arms, c.factor, c.budget, 100*share, 100*tied, float64(took)/float64(runs*c.arms))
			if share > c.most || share < c.least || c.factor >= 1.05 && tied > 0.05 {
				t.Errorf("%s, %d arms at %.2f: a difference in %.1f %% of runs, %.1f %% ties", name, c.arms, c.factor, 100*share, 100*tied)
			}
		}
	}
	alarms, source := 0, rand.New(rand.NewPCG(11, 12))
	const runs = 2000
	for range runs { // the bound alone, without the error of A/A, and an end after 20 rounds
		var logs []float64
		for n := 1; n <= 20; n++ {
			logs = append(logs, source.NormFloat64())
			if _, p, _ := SignedRank(logs); (IsLook(n) || n == 20) && p <= Bound(1) {
				alarms++
				break
			}
		}
	}
	if t.Logf("the bound alone: %.1f %%", 100*float64(alarms)/runs); alarms > runs*55/1000 {
		t.Errorf("the bound alone lets through %d of %d", alarms, runs)
	}
	for m, want := range map[int]float64{0: 0.0155, 1: 0.0155, 2: 0.00824, 3: 0.0057, 11: 0.0012, 22: 0.0006} {
		if got := Bound(m); math.Abs(got/want-1) > 0.01 {
			t.Errorf("the bound for %d comparisons is %v, want %v", m, got, want)
		}
	}
}
