package nemesis

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// faultsTable is the table of faults in docs/cluster.md.
func faultsTable() string {
	var b strings.Builder
	b.WriteString("| fault | what is done |\n|---|---|\n")
	for _, k := range kinds {
		fmt.Fprintf(&b, "| `%s` | %s |\n", k.name, k.does)
	}
	return b.String()
}

// docs/cluster.md has the table of faults, and the heading of the table of results.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/cluster.md")
	if err != nil {
		t.Fatal(err)
	}
	for what, part := range map[string]string{"faults": faultsTable(), "results": heading} {
		if !strings.Contains(string(text), part) {
			t.Errorf("docs/cluster.md does not have the table of %s, which is\n%s", what, part)
		}
	}
}
