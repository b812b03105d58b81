package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"chatbench/bench/stats"
)

// gated is one run of bench gate.
type gated struct {
	Commit    string        `json:"commit"` // docs or slow
	Seed      uint64        `json:"seed"`
	Started   time.Time     `json:"started"`
	Took      time.Duration `json:"took_ns"` // with the builds
	Status    int           `json:"status"`
	Neighbour float64       `json:"neighbour,omitempty"`
	Markdown  string        `json:"markdown"`
}

// verdict is the first line that the gate prints.
func (g gated) verdict() string {
	line, _, _ := strings.Cut(g.Markdown, "\n")
	return strings.TrimPrefix(line, "## bench gate: ")
}

// gate is the verb: in a clone of its own, a commit that changes only a page
// must pass, and one that makes a delivery cost 5 % more must not.
func gate(ctx context.Context, args []string, out io.Writer) error {
	f := newFlags("gate")
	f.runsFlags(20)
	slowRuns := f.set.Int("slow-runs", 10, "`N` runs on the commit that is dearer")
	path := f.calibrationFlag()
	if err := f.parse(args); err != nil {
		return err
	}
	c, err := readCalibration(*path)
	if err != nil {
		return err
	}
	p := programs{f.bin}
	what, err := p.plan("gate", append([]string{"-budget", f.budget.String()}, strings.Fields(f.more)...))
	if err != nil {
		return err
	}
	what.Neighbour, what.Slowdown = f.beside(), &c.Costs
	s, err := openSeries[gated](f.out, what)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "proofs-gate-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	commits, err := twoCommits(ctx, dir, c.Costs)
	if err != nil {
		return err
	}
	failed := 0
	for _, kind := range []string{"docs", "slow"} {
		runs := map[string]int{"docs": f.runs, "slow": *slowRuns}[kind]
		done := slices.DeleteFunc(slices.Clone(s.Done), func(g gated) bool { return g.Commit != kind })
		for n := len(done) + 1; n <= runs; n++ {
			g, err := gateOnce(ctx, p, dir, commits[kind], what, gated{Commit: kind, Seed: f.seed + uint64(n-1)*7_000_003})
			if err != nil {
				return err
			}
			if err := s.add(g); err != nil {
				return err
			}
			done = append(done, g)
			fmt.Fprintf(out, "%s %d of %d: status %d, %s, %.0f s\n", kind, n, runs, g.Status, g.verdict(), g.Took.Seconds())
		}
		failed += gateTally(out, kind, done[:min(runs, len(done))])
	}
	if failed > 0 {
		return errNotShown
	}
	return nil
}

// gateTally prints the results of a commit's runs, and returns how many were
// wrong.
func gateTally(out io.Writer, kind string, done []gated) (wrong int) {
	word, want := "pass", "not worse"
	if kind == "slow" {
		word, want = "worse", "worse"
	}
	verdicts, statuses, took := make(map[string]int), []string{}, []float64{}
	for _, g := range done {
		verdicts[g.verdict()]++
		statuses, took = append(statuses, fmt.Sprint(g.Status)), append(took, g.Took.Seconds())
	}
	if len(done) == 0 {
		return 0
	}
	right := verdicts[want]
	fmt.Fprintf(out, "commit %s: %s %s; %s; exit statuses %s; median %.0f s, at most %.0f s\n", kind, word, shareText(right, len(done)),
		verdictsText(verdicts), strings.Join(statuses, " "), stats.Median(took), stats.Quantile(took, 1))
	return len(done) - right
}

// gateOnce runs the gate on a commit and the one before it.
func gateOnce(ctx context.Context, p programs, dir, commit string, what plan, g gated) (gated, error) {
	g.Started = time.Now().Round(0)
	args := append([]string{"gate", "-baseline", commit + "~1", "-head", commit, "-seed", fmt.Sprint(g.Seed), "-o", filepath.Join("results", fmt.Sprintf("%s-%d", g.Commit, g.Seed))}, what.Argv...)
	text, status, share, err := p.beside(ctx, what.Neighbour, g.Seed, dir, args)
	g.Took, g.Status, g.Neighbour, g.Markdown = time.Since(g.Started), status, share, string(text)
	return g, err
}

// twoCommits clones the repository and adds a commit that changes only a page,
// and on top of it one that makes the server slower.
func twoCommits(ctx context.Context, dir string, c costs) (map[string]string, error) {
	root, err := command(ctx, ".", "go", "list", "-m", "-f", "{{.Dir}}")
	if err != nil {
		return nil, err
	}
	if _, err := command(ctx, root, "git", "clone", "--quiet", root, dir); err != nil {
		return nil, err
	}
	page := filepath.Join(dir, "README.md")
	text, err := os.ReadFile(page)
	if err != nil {
		return nil, err
	}
	commits := make(map[string]string)
	if commits["docs"], err = commitFile(ctx, dir, page, append(text, "\nOne more line.\n"...)); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, slowFile)
	if text, err = os.ReadFile(file); err == nil {
		text, err = slowed(text, c)
	}
	if err != nil {
		return nil, err
	}
	commits["slow"], err = commitFile(ctx, dir, file, text)
	return commits, err
}

// commitFile writes a file and commits it.
func commitFile(ctx context.Context, dir, file string, text []byte) (hash string, err error) {
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return "", err
	}
	if _, err := command(ctx, dir, "git", "-c", "user.name=proofs", "-c", "user.email=proofs@localhost", "commit", "--quiet", "--no-gpg-sign", "-am", "try the gate"); err != nil {
		return "", err
	}
	return command(ctx, dir, "git", "rev-parse", "HEAD")
}
