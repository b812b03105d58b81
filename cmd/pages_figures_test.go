package house

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"chatbench/backends/all"
)

// row is a line of summary.csv, by the names of its columns.
type row map[string]string

// summary reads summary.csv of a run.
func summary(t *testing.T, run string) (rows []row) {
	t.Helper()
	file, err := os.Open(filepath.Join(rootOfAll, "results", run, "summary.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines, err := csv.NewReader(file).ReadAll()
	if err != nil || len(lines) < 2 {
		t.Fatalf("%s: %d lines, %v", run, len(lines), err)
	}
	for _, line := range lines[1:] {
		r := make(row)
		for i, name := range lines[0] {
			r[name] = line[i]
		}
		rows = append(rows, r)
	}
	return rows
}

// number is a field of a row.
func (r row) number(t *testing.T, name string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(r[name], 64)
	if err != nil {
		t.Fatalf("%s of %s, %s: %v", name, r["arm"], r["figure"], err)
	}
	return v
}

// rounded is a figure as the pages print it: three significant digits, or a whole
// number from 1,000 on.
func rounded(v float64) string {
	if v >= 999.5 || v == 0 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	three, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 3, 64), 64) // 9.996 has one digit less behind the point
	return strconv.FormatFloat(three, 'f', max(0, 2-int(math.Floor(math.Log10(three)))), 64)
}

// column is a figure in a table of docs/models.md: of a load, in so many of its base
// units.
type column struct {
	load, figure string
	by           float64
}

// figures are the tables of docs/models.md, by the headings that they stand under.
var figures = []struct {
	heading, run string
	columns      []column
}{
	{"At 500 messages per second", "reference-2core-vm", []column{
		{"fixed500", "cpu-ns/delivery", 1}, {"fixed500", "syscalls/delivery", 1}, {"fixed500", "switches/delivery", 1e3},
		{"fixed500", "p50-ns", 1e-6}, {"fixed500", "p99-ns", 1e-6}}},
	{"At saturation", "reference-2core-vm", []column{
		{"window128", "cpu-ns/delivery", 1}, {"window128", "deliveries/s", 1e-6}, {"window128", "syscalls/delivery", 1e3}}},
	{"Idle clients and logins", "reference-2core-vm-idle", []column{
		{"idle8000", "pss-B/client", 1. / 1024}, {"idle8000", "login-p50-ns", 1e-6}, {"idle8000", "clients", 1}}},
	{"File frames", "reference-2core-vm-relay", []column{
		{"relay-window16", "cpu-ns/delivery", 1}, {"relay-window16", "deliveries/s", 1e-6},
		{"relay-fixed1000", "cpu-ns/delivery", 1}, {"relay-fixed1000", "p50-ns", 1e-6}}},
	{"io_uring beside epoll", "reference-2core-vm-uring", []column{
		{"fixed500", "cpu-ns/delivery", 1}, {"fixed500", "syscalls/delivery", 1}, {"fixed1000", "cpu-ns/delivery", 1},
		{"fixed1000", "syscalls/delivery", 1}, {"window128", "cpu-ns/delivery", 1}, {"window128", "deliveries/s", 1e-6}}},
	{"With TLS", "reference-2core-vm-tls", []column{
		{"fixed200", "cpu-ns/delivery", 1}, {"fixed200", "syscalls/delivery", 1}, {"fixed200", "p50-ns", 1e-6},
		{"window128", "cpu-ns/delivery", 1}, {"window128", "deliveries/s", 1e-6}}},
}

// rowsOf is the lines of a table: an arm each, but not what the bench adds to them,
// sorted by the first figure.
func rowsOf(t *testing.T, run string, columns []column) (lines []string) {
	t.Helper()
	cells, first := make(map[string][]string), make(map[string]float64)
	for i, c := range columns {
		for _, r := range summary(t, run) {
			arm := r["arm"]
			if r["load"] != c.load || r["figure"] != c.figure || arm == "null" || strings.HasSuffix(arm, ".aa") {
				continue
			}
			v, bound := r.number(t, "median"), ""
			switch {
			case r["at_least"] == "true":
				bound = "≥ "
			case r["at_most"] == "true":
				bound = "≤ "
			}
			if i == 0 {
				first[arm] = v
			}
			cells[arm] = append(cells[arm], bound+rounded(v*c.by))
		}
	}
	var arms []string
	for arm := range first {
		arms = append(arms, arm)
	}
	slices.SortFunc(arms, func(a, b string) int { return cmp.Compare(first[a], first[b]) })
	for _, arm := range arms {
		lines = append(lines, fmt.Sprintf("| `%s` | %s |\n", arm, strings.Join(cells[arm], " | ")))
	}
	return lines
}

// section is the part of a page below a heading, without what stands under others.
func (p page) section(title string) string {
	for _, level := range []string{"## ", "### "} {
		if _, rest, found := strings.Cut(p.text, "\n"+level+title+"\n"); found {
			part, _, _ := strings.Cut(rest, "\n#")
			return part
		}
	}
	return ""
}

// TestFiguresOfModels: the tables of docs/models.md are what summary.csv of the run
// that each names comes to.
func TestFiguresOfModels(t *testing.T) {
	models := readPage(t, "docs/models.md")
	for _, f := range figures {
		section := models.section(f.heading)
		if !strings.Contains(section, "From [summary.csv](../results/"+f.run+"/summary.csv) of results/"+f.run+":") {
			t.Errorf("%s: the table does not say that it is from results/%s", f.heading, f.run)
		}
		want := strings.Join(rowsOf(t, f.run, f.columns), "")
		_, got, _ := strings.Cut(section, "|--:|\n")
		if got, _, _ = strings.Cut(got, "\n\n"); strings.TrimRight(got, "\n")+"\n" != want {
			t.Errorf("%s: the table is\n%s\nwant\n%s", f.heading, got, want)
		}
	}
}

// TestRatiosOfUring: what docs/models.md says of uring and epoll is what their run
// showed.
func TestRatiosOfUring(t *testing.T) {
	said := strings.Join(strings.Fields(readPage(t, "docs/models.md").text), " ")
	for _, r := range summary(t, "reference-2core-vm-uring") {
		if !strings.HasPrefix(r["arm"], "uring") || r["figure"] != "cpu-ns/delivery" {
			continue
		}
		want := fmt.Sprintf("%.3f to %.3f)", r.number(t, "low"), r.number(t, "high"))
		if ratio := fmt.Sprintf("%.2f", r.number(t, "ratio")); !strings.Contains(said, want) || !strings.Contains(said, ratio+" ") {
			t.Errorf("it does not say %s (%s, of %s under %s", ratio, want, r["arm"], r["load"])
		}
	}
}

// TestRounded: three significant digits, and whole numbers from 1,000 on.
func TestRounded(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 5655.3: "5655", 999.4: "999", 999.6: "1000", 99.96: "100", 9.996: "10.0", 10.47: "10.5", 1.024: "1.02", 0.3223: "0.322", 0.08666: "0.0867",
	} {
		if got := rounded(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
}

// TestModelsOfThePage: each model has a section, a place in the table of who waits
// where, and no section is of a model that is gone.
func TestModelsOfThePage(t *testing.T) {
	models := readPage(t, "docs/models.md")
	_, sections, _ := strings.Cut(models.text, "\n## The models one by one\n")
	known := make(map[string]bool)
	for _, b := range all.All() {
		known[b.Name] = true
		if models.section(b.Name) == "" {
			t.Errorf("docs/models.md has no section %s", b.Name)
		}
		if !strings.Contains(models.section("Who waits where"), "`"+b.Name+"`") {
			t.Errorf("docs/models.md does not say who waits where in %s", b.Name)
		}
	}
	for _, m := range heading.FindAllStringSubmatch(sections, -1) {
		if !known[m[1]] {
			t.Errorf("docs/models.md has a section %s, and there is no such model", m[1])
		}
	}
}

var (
	tableOf = regexp.MustCompile(`(?m)^\|.*\|\n\|[-:| ]+\|\n((?:\|.*\|\n?)+)`)
	figure  = regexp.MustCompile(`^(?:[≥≤~<>] ?)?[0-9][0-9,. ]*(?: ?(?:%|ms|µs|ns|s|M|k|GB/s|KiB|MiB))?$`)
)

// sources are pages whose tables have figures from elsewhere than results/, and what
// holds them true.
var sources = map[string]string{
	"docs/cluster.md":     "above each table stands what prints its figures, or that they are worked out",
	"docs/chaos.md":       "make chaos prints its rows, server/chaos tests that none is missing",
	"docs/reliability.md": "each row names the test or the command that shows it",
	"docs/method.md":      "each row names the command that prints it",
	"docs/performance.md": "each table names the model, the simulation or the command that its figures are from",
}

// TestFiguresNameTheirSource: above a table of figures there is the run that they are
// from, in the same section.
func TestFiguresNameTheirSource(t *testing.T) {
	for _, p := range pages(t) {
		if sources[p.path] != "" {
			continue
		}
		for _, at := range tableOf.FindAllStringSubmatchIndex(p.text, -1) {
			before := p.text[:at[0]]
			before = before[strings.LastIndex("\n"+before, "\n#"):]
			if isFigures(p.text[at[2]:at[3]]) && !strings.Contains(before, "results/") {
				t.Errorf("%s:%d: the table does not name the run in results/ that its figures are from", p.path, 1+strings.Count(p.text[:at[0]], "\n"))
			}
		}
	}
}

// isFigures says whether a third of a table's cells, their names apart, are figures.
func isFigures(rows string) bool {
	cells, found := 0, 0
	for line := range strings.Lines(rows) {
		for _, cell := range strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")[1:] {
			cells++
			if figure.MatchString(strings.TrimSpace(cell)) {
				found++
			}
		}
	}
	return found > 0 && 3*found >= cells
}
