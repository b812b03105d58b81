package report

import (
	"bytes"
	"encoding/csv"
	"strconv"
)

// CSV contains every figure of every arm that both runs have, one per line, in base
// units.
func (p *Pair) CSV() []byte {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	head := []string{"load", "arm", "figure", "better", "family",
		"a_n", "a_median", "a_spread", "a_noise", "b_n", "b_median", "b_spread", "b_noise"}
	for _, of := range []string{"change", "relative"} {
		for _, what := range []string{"", "_low", "_high", "_p", "_p_adjusted", "_verdict", "_why"} {
			head = append(head, of+what)
		}
	}
	w.Write(append(head, "trust"))
	for i := range p.Loads {
		l := &p.Loads[i]
		for _, a := range l.Arms {
			for _, m := range metrics {
				f, ok := a.Figures[m.key]
				if !ok {
					continue
				}
				family, noise := "", l.Noise[m.key]
				if f.Change != nil && m.judged {
					family = f.Change.family()
				}
				row := []string{l.Name, a.Name, m.key, string(m.better), family}
				row = append(append(row, f.A.columns(noise.A)...), f.B.columns(noise.B)...)
				row = append(append(row, f.Change.columns()...), f.Relative.columns()...)
				w.Write(append(row, f.Trust))
			}
		}
	}
	w.Flush()
	return out.Bytes()
}

func (f Figure) columns(noise float64) []string {
	row := []string{strconv.Itoa(f.N), "", "", ""}
	if f.N > 0 {
		row[1], row[2] = number(f.Median), number(f.Spread)
	}
	if noise > 0 {
		row[3] = number(noise)
	}
	return row
}

func (v *Versus) columns() []string {
	if v == nil {
		return make([]string, 7)
	}
	low, high := "", ""
	if v.Low > 0 {
		low, high = number(v.Low), number(v.High)
	}
	return []string{number(v.Ratio), low, high, number(v.P), number(v.Adjusted), v.Verdict, v.Why}
}
