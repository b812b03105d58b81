package report

// htmlTable is figures with an arm in each row.
type htmlTable struct {
	Caption string
	Heads   []htmlHead
	Rows    []htmlRow
}

type htmlHead struct{ Title, Unit string }

type htmlRow struct {
	Name      string
	Reference bool
	Cells     []htmlCell
}

type htmlCell struct {
	Value, Range                 string
	Ratio, Verdict, Quality, Why string
}

// figureTable is the table of the figures that the terminal shows too.
func (l *LoadSummary) figureTable(arms []drawnArm, reference string) htmlTable {
	var shown []metric
	for _, key := range l.columns() {
		shown = append(shown, find(key))
	}
	return l.htmlTable("Medians of rounds, and the least and the greatest", shown, arms, reference, false)
}

// themes are the first figures of the tables of all figures: each table has the metrics from
// its first to the next table's.
var themes = []struct{ title, first string }{
	{"Work, and what it costs", metrics[0].key}, {"Latency", keyP50}, {"Logins, and what a client takes", keyLogin},
	{"Memory", keyRSS}, {"The server's writes and its garbage collector", "B/write"}, {"Who used the CPUs", keyBusy},
}

// allTables is every figure, with its ratio and verdict.
func (l *LoadSummary) allTables(arms []drawnArm, reference string) (tables []htmlTable) {
	theme := -1
	of := make([][]metric, len(themes))
	for _, m := range metrics {
		if theme+1 < len(themes) && m.key == themes[theme+1].first {
			theme++
		}
		if l.has(m.key) {
			of[theme] = append(of[theme], m)
		}
	}
	for i, shown := range of {
		if shown != nil {
			tables = append(tables, l.htmlTable(themes[i].title, shown, arms, reference, true))
		}
	}
	return tables
}

func (l *LoadSummary) htmlTable(caption string, shown []metric, arms []drawnArm, reference string, judged bool) htmlTable {
	t := htmlTable{Caption: caption}
	var there []metric
	for _, m := range shown {
		if l.has(m.key) {
			there = append(there, m)
			t.Heads = append(t.Heads, htmlHead{l.mark(m), l.unit(m)})
		}
	}
	for _, a := range arms {
		row := htmlRow{Name: a.Name, Reference: a.Name == reference}
		for _, m := range there {
			cell := htmlCell{Value: "–"}
			if f, ok := a.Figures[m.key]; ok {
				cell = f.htmlCell(m, judged)
			}
			row.Cells = append(row.Cells, cell)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func (f Figure) htmlCell(m metric, judged bool) htmlCell {
	cell := htmlCell{Value: f.value(m, false), Range: m.print(f.Min) + "–" + m.print(f.Max)}
	if v := f.Versus; v != nil && judged {
		cell.Ratio, cell.Verdict, cell.Quality, cell.Why = ratioText(v), v.word(), m.quality(v), v.family()+": "+v.Why
		if v.full() {
			cell.Ratio, cell.Verdict = "", string(v.Reason)
		}
	}
	return cell
}

// lawRow is a law under each load; nil if it does not apply to a load.
type lawRow struct {
	Name, Says string
	Loads      []*agreement
}

func (s *Summary) lawRows() (rows []lawRow) {
	at := make(map[string]int)
	for n := range s.Loads {
		for i := range s.Loads[n].agrees {
			a := &s.Loads[n].agrees[i]
			row, begun := at[a.Name]
			if !begun {
				row = len(rows)
				at[a.Name], rows = row, append(rows, lawRow{a.Name, a.Says, make([]*agreement, len(s.Loads))})
			}
			rows[row].Loads[n] = a
		}
	}
	return rows
}
