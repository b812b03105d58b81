package chaos

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"chatbench/backends"
)

// experimentsTable is the table of experiments in docs/reliability.md.
func experimentsTable() string {
	var b strings.Builder
	b.WriteString("| experiment | what is done, and what must hold |\n|---|---|\n")
	for _, e := range experiments {
		fmt.Fprintf(&b, "| `%s` | %s |\n", e.name, e.does)
	}
	return b.String()
}

// The documentation has the experiments as they are, and the heading of their rows.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	for what, part := range map[string]string{"experiments": experimentsTable(), "results": heading} {
		if !strings.Contains(string(text), part) {
			t.Errorf("docs/reliability.md lacks the table of %s, which is\n%s", what, part)
		}
	}
}

// A row has what was seen and what must be, and its result.
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
	if got := fmt.Sprint(short(1234567*time.Nanosecond), short(98765*time.Millisecond), number(0.12345), number(1234.5), number(12)); got != "1.23ms 1m38.8s 0.123 1234 12" {
		t.Errorf("%s", got)
	}
}
