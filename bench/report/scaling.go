package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"chatbench/bench/record"
	"chatbench/bench/stats"
)

// Scaling is how the rate of a backend grows with the CPUs of its server, under one
// closed loop.
type Scaling struct {
	Load    string       `json:"load"`
	Backend string       `json:"backend"`
	Points  []ScalePoint `json:"points"` // the fewest CPUs first
	// Law is the universal scalability law (stats.USL) fitted to the rates of all rounds that
	// count; nil if they have fewer than two numbers of CPUs.
	Law *ScaleLaw `json:"law,omitempty"`
	// Doubts says why nothing is predicted, one sentence each: the rates are not those of the server
	// alone, or the law does not fit them, or there are too few rounds.
	Doubts []string `json:"doubts,omitempty"`
}

// ScalePoint is one number of CPUs: medians over the rounds.
type ScalePoint struct {
	CPUs    int     `json:"cpus"`
	Arm     string  `json:"arm"`
	Rounds  int     `json:"rounds"`              // that count
	Rate    float64 `json:"deliveries_s"`        // deliveries a second
	Low     float64 `json:"deliveries_s_min"`    // the least of a round
	High    float64 `json:"deliveries_s_max"`    // the greatest
	CPU     float64 `json:"cpu_ns_per_delivery"` // of the server; 0: not known
	Busy    float64 `json:"busy"`                // share of its CPUs
	Speedup float64 `json:"speedup"`             // Rate by that of the fewest CPUs of which a round counts
	Limit   string  `json:"limit"`               // as ArmSummary.Limit
	// Generator is how busy the generator was. If it had time to spare it waited for
	// the server, busy or not: such waiting loops are what the law describes.
	Generator float64 `json:"generator_busy"`
	Shared    bool    `json:"shared,omitempty"`   // the generator had one of the CPUs
	AtLeast   bool    `json:"at_least,omitempty"` // the generator was the limit
	// Core says which of its CPUs are threads of one core; "" if none are, as far as is known.
	Core string `json:"core,omitempty"`

	around stats.Interval // of Rate
}

// ScaleLaw is a fit. Its intervals are of 95 %, from rounds drawn with replacement.
type ScaleLaw struct {
	Lambda Estimate `json:"lambda"` // deliveries a second
	Sigma  Estimate `json:"sigma"`
	Kappa  Estimate `json:"kappa"`
	// Determined: there are enough numbers of CPUs. Otherwise κ was held at 0.
	Determined bool `json:"determined"`
	// Predicted is the rates at numbers of CPUs that were not measured, and Peak the number
	// beyond which more CPUs make the server slower. Absent if the law is not determined or there are
	// doubts; Peak also if the rate never falls.
	Predicted []Prediction `json:"predicted,omitempty"`
	Peak      *Estimate    `json:"peak_cpus,omitempty"`
}

// Estimate is a value with its interval; Low and High are absent if there are too few
// rounds, and High if it has no bound.
type Estimate struct {
	Value float64  `json:"value"`
	Low   *float64 `json:"low,omitempty"`
	High  *float64 `json:"high,omitempty"`
}

// Prediction is the law's prediction for a number of CPUs.
type Prediction struct {
	CPUs int      `json:"cpus"`
	Rate Estimate `json:"deliveries_s"`
}

// scalings returns a Scaling for each backend under each closed loop.
func (s *Summary) scalings(run *record.Run) (all []Scaling) {
	for i := range s.Loads {
		l := &s.Loads[i]
		if !l.Closed() {
			continue
		}
		var names []string
		for _, a := range l.Arms {
			if a.Scales != "" && !slices.Contains(names, a.Scales) {
				names = append(names, a.Scales)
			}
		}
		for _, name := range names {
			all = append(all, l.scaling(run, name))
		}
	}
	return all
}

// scaling returns the Scaling of one backend.
func (l *LoadSummary) scaling(run *record.Run, name string) Scaling {
	s, m, cores := Scaling{Load: l.Name, Backend: name}, &run.Manifest, siblings(&run.Env)
	rounds := make(map[int][]stats.Throughput)
	for i := range l.Arms {
		a := &l.Arms[i]
		if a.Scales != name || a.Again {
			continue
		}
		rate := a.Figures[keyRate]
		p := ScalePoint{
			CPUs: len(a.CPUs), Arm: a.Name, Rounds: a.Rounds, Rate: rate.Median, Low: rate.Min, High: rate.Max,
			CPU: a.Figures[keyCPU].Median, Busy: a.Figures[keyBusy].Median, Limit: a.Limit,
			Generator: a.Figures[keyGenBusy].Median, Shared: m.Shares(a.Name), AtLeast: rate.AtLeast,
			Core: oneCore(cores, a.CPUs, m.GeneratorCPUs),
		}
		p.around = center(a.series[keyRate].all(), rate.Min, rate.Max)
		s.Points = append(s.Points, p)
		for round, x := range a.series[keyRate] {
			rounds[round] = append(rounds[round], stats.Throughput{N: float64(p.CPUs), X: x})
		}
	}
	slices.SortFunc(s.Points, func(a, b ScalePoint) int { return a.CPUs - b.CPUs })
	if i := slices.IndexFunc(s.Points, func(p ScalePoint) bool { return p.Rate > 0 }); i >= 0 {
		for j, first := i, s.Points[i].Rate; j < len(s.Points); j++ {
			s.Points[j].Speedup = s.Points[j].Rate / first
		}
	}
	s.doubt(cmp.Or(m.Rules.GeneratorMax, record.DefaultRules().GeneratorMax))
	s.fit(rounds)
	return s
}

// fit fits the law to the rates.
func (s *Scaling) fit(rounds map[int][]stats.Throughput) {
	var all [][]stats.Throughput
	for _, round := range slices.Sorted(maps.Keys(rounds)) {
		slices.SortFunc(rounds[round], func(a, b stats.Throughput) int { return int(a.N - b.N) })
		all = append(all, rounds[round])
	}
	f, err := stats.FitRounds(all)
	if err != nil {
		return // too few numbers of CPUs
	}
	estimate := func(of func(stats.USL) float64) Estimate {
		e := Estimate{Value: of(f.USL)}
		if i, ok := f.Interval(of); ok {
			e.Low = &i.Low
			if !math.IsInf(i.High, 1) {
				e.High = &i.High
			}
		}
		return e
	}
	s.Law = &ScaleLaw{
		Lambda: estimate(func(u stats.USL) float64 { return u.Lambda }), Sigma: estimate(func(u stats.USL) float64 { return u.Sigma }),
		Kappa: estimate(func(u stats.USL) float64 { return u.Kappa }), Determined: f.Determined,
	}
	s.doubtLaw(f)
	if !f.Determined || s.Doubts != nil {
		return
	}
	most := 0 // that was measured
	for _, p := range s.Points {
		if p.Rounds > 0 {
			most = p.CPUs
		}
	}
	for _, n := range []int{2 * most, 4 * most} {
		s.Law.Predicted = append(s.Law.Predicted, Prediction{n, estimate(func(u stats.USL) float64 { return u.At(float64(n)) })})
	}
	if peak := f.Peak(); !math.IsInf(peak, 1) {
		e := estimate(stats.USL.Peak)
		s.Law.Peak = &e
	}
}

// pairs returns the arms whose servers had to share a CPU with the generator.
func (s *Summary) pairs() (names []string) {
	for _, scaling := range s.Scaling {
		for _, p := range scaling.Points {
			if p.Shared && !slices.Contains(names, p.Arm) {
				names = append(names, p.Arm)
			}
		}
	}
	return names
}

// text prints an estimate by print.
func (e Estimate) text(print func(float64) string) string {
	switch {
	case e.Low == nil:
		return print(e.Value)
	case e.High == nil:
		return fmt.Sprintf("%s (%s or more)", print(e.Value), print(*e.Low))
	}
	return fmt.Sprintf("%s (%s–%s)", print(e.Value), print(*e.Low), print(*e.High))
}

// sentences describes the law and the doubts.
func (s *Scaling) sentences() (lines []string) {
	lines = append(lines, s.Doubts...)
	law := s.Law
	switch {
	case law == nil:
		return append(lines, "no law is put through fewer than two numbers of CPUs")
	case !law.Determined:
		return append(lines, fmt.Sprintf("the law is not determined: it has three parameters and takes %d numbers of CPUs. If κ is 0, σ = %s; "+
			"nothing is predicted from that", stats.USLNumbers, law.Sigma.text(small)))
	}
	lines = append(lines, fmt.Sprintf("the law: λ = %s deliveries/s, σ = %s, κ = %s", law.Lambda.text(count), law.Sigma.text(small), law.Kappa.text(small)))
	if s.Doubts != nil {
		return append(lines, "nothing is predicted, for the reasons above")
	}
	for _, p := range law.Predicted {
		lines = append(lines, fmt.Sprintf("predicted with %s, if nothing else changes: %s deliveries/s", cpuCount(p.CPUs), p.Rate.text(count)))
	}
	if law.Peak != nil {
		lines = append(lines, fmt.Sprintf("predicted: the most with %s CPUs", law.Peak.text(plain)))
	}
	return lines
}

// heading says what is scaled.
func (s *Scaling) heading() string {
	return fmt.Sprintf("%s by the CPUs of its server (%s)", s.Backend, s.Load)
}

// rows is the table: CPUs, rate, speed-up, CPU per delivery, use, limit.
func (s *Scaling) rows() (rows [][]string) {
	for _, p := range s.Points {
		rate := count(p.Rate)
		if p.AtLeast {
			rate = "≥ " + rate
		}
		cost := "–"
		if p.CPU > 0 {
			cost = plain(p.CPU)
		}
		if p.Rounds == 0 {
			rows = append(rows, []string{fmt.Sprint(p.CPUs), "–", "–", "–", "–", "no round counts"})
			continue
		}
		rows = append(rows, []string{fmt.Sprint(p.CPUs), rate, "×" + plain(p.Speedup), cost, percent(p.Busy), p.Limit})
	}
	return rows
}

// text writes the scaling for a terminal.
func (s *Scaling) text(w io.Writer, style Style) {
	fmt.Fprintln(w, style.paint(bold, s.heading()))
	t := table{{"CPUs", "deliv.", "of the", "CPU µs", "busy", "limit"}, {"", "/s", "fewest", "/1000 d.", "%", ""}}
	t = append(t, s.rows()...)
	t.write(w, 1, style)
	for _, line := range s.sentences() {
		fmt.Fprintln(w, wrapped("  "+capital(line)+".", style.width(), 2))
	}
}

// markdown writes the scaling for a page of Markdown.
func (s *Scaling) markdown(w io.Writer) {
	fmt.Fprintf(w, "\n### %s\n\n", escaped(s.heading()))
	markdownRow(w, "CPUs", "deliveries/s", "of the fewest", "CPU µs per 1000 deliveries", "use of its CPUs, %", "limit")
	fmt.Fprintln(w, "|--:|--:|--:|--:|--:|:--|")
	for _, row := range s.rows() {
		markdownRow(w, row...)
	}
	fmt.Fprintln(w)
	for _, line := range s.sentences() {
		fmt.Fprintf(w, "- %s.\n", escaped(capital(line)))
	}
}
