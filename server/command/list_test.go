package command

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"chatbench/backends"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestListText: the list fits a terminal, whatever there is to say.
func TestListText(t *testing.T) {
	got := newTable([]backends.Backend{
		{Name: "epoll", Model: "one thread waits for all clients in epoll", Threads: "1", Processes: "1", Coalesces: true},
		{Name: "process", Threads: "1 for the loop, 3 per client", Processes: "1 per client",
			Model:  "one process for each client blocks on its socket; one loop in the parent waits for their pipes",
			Limits: "a process for each client"},
		{Name: "library", Model: "an event loop", Threads: "1, and 1 that accepts", Processes: "1",
			Library:     "example.com/a/library/whose/path/is/longer/than/any/line/of/a/terminal/could/be v1.2.3",
			Limits:      "cannot stop reading a client; its poller stays until the process ends, and that is not all there is to say",
			Unavailable: func() error { return errors.New("library: the kernel is too old: use a later one") },
			Gaps:        map[string]string{"second": "it cannot", "first": "nobody has asked for it until now, and so it was never written"}},
	}).text()
	golden := filepath.Join("testdata", "list.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the list is\n%s\nwant (see -update)\n%s", got, want)
	}
	for line := range strings.Lines(got) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > columns && strings.Contains(strings.TrimSpace(line), " ") {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}
