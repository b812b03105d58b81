package report

import (
	"fmt"

	"chatbench/bench/record"
	"chatbench/bench/stats"
)

// use is what an arm's rounds used, as medians.
type use struct {
	cpu, user, kernel  float64 // ns a delivery
	syscalls, switches float64 // a delivery
	writes             float64 // of the server itself, for each delivery the generator checked
	processes, threads float64
	clients            float64
}

// uses returns what an arm and the best used, both in the rounds in which both have
// the figure: medians over different rounds would include what the machine did differently
// in those.
func (l *LoadSummary) uses(run *record.Run, key string, a, best *ArmSummary) (own, other use) {
	common := make(series)
	for round := range a.series[key] {
		if v, ok := best.series[key][round]; ok {
			common[round] = v
		}
	}
	return l.useIn(run, a, common), l.useIn(run, best, common)
}

// useIn returns what an arm used in some rounds that count.
func (l *LoadSummary) useIn(run *record.Run, a *ArmSummary, rounds series) use {
	var writes, processes, threads, clients []float64
	for i := range run.Rounds {
		r := &run.Rounds[i]
		if _, in := rounds[r.Round]; !in || r.Arm != a.Name || r.Load != l.Name || !r.Counts() {
			continue
		}
		if r.Server != nil && r.Traffic.Checked > 0 {
			writes = append(writes, float64(r.Server.Writes)/float64(r.Traffic.Checked))
		}
		processes = append(processes, float64(r.Usage.Processes))
		threads = append(threads, float64(r.Usage.Threads))
		clients = append(clients, float64(r.Traffic.Clients))
	}
	of := func(key string) float64 {
		own, _ := pairs(a.series[key], rounds)
		return stats.Median(own)
	}
	return use{
		of(keyCPU), of(keyUser), of(keyKernel), of(keySyscalls), of(keySwitches),
		stats.Median(writes), stats.Median(processes), stats.Median(threads), stats.Median(clients),
	}
}

// why says in a clause what explains most of what an arm costs more than the
// best. It uses only figures, no names, and returns "" for less
// than 5 %, for what may be chance, and if no figure explains it. A
// figure that was not measured is NaN, and explains nothing.
func (l *LoadSummary) why(key string, a, best use, ratio *Ratio) string {
	if ratio == nil || ratio.Ratio < 1+stats.Margin || ratio.Low <= 1 {
		return ""
	}
	who := a.each(best)
	if key != keyCPU {
		return who
	}
	clause := l.because(a, best, ratio.Ratio)
	if clause != "" && who != "" {
		return clause + ", " + who
	}
	return clause + who
}

// because says what the CPU was used for. If half of the excess or more is the
// server's own code, it is that. Otherwise it is system calls and context switches,
// if there are so many more of them that they account for the excess even if each
// costs no more than all CPU of the best divided by its events: they have grown at least
// as much as the cost has. A switch costs more than a call, so if there are
// half as many more of them it is the switches. If there are no more of either,
// each call takes longer. If the medians show no excess (the ratio is of pairs,
// and may differ) there is nothing to explain.
func (l *LoadSummary) because(a, best use, ratio float64) string {
	excess := a.cpu - best.cpu
	events, before := a.syscalls+a.switches, best.syscalls+best.switches
	switch {
	case !(excess > 0):
	case 2*(a.user-best.user) >= excess:
		return fmt.Sprintf("spends %.0f %% in user code", 100*a.user/a.cpu)
	case events >= ratio*before && a.switches-best.switches >= (a.syscalls-best.syscalls)/2:
		return l.often(a.switches, "switch", "switches")
	case events >= ratio*before && l.Closed() && about(a.writes, 1) && best.writes < 0.5:
		return "one write " + l.aDelivery()
	case events >= ratio*before:
		return l.often(a.syscalls, "system call", "system calls")
	case 2*(a.kernel-best.kernel) >= excess && about(events, before):
		return fmt.Sprintf("each system call %s× longer", digits(a.kernel/a.syscalls*best.syscalls/best.kernel))
	}
	return ""
}

// each says what an arm has for each of its clients that the best has not.
func (a use) each(best use) string {
	processes, threads := (a.processes-best.processes)/a.clients, (a.threads-best.threads)/a.clients
	switch {
	case processes > 0.9:
		return "a process for each client"
	case threads > 1.9:
		return fmt.Sprintf("%.0f threads for each client", threads)
	case threads > 0.9:
		return "a thread for each client"
	}
	return ""
}

// about says whether two counts are equal to within a tenth.
func about(x, y float64) bool { return x <= 1.1*y && y <= 1.1*x }

// often says how often something happens: "a switch for each delivery", "2.1
// system calls a delivery", "3.3 switches per 1000 deliveries".
func (l *LoadSummary) often(times float64, one, many string) string {
	switch {
	case about(times, 1):
		return fmt.Sprintf("a %s for each %s", one, l.delivery())
	case times >= 0.1:
		return fmt.Sprintf("%s %s %s", digits(times), many, l.aDelivery())
	}
	return fmt.Sprintf("%s %s per 1000", plain(1000*times), many)
}

func (l *LoadSummary) delivery() string {
	if l.Scenario == record.Relay {
		return "frame"
	}
	return "delivery"
}

func (l *LoadSummary) aDelivery() string { return "a " + l.delivery() }
