package command

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"chatbench/loadgen/fetch"
)

func TestFetchPrints(t *testing.T) {
	run := func(speeds ...float64) (all []fetch.Transfer) {
		for _, s := range speeds {
			all = append(all, fetch.Transfer{PerSecond: s})
		}
		return all
	}
	r := &fetch.Result{
		Server: "127.0.0.1:9000", Size: 1 << 30, Bare: run(2e9, 3e9, 4e9), Fetched: run(6e8, 7e8, 8e8), Again: run(1e9, 1e9, 1e9),
		Ratio: 0.233, RatioAgain: 0.333, RSSGrowth: 5 << 20, CPUs: 2, SumSpeed: 1.4e9, Bound: 1.1e9,
	}
	r.Chat.Rate, r.Chat.Count, r.Chat.P99NS = 50, 1234, 5_000_000
	var out bytes.Buffer
	if status := printFetch(Env{Stdout: &out}, r, false); status != exitOK {
		t.Errorf("exit status %d", status)
	}
	for _, want := range []string{
		"1GiB from client to client, 3 turns", "bare sockets  2.00 G  3.00 G  4.00 G  3.00 G     1.00", "fetched   600 M   700 M   800 M   700 M     0.23",
		"checked     6 files of 6", "+5.0 MiB", "1,234 messages at 50/s", "p99 5.00 ms", "bound       1.10 G octets/s (0.37 of bare)",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	out.Reset()
	r.Violations = []string{"2 of 3 messages did not come back"}
	if status := printFetch(Env{Stdout: &out}, r, false); status != exitViolated || !strings.Contains(out.String(), "VIOLATED    2 of 3") {
		t.Errorf("exit status %d and\n%s", status, out.String())
	}
	out.Reset()
	var back fetch.Result
	if status := printFetch(Env{Stdout: &out}, r, true); status != exitViolated || json.Unmarshal(out.Bytes(), &back) != nil || back.Ratio != r.Ratio {
		t.Errorf("exit status %d and\n%s", status, out.String())
	}
}
