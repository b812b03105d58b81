package report

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"strconv"

	"chatbench/bench/record"
)

// The derived files of a run.
const (
	ChecksFile  = "checks.json"
	BenchFile   = "bench.txt"
	SummaryFile = "summary.csv"
	HTMLFile    = "report.html"
	gramSuffix  = ".hgrm"
)

// Files computes every derived file of a run from its records. sums is the
// SHA-256 of the raw files. The same records give the same octets.
func Files(run *record.Run, sums map[string]string) (map[string][]byte, error) {
	s := Summarize(run, sums)
	files := map[string][]byte{
		BenchFile:   benchText(run),
		SummaryFile: s.csv(),
	}
	var err error
	if files[ChecksFile], err = record.JSON(s.Checks); err != nil {
		return nil, err
	}
	if files[HTMLFile], err = s.html(run); err != nil {
		return nil, err
	}
	for _, l := range s.Loads {
		for _, a := range l.Arms {
			if a.curve == nil {
				continue
			}
			var gram bytes.Buffer
			if _, err := a.curve.PercentilesPrint(&gram, 5, 1e6); err != nil { // in milliseconds
				return nil, fmt.Errorf("report: %w", err)
			}
			files[l.Name+"."+a.Name+gramSuffix] = gram.Bytes()
		}
	}
	return files, nil
}

// csv contains every figure of every arm, one per line, in base units.
func (s *Summary) csv() []byte {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	w.Write([]string{"load", "arm", "figure", "better", "n", "median", "min", "max", "spread", "at_least", "at_most",
		"pairs", "ratio", "low", "high", "p", "p_adjusted", "family", "verdict", "reason", "why"})
	for _, l := range s.Loads {
		if l.Ceiling > 0 {
			f := l.nullServer.Figures[keyRate]
			w.Write([]string{l.Name, record.NullArm, keyRate, string(higher), strconv.Itoa(f.N),
				number(f.Median), number(f.Min), number(f.Max), number(f.Spread), "false", "false", "", "", "", "", "", "", "", "", "", ""})
		}
		for _, a := range l.Arms {
			for _, m := range metrics {
				f, ok := a.Figures[m.key]
				if !ok {
					continue
				}
				row := []string{l.Name, a.Name, m.key, string(m.better), strconv.Itoa(f.N),
					number(f.Median), number(f.Min), number(f.Max), number(f.Spread), strconv.FormatBool(f.AtLeast), strconv.FormatBool(f.AtMost)}
				if v := f.Versus; v != nil {
					low, high := "", ""
					if v.Low > 0 {
						low, high = number(v.Low), number(v.High)
					}
					row = append(row, strconv.Itoa(v.N), number(v.Ratio), low, high,
						number(v.P), number(v.Adjusted), v.family(), v.Verdict, string(v.Reason), v.Why)
				} else {
					row = append(row, "", "", "", "", "", "", "", "", "", "")
				}
				w.Write(row)
			}
		}
	}
	w.Flush()
	return out.Bytes()
}

// family is the family with which a comparison was corrected.
func (v *Versus) family() string {
	if v.Primary {
		return "primary"
	}
	return "exploratory"
}

// number formats a float with the fewest digits that represent it, up to nine:
// further digits depend on how a machine rounds.
func number(v float64) string { return strconv.FormatFloat(v, 'g', 9, 64) }

// clients is how many clients an arm had.
func clients(run *record.Run, r *record.Round, load record.Load) int {
	for _, a := range run.Manifest.Arms {
		if a.Name == r.Arm && a.Clients > 0 {
			return a.Clients
		}
	}
	return load.Clients
}

// benchmarks maps scenarios to the names of Go benchmarks.
var benchmarks = map[string]string{record.Broadcast: "Broadcast", record.Relay: "Relay", record.Idle: "Idle"}

// benchText is the rounds in the format of Go's benchmarks, one line each, for
// benchstat -col /backend. Void rounds are comments, so that benchstat does not count them.
func benchText(run *record.Run) []byte {
	var out bytes.Buffer
	m := &run.Manifest
	fmt.Fprintf(&out, "run: %s\ncommit: %s\ncpu: %s\nkernel: %s\ngo: %s\ntcp-congestion-control: %s\n",
		m.Name, m.Commit, run.Env.CPU, run.Env.Kernel, run.Env.Go, run.Env.Congestion)
	for _, metric := range metrics {
		if metric.better != "" {
			fmt.Fprintf(&out, "Unit %s better=%s\n", metric.key, metric.better)
		}
	}
	for i := range run.Rounds {
		r := &run.Rounds[i]
		load, ok := run.Load(r.Load)
		if !ok || r.Arm == record.NullArm {
			continue
		}
		if !r.Counts() {
			out.WriteString("# void ")
			for _, reason := range r.Void {
				fmt.Fprintf(&out, "%s ", reason)
			}
		}
		fmt.Fprintf(&out, "Benchmark%s/backend=%s/n=%d/size=%d/load=%s-%d %d", benchmarks[load.Scenario], r.Arm, clients(run, r, load), load.Size, load.Name,
			max(len(m.CPUsOf(r.Arm)), 1), max(r.Traffic.Deliveries, 1))
		for _, metric := range metrics {
			if v, ok := metric.at(view{r, load, m}); ok {
				fmt.Fprintf(&out, " %s %s", number(v), metric.key)
			}
		}
		out.WriteByte('\n')
	}
	return out.Bytes()
}
