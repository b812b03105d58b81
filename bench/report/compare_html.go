package report

import (
	"bytes"
	"fmt"
	"html/template"

	"chatbench/bench/record"
)

var compareTemplate = template.Must(template.ParseFS(pageFiles, "page/report.html", "page/compare.html"))

// comparePage is what the template is given.
type comparePage struct {
	shell
	*Pair
	Sides    []sideRow
	Differ   []differRow
	Notes    []string
	Headline string
	Sections []pairSection
	Legend   string
}

type sideRow struct {
	Mark string
	Side
}

type differRow struct {
	Difference
	Grave bool
}

// pairSection is one load of the page.
type pairSection struct {
	ID, Name, Heading string
	Primary, Others   []pairTable
	Shifts, Relative  []template.HTML
	Trusted           string // which of the two is to be trusted
}

// pairTable is one figure of all arms.
type pairTable struct {
	Caption, Reference string
	Rows               []pairRow
}

type pairRow struct {
	Name                     string
	Reference                bool
	A, B                     string
	RangeA, RangeB           string
	Change, Relative         pairCell
	Verdict, Quality, Reason string
}

type pairCell struct {
	Text    string
	Trusted bool
	Why     string
}

// HTML is compare.html: one file that needs nothing else.
func (p *Pair) HTML() ([]byte, error) {
	page := comparePage{
		shell: newShell(p.B.Name+" against "+p.A.Name, 0), Pair: p, Notes: p.notes(), Headline: p.headline(),
		Sides: []sideRow{{"A", p.A}, {"B", p.B}}, Legend: p.legend(),
	}
	for _, d := range p.Differences {
		page.Differ = append(page.Differ, differRow{d, d.Concern != OfCode})
	}
	for i := range p.Loads {
		page.Sections = append(page.Sections, p.Loads[i].section(p.Reference))
	}
	var out bytes.Buffer
	if err := compareTemplate.ExecuteTemplate(&out, "compare.html", page); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return out.Bytes(), nil
}

// headline says in how many comparisons of arms a primary figure certainly changed.
func (p *Pair) headline() string {
	changed, asked, trusted := 0, 0, 0
	for i := range p.Loads {
		l := &p.Loads[i]
		for _, key := range primary(l.Load) {
			for _, a := range l.Arms {
				f, ok := a.Figures[key]
				if !ok || a.Again || a.Name == p.Reference {
					continue
				}
				asked++
				if v := f.verdict(); v != nil {
					trusted++
					if v.differs() {
						changed++
					}
				}
			}
		}
	}
	switch {
	case len(p.Loads) == 0:
		return "The runs have no load in common that is the same work: nothing is compared"
	case trusted == 0:
		return "Nothing that both runs measured tells a change of the servers from one of the machine"
	case changed == 0:
		return fmt.Sprintf("No primary figure changed for sure, of %d", asked)
	}
	return fmt.Sprintf("%d of %d primary figures changed for sure", changed, asked)
}

func (l *PairLoad) section(reference string) pairSection {
	one := LoadSummary{Load: l.Load}
	s := pairSection{ID: "load-" + l.Name, Name: l.Name, Heading: one.describe()}
	for _, m := range metrics {
		if !m.judged || l.having(m.key) == 0 {
			continue
		}
		t := l.table(m, reference)
		if one.primary(m.key) {
			s.Primary = append(s.Primary, t)
		} else {
			s.Others = append(s.Others, t)
		}
	}
	s.Shifts = shiftPlots(l.Shifts, func(string) *Shift { return shiftOfArm(l.Shifts, reference) })
	s.Relative = shiftPlots(l.Relative, func(string) *Shift { return shiftOfArm(l.Relative, reference+record.AgainSuffix) })
	if l.relatively() {
		s.Trusted = "relative"
	}
	return s
}

func (l *PairLoad) table(m metric, reference string) pairTable {
	one := LoadSummary{Load: l.Load}
	t := pairTable{Caption: one.caption(m), Reference: reference}
	if n, ok := l.Noise[m.key]; ok {
		t.Caption += l.noise(n)
	}
	for _, a := range l.Arms {
		f, ok := a.Figures[m.key]
		if !ok {
			continue
		}
		row := pairRow{
			Name: a.Name, Reference: a.Name == reference, A: f.A.median(m), B: f.B.median(m), RangeA: f.A.extremes(m), RangeB: f.B.extremes(m),
			Change: f.Change.html(f.Trust == TrustBoth), Relative: f.Relative.html(f.Trust == TrustRelative),
		}
		if v := f.verdict(); v != nil {
			row.Verdict, row.Reason = v.word(), v.family()+": "+v.Why
			switch v.Verdict {
			case m.words[0]:
				row.Quality = "good"
			case m.words[1]:
				row.Quality = "bad"
			}
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// extremes is the least and the greatest round.
func (f Figure) extremes(m metric) string {
	if f.N == 0 {
		return ""
	}
	return m.print(f.Min) + "–" + m.print(f.Max)
}

func (v *Versus) html(trusted bool) pairCell {
	if v == nil {
		return pairCell{Text: "–"}
	}
	return pairCell{Text: ratioText(v), Trusted: trusted, Why: fmt.Sprintf("%s (%s), p %.2g", v.word(), v.Why, v.P)}
}
