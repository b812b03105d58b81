package report

import (
	"fmt"
	"io"
	"slices"

	"chatbench/bench/record"
)

// Compared is one run among others.
type Compared struct {
	Dir     string   `json:"dir"`
	Summary *Summary `json:"summary"`
	// Differs lists how the conditions of the run differ from those of the first.
	Differs []string `json:"differs,omitempty"`
}

// Compare sets runs side by side, the oldest first. They were measured at
// different times, so their figures are not paired and no verdict is given.
func Compare(runs []*record.Run, dirs []string) []Compared {
	type one struct {
		run *record.Run
		dir string
	}
	all := make([]one, len(runs))
	for i := range runs {
		all[i] = one{runs[i], dirs[i]}
	}
	slices.SortStableFunc(all, func(a, b one) int { return a.run.Manifest.Started.Compare(b.run.Manifest.Started) })
	var out []Compared
	for _, o := range all {
		out = append(out, Compared{Dir: o.dir, Summary: Summarize(o.run, nil), Differs: disturbing(differences(all[0].run, o.run))})
	}
	return out
}

// WriteCompared writes the comparison for people, load by load.
func WriteCompared(w io.Writer, runs []Compared, style Style) {
	var names []string
	for _, r := range runs {
		for _, l := range r.Summary.Loads {
			if !slices.Contains(names, l.Name) {
				names = append(names, l.Name)
			}
		}
	}
	for i, name := range names {
		if i > 0 {
			fmt.Fprintln(w)
		}
		compareLoad(w, runs, name, style)
	}
	fmt.Fprintln(w, "\nMedians of rounds. Runs are not paired: what lies between two of them may be the machine;\nto compare backends put them into one run. \"finds\" is the difference in CPU per delivery that a\nrun finds four times in five.")
	for _, r := range runs {
		for _, l := range r.Summary.Loads {
			if l.Pilot != nil {
				fmt.Fprintf(w, "%s: %s\n", r.Summary.Name, pilotText(l.Pilot))
			}
		}
		for _, d := range r.Differs {
			fmt.Fprintf(w, "warning: %s: %s\n", r.Summary.Name, d)
		}
	}
}

func compareLoad(w io.Writer, runs []Compared, name string, style Style) {
	var columns []string
	var t table
	described := false
	for _, r := range runs {
		for i := range r.Summary.Loads {
			l := &r.Summary.Loads[i]
			if l.Name != name {
				continue
			}
			if !described {
				described = true
				fmt.Fprintln(w, style.paint(bold, name)+": "+l.describe())
				columns = l.compareColumns()
				t = l.compareHead(columns)
			}
			for _, a := range l.Arms {
				if !a.Again {
					t = append(t, l.compareRow(r.Summary.Name, a, columns))
				}
			}
		}
	}
	t.write(w, 2, style)
}

func (l *LoadSummary) compareColumns() []string {
	columns := []string{keyCPU, keySyscalls, keySwitches, keyP50, keyP99, keyRSS}
	switch {
	case l.Scenario == record.Idle:
		return l.columns()
	case l.Closed():
		return append([]string{keyRate}, columns...)
	}
	return columns
}

func (l *LoadSummary) compareHead(columns []string) table {
	t := table{{"run", "backend"}, {"", ""}}
	for _, key := range columns {
		t[0], t[1] = append(t[0], l.word(heads[key][0])), append(t[1], l.word(heads[key][1]))
		if key == keyCPU {
			t[0], t[1] = append(t[0], "finds"), append(t[1], "%")
		}
	}
	t[0], t[1] = append(t[0], "rounds"), append(t[1], "")
	return t
}

func (l *LoadSummary) compareRow(run string, a ArmSummary, columns []string) []string {
	row := []string{run, a.Name}
	for _, key := range columns {
		cell := "–"
		if f, ok := a.Figures[key]; ok {
			cell = f.value(find(key), false)
		}
		row = append(row, cell)
		if key == keyCPU {
			finds := "–"
			if f, ok := l.Finds[key]; ok {
				finds = plain(100 * f.Difference)
			}
			row = append(row, finds)
		}
	}
	return append(row, fmt.Sprintf("%d of %d", a.Rounds, a.Rounds+a.Void))
}
