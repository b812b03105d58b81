package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"chatbench/bench/machine"
	"chatbench/bench/record"
	"chatbench/bench/stats"
)

// lawMiss is how far, as a share of it, the law may be from a rate without a doubt: a smaller
// error does not matter, however narrow the rate's interval is.
const lawMiss = 0.05

// center is the interval of the center of the rates of a number of CPUs: that of the
// signed-rank test, or from the least to the greatest if there are too few for it.
func center(rates []float64, low, high float64) stats.Interval {
	if i, ok := stats.SignedRankInterval(rates, stats.Level); ok {
		return i
	}
	return stats.Interval{Low: low, High: high}
}

// siblings returns for each CPU the CPUs on its core, including itself (record.Env.Siblings).
func siblings(e *record.Env) map[int][]int {
	cores := make(map[int][]int)
	for _, line := range e.Siblings {
		cpu, list, _ := strings.Cut(line, ": ")
		if c, err := strconv.Atoi(cpu); err == nil {
			cores[c], _ = machine.ParseCPUs(list)
		}
	}
	return cores
}

// oneCore says which of a server's CPUs are threads of one core, or share a core with a CPU
// of the generator.
func oneCore(cores map[int][]int, server, generator []int) string {
	for _, c := range server {
		for _, s := range cores[c] {
			switch {
			case s == c:
			case slices.Contains(server, s):
				return fmt.Sprintf("CPUs %d and %d of the server are threads of one core", min(c, s), max(c, s))
			case slices.Contains(generator, s):
				return fmt.Sprintf("CPU %d of the server and CPU %d of the generator are threads of one core", c, s)
			}
		}
	}
	return ""
}

// doubt says why the rates may not be the server's. A generator that was busy for less
// than slack of its time had time to spare.
func (s *Scaling) doubt(slack float64) {
	for _, p := range s.Points {
		if p.Rounds > 0 && p.Core != "" {
			s.Doubts = append(s.Doubts, fmt.Sprintf("with %s, %s: the rate is low for that many", cpuCount(p.CPUs), p.Core))
		}
		switch {
		case p.Rounds == 0: // the law does not use it
		case p.Shared:
			s.Doubts = append(s.Doubts, fmt.Sprintf("with %s the server shared a CPU with the generator: that rate is of the pair, and low", cpuCount(p.CPUs)))
		case p.AtLeast || p.Limit == "generator" || p.Limit == "both":
			s.Doubts = append(s.Doubts, fmt.Sprintf("with %s the generator was a limit: the server can do more", cpuCount(p.CPUs)))
		case p.Limit != "server" && (p.Generator >= slack || p.Limit == "others"):
			s.Doubts = append(s.Doubts, fmt.Sprintf("with %s it is not known that the server was the limit (%s)", cpuCount(p.CPUs), p.Limit))
		}
	}
}

// doubtLaw says why nothing can be predicted from a law: the rates do not follow
// it, or there are too few rounds to know how certain it is.
func (s *Scaling) doubtLaw(f stats.Scalability) {
	for _, p := range s.Points {
		if p.Rounds == 0 {
			continue
		}
		law := f.At(float64(p.CPUs))
		if off := law/p.Rate - 1; math.Abs(off) > lawMiss && !p.around.Covers(law) {
			s.Doubts = append(s.Doubts, fmt.Sprintf("the law misses the rate with %s by %s %%: it is not the one that the server follows", cpuCount(p.CPUs), percent(math.Abs(off))))
		}
	}
	if f.Fewest >= stats.USLRounds {
		return
	}
	for _, p := range s.Points {
		if p.Rounds == f.Fewest {
			s.Doubts = append(s.Doubts, fmt.Sprintf("how sure the law is takes %d rounds with each number of CPUs: with %s %d counted", stats.USLRounds, cpuCount(p.CPUs), p.Rounds))
			return
		}
	}
}

func cpuCount(n int) string {
	if n == 1 {
		return "1 CPU"
	}
	return fmt.Sprintf("%d CPUs", n)
}
