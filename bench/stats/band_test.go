package stats

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// simulateCurves makes one curve for each round, around slope times the point.
// Neighbouring points are alike, as the percentiles of one histogram are, and
// the tail is noisier; heavy makes one round in ten wild.
func simulateCurves(source *rand.Rand, rounds, points int, alike float64, heavy bool, slope float64) (curves [][]float64) {
	for range rounds {
		scale := 0.05
		if heavy && source.IntN(10) == 0 {
			scale *= 6
		}
		curve, common, state := make([]float64, points), source.NormFloat64(), source.NormFloat64()
		for g := range curve {
			rise := 1 + 2*float64(g)/float64(points)
			curve[g] = slope*float64(g) + scale*rise*(0.7*common+state)
			state = alike*state + math.Sqrt(1-alike*alike)*source.NormFloat64()
		}
		curves = append(curves, curve)
	}
	return curves
}

// holds says whether the whole line lies in the band.
func holds(b Band, slope float64) bool {
	for g := range b.Center {
		if truth := slope * float64(g); truth < b.Low[g] || truth > b.High[g] {
			return false
		}
	}
	return true
}

// TestBandCoverage: the band contains the whole curve as often as it claims, for one
// sample and for the difference between two.
func TestBandCoverage(t *testing.T) {
	simulation(t)
	const runs, points = 300, 20
	for _, heavy := range []bool{false, true} {
		for _, c := range []struct {
			alike          float64
			rounds, others int
		}{{0.95, 6, 0}, {0.95, 8, 0}, {0.6, 8, 0}, {0.95, 20, 0}, {0.95, 6, 12}, {0.6, 8, 8}} {
			t.Run(fmt.Sprintf("heavy=%v/alike=%v/%d-%d", heavy, c.alike, c.rounds, c.others), func(t *testing.T) {
				t.Parallel()
				source, held := rand.New(rand.NewPCG(9, 10)), 0
				for range runs {
					curves := simulateCurves(source, c.rounds, points, c.alike, heavy, 0.02)
					b, ok := Simultaneous(curves)
					if c.others > 0 {
						b, ok = SimultaneousBetween(simulateCurves(source, c.others, points, c.alike, heavy, 0.01), curves)
						for g := range b.Center { // what the others' slope takes away
							b.Low[g], b.High[g] = b.Low[g]+0.01*float64(g), b.High[g]+0.01*float64(g)
						}
					}
					if ok && holds(b, 0.02) {
						held++
					}
				}
				share := float64(held) / runs
				t.Logf("holds in %.1f %%", 100*share)
				if share < 0.93 || share > 0.995 {
					t.Errorf("the band holds the whole curve in %.1f %% of runs", 100*share)
				}
			})
		}
	}
}

// TestBand: too few rounds have a center and no band; equal rounds
// have a band of width zero; and the same rounds give the same band.
func TestBand(t *testing.T) {
	curves := simulateCurves(rand.New(rand.NewPCG(1, 2)), 8, 10, 0.9, false, 0)
	if b, ok := Simultaneous(curves[:CurveRounds-1]); ok || len(b.Center) != 10 || b.Low != nil {
		t.Errorf("of five rounds: %+v, %v", b, ok)
	}
	if b, ok := Simultaneous(nil); ok || b.Center != nil {
		t.Errorf("of nothing: %+v, %v", b, ok)
	}
	if b, ok := SimultaneousBetween(curves, curves[:3]); ok || b.Low != nil || len(b.Center) != 10 {
		t.Errorf("against three: %+v, %v", b, ok)
	}
	for i := range curves {
		curves[i][4] = 1.5
	}
	b, ok := Simultaneous(curves)
	if !ok || b.Low[4] != 1.5 || b.High[4] != 1.5 || b.Low[3] >= b.Center[3] {
		t.Errorf("where all agree: %v, %v to %v", ok, b.Low[4], b.High[4])
	}
	if again, _ := Simultaneous(curves); !slices.Equal(again.High, b.High) {
		t.Error("the same rounds give another band")
	}
}
