package command

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"chatbench/backends"
	"chatbench/internal/cmdline"
)

// backendJSON is a backend in the output of -list -json.
type backendJSON struct {
	Name       string            `json:"name"`
	Model      string            `json:"model"`
	Threads    string            `json:"threads"`
	Processes  string            `json:"processes"`
	Library    string            `json:"library"`
	Limits     string            `json:"limits"`
	PerClient  string            `json:"per_client"`  // what each client has for itself: thread, process, "" for neither
	MaxClients int               `json:"max_clients"` // 0: the backend has no bound
	Coalesces  bool              `json:"coalesces"`   // obeys -coalesce
	Loops      int               `json:"loops"`       // default of -loops; 0: it does not obey -loops
	Gaps       map[string]string `json:"gaps"`        // cases of the conformance suite that it does not pass, with the reason
	// Unavailable is why the backend cannot run on this machine; "" if it can.
	Unavailable string `json:"unavailable"`
}

// list prints the backends.
func list(t table, asJSON bool) int {
	text := t.text()
	if asJSON {
		var out []backendJSON
		for _, b := range t {
			out = append(out, backendJSON{b.Name, b.Model, b.Threads, b.Processes, b.Library, b.Limits, b.PerClient, b.MaxClients, b.Coalesces, loops(b), b.Gaps, unavailable(b)})
		}
		line, err := json.Marshal(out)
		if err != nil {
			return cmdline.Fail("chatd", cmdline.Failed, err)
		}
		text = string(line) + "\n"
	}
	if _, err := os.Stdout.WriteString(text); err != nil {
		return cmdline.Fail("chatd", cmdline.Failed, fmt.Errorf("standard output: %w", err))
	}
	return cmdline.OK
}

// loops is the default number of event loops of a backend; 0: it does not obey -loops.
func loops(b backends.Backend) int {
	if b.Loops == nil {
		return 0
	}
	return b.Loops()
}

// unavailable is why a backend cannot run on this machine; "" if it can.
func unavailable(b backends.Backend) string {
	if err := b.Runs(); err != nil {
		return err.Error()
	}
	return ""
}

// columns is the greatest width of the list.
const columns = 80

// text is the list for people: a line with columns for each backend, and below it, indented,
// its model and other properties.
func (t table) text() string {
	name, threads := len("NAME"), len("THREADS")
	for _, b := range t {
		name, threads = max(name, utf8.RuneCountInString(b.Name)), max(threads, utf8.RuneCountInString(b.Threads))
	}
	var out strings.Builder
	row := func(cells ...string) {
		fmt.Fprintf(&out, "%-*s  %-*s  %s\n", name, cells[0], threads, cells[1], cells[2])
	}
	row("NAME", "THREADS", "PROCESSES")
	for _, b := range t {
		row(b.Name, b.Threads, b.Processes)
		below := func(label, text string) {
			if text != "" {
				out.WriteString(wrap(label+text, "    ", columns))
			}
		}
		below("", b.Model)
		below("cannot run on this machine: ", unavailable(b))
		below("limits: ", b.Limits)
		if b.Coalesces {
			below("", "obeys -coalesce")
		}
		below("library: ", b.Library)
		for _, name := range slices.Sorted(maps.Keys(b.Gaps)) {
			below("does not pass "+name+": ", b.Gaps[name])
		}
	}
	return out.String()
}

// wrap wraps a text into lines of at most so many columns. All lines are indented, and those
// after the first by two more spaces. A longer word has a line of its own.
func wrap(text, indent string, columns int) string {
	var out strings.Builder
	line := indent
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
			line += word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= columns:
			line += " " + word
		default:
			out.WriteString(line + "\n")
			line = indent + "  " + word
		}
	}
	return out.String() + line + "\n"
}
