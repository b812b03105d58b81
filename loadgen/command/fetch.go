package command

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"chatbench/core/units"
	"chatbench/loadgen/fetch"
)

// fetchFile is the verb: a file goes from client to client, in turns with bare sockets.
func fetchFile(ctx context.Context, args []string, env Env) int {
	cfg := fetch.Config{Size: units.GiB, Rate: 50}
	f := flag.NewFlagSet("fetch", flag.ContinueOnError)
	f.StringVar(&cfg.Server, "server", "127.0.0.1:9000", "the server, `HOST:PORT`, run with -open -flood off")
	f.Var(&cfg.Size, "size", "`octets` of the file, like 64MiB")
	f.StringVar(&cfg.Dir, "dir", "", "`DIR` that the file and its copy are in for the time being (none: the system's for such files)")
	f.IntVar(&cfg.Turns, "turns", 3, "`number` of turns: bare sockets, the file, the file again")
	f.Var(&cfg.Rate, "chat-rate", "messages that the two clients say in all meanwhile, like `50/s`")
	f.DurationVar(&cfg.Objective, "objective", 50*time.Millisecond, "for the p99 of those messages")
	asJSON := f.Bool("json", false, "print the result as JSON, histogram included")
	if status, ok := parse(f, args, env); !ok {
		return status
	}
	if env.Terminal {
		cfg.Progress = func(doing string) { fmt.Fprint(env.Stderr, clearLine+doing) }
	}
	result, err := fetch.Run(ctx, cfg)
	if env.Terminal {
		fmt.Fprint(env.Stderr, clearLine)
	}
	switch {
	case errors.Is(err, fetch.ErrInterrupted):
		return failed(env, exitFailed, errors.New("loadgen: interrupted; the run is void"))
	case err != nil:
		status := exitFailed
		if errors.Is(err, fetch.ErrConfig) {
			status = exitUsage
		}
		return failed(env, status, fmt.Errorf("loadgen fetch: %s", strings.TrimPrefix(err.Error(), "fetch: ")))
	}
	return printFetch(env, result, *asJSON)
}

func printFetch(env Env, r *fetch.Result, asJSON bool) int {
	var err error
	if asJSON {
		e := json.NewEncoder(env.Stdout)
		e.SetIndent("", "  ")
		err = e.Encode(r)
	} else {
		err = fetchTable(env.Stdout, r)
	}
	switch {
	case err != nil:
		return failed(env, exitFailed, fmt.Errorf("loadgen: %w", err))
	case r.Void():
		return exitViolated
	}
	return exitOK
}

func fetchTable(w io.Writer, r *fetch.Result) error {
	var b strings.Builder
	fmt.Fprintf(&b, "fetch by way of %s: %v from client to client, %d turns\n\n", r.Server, units.Size(r.Size), len(r.Bare))
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "octets/s\t")
	for i := range r.Bare {
		fmt.Fprintf(t, "turn %d\t", i+1)
	}
	fmt.Fprint(t, "median\tof bare\t\n")
	for _, row := range []struct {
		name  string
		runs  []fetch.Transfer
		ratio float64
	}{{"bare sockets", r.Bare, 1}, {"fetched", r.Fetched, r.Ratio}, {"fetched again", r.Again, r.RatioAgain}} {
		fmt.Fprintf(t, "%s\t", row.name)
		for _, c := range row.runs {
			fmt.Fprintf(t, "%s\t", short(c.PerSecond))
		}
		fmt.Fprintf(t, "%s\t%.2f\t\n", short(fetch.Median(row.runs)), row.ratio)
	}
	t.Flush()
	files := len(r.Fetched) + len(r.Again)
	fmt.Fprintf(&b, "\nchecked     %d files of %d have the SHA-256 of what was shared\n", files-r.Differing, files)
	fmt.Fprintf(&b, "memory      +%.1f MiB at most, both clients together\n", float64(r.RSSGrowth)/(1<<20))
	fmt.Fprintf(&b, "chat        %s messages at %v while files came: p50 %s, p99 %s, at most %s\n",
		count(uint64(r.Chat.Count)), units.Rate(r.Chat.Rate), latency(r.Chat.P50NS), latency(r.Chat.P99NS), latency(r.Chat.MaxNS))
	fmt.Fprintf(&b, "bound       %s octets/s (%.2f of bare): SHA-256 does %s a second on a CPU, and %d carry octets and sum them up twice\n",
		short(r.Bound), r.Bound/fetch.Median(r.Bare), short(r.SumSpeed), r.CPUs)
	for _, what := range r.Violations {
		fmt.Fprintf(&b, "VIOLATED    %s\n", what)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
