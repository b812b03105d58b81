package command

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"text/tabwriter"

	"chatbench/internal/cmdline"
)

// listed is a backend as -list -json gives it.
type listed struct {
	Name       string            `json:"name"`
	Model      string            `json:"model"`
	Threads    string            `json:"threads"`
	Processes  string            `json:"processes"`
	Library    string            `json:"library"`
	Limits     string            `json:"limits"`
	PerClient  string            `json:"per_client"`  // what each client has of its own: thread, process, "" for neither
	MaxClients int               `json:"max_clients"` // 0: no bound of its own
	Gaps       map[string]string `json:"gaps"`        // cases of the conformance suite, with the reason
}

// list prints the backends there are.
func list(t table, asJSON bool) int {
	if asJSON {
		var out []listed
		for _, b := range t {
			out = append(out, listed{b.Name, b.Model, b.Threads, b.Processes, b.Library, b.Limits, b.PerClient, b.MaxClients, b.Gaps})
		}
		if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
			return cmdline.Fail("chatd", cmdline.Failed, err)
		}
		return cmdline.OK
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tMODEL\tTHREADS\tPROCESSES\tLIMITS\tLIBRARY")
	for _, b := range t {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", b.Name, b.Model, b.Threads, b.Processes, dash(b.Limits), dash(b.Library))
	}
	for _, b := range t {
		for _, name := range slices.Sorted(maps.Keys(b.Gaps)) {
			fmt.Fprintf(w, "%s does not pass %s: %s\n", b.Name, name, b.Gaps[name])
		}
	}
	if err := w.Flush(); err != nil {
		return cmdline.Fail("chatd", cmdline.Failed, err)
	}
	return cmdline.OK
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
