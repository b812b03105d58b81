package chaos

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"chatbench/backends"
	"chatbench/backends/all"
)

// experimentsTable is the table of experiments in docs/reliability.md.
func experimentsTable() string {
	var b strings.Builder
	b.WriteString("| experiment | what is done, and what must hold |\n|---|---|\n")
	for _, e := range experiments {
		fmt.Fprintf(&b, "| `%s` | %s |\n", e.name, e.description)
	}
	return b.String()
}

// docs/reliability.md has the table of experiments, and docs/chaos.md has a row for each
// backend and experiment.
func TestDocs(t *testing.T) {
	if !strings.Contains(page(t, "reliability.md"), experimentsTable()) {
		t.Errorf("docs/reliability.md lacks the table of experiments, which is\n%s", experimentsTable())
	}
	shown := page(t, "chaos.md")
	_, rows, found := strings.Cut(shown, heading)
	if !found {
		t.Fatalf("docs/chaos.md lacks the heading of rows, which is\n%s", heading)
	}
	for _, b := range all.All() {
		for _, e := range experiments {
			if n := strings.Count("\n"+rows, fmt.Sprintf("\n| %s | %s |", b.Name, e.name)); n != 1 {
				t.Errorf("docs/chaos.md has %d rows of %s with %s, want 1", n, e.name, b.Name)
			}
		}
	}
}

func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A row has the measured figures, their bounds, and the result.
func TestRow(t *testing.T) {
	x := &run{T: t, backend: backends.Backend{Name: "epoll"}, did: "a | b"}
	x.figures = []figure{{"lost", "0", "0", true}, {"p99", "30ms", "≤ 20ms", false}}
	want := `| epoll | load | a \| b | lost 0; p99 **30ms** | 0; ≤ 20ms | pass |` + "\n"
	if got := x.row("load"); got != want {
		t.Errorf("%s", got)
	}
	x.skipped = "no root"
	if got := x.row("load"); !strings.HasSuffix(got, "| skipped: no root |\n") {
		t.Errorf("%s", got)
	}
	if got := strings.Join([]string{short(1234567 * time.Nanosecond), short(98765 * time.Millisecond), number(0.12345), number(1234.5), number(12)}, " "); got != "1.23ms 1m38.8s 0.123 1234 12" {
		t.Errorf("%s", got)
	}
}
