package command

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"chatbench/bench"
	"chatbench/bench/build"
	"chatbench/bench/conformance"
	"chatbench/bench/live"
	"chatbench/bench/record"
	"chatbench/bench/report"
)

// cardFlags are the flags of card: those of run for one backend.
type cardFlags struct {
	*runFlags
	against, format   string
	suite, past, idle string
	noSuite           bool
	disturbed         []string // the runs that were too disturbed for a verdict
	advice            string   // how to measure undisturbed, after the last of them
}

func newCardFlags(env Env) *cardFlags {
	f := &cardFlags{runFlags: newRunFlags(env)}
	f.name("card", "arm", "with", "backends", "json", "scenario")
	f.set.StringVar(&f.against, "against", "", "`NAME` of the backend that its cost is held against (goroutine; for goroutine epoll)")
	f.set.StringVar(&f.format, "format", "markdown", "what goes to stdout, `markdown|html|json`")
	f.set.StringVar(&f.suite, "suite", "", "recorded output of go test -json of the conformance suite in `FILE`, in place of running it")
	f.set.BoolVar(&f.noSuite, "no-suite", false, "leave the conformance suite out; the card mentions it")
	f.set.StringVar(&f.past, "run", "", "take the cost from the run in `DIR`, in place of measuring it")
	f.set.StringVar(&f.idle, "idle", "", "take memory for each client from the idle run in `DIR`")
	f.set.Lookup("o").Usage = "`DIR` for card.md, card.html and card.json, which must not be there yet; nothing goes to stdout then"
	return f
}

// check refuses contradictions.
func (f *cardFlags) check() error {
	switch {
	case f.set.NArg() != 1:
		return fmt.Errorf("bench card: give one backend, like bench card epoll")
	case !slices.Contains([]string{"markdown", "html", "json"}, f.format):
		return fmt.Errorf("bench card: -format is markdown, html or json, not %q", f.format)
	case f.noSuite && f.suite != "":
		return fmt.Errorf("bench card: -no-suite and -suite contradict each other; give one of them")
	}
	return nil
}

// card is the verb: it measures one backend and writes its page.
func card(ctx context.Context, args []string, env Env) int {
	f := newCardFlags(env)
	if status, ok := parse(f.set, "BACKEND", args, env); !ok {
		return status
	}
	if err := f.check(); err != nil {
		return failed(env, exitUsage, err)
	}
	out := f.out
	name := f.set.Arg(0)
	if f.out = ""; f.past == "" && f.against == "" {
		if f.against = "goroutine"; name == f.against {
			f.against = "epoll"
		}
	}
	f.backends = name + "," + f.against
	cfg, err := f.complete(args)
	if err != nil {
		return failed(env, exitUsage, err)
	}
	if err := bench.CheckAbsent(out); err != nil {
		return failed(env, exitFailed, err)
	}
	cfg.Argv[1], cfg.Reference = "card", f.against
	cfg.Dir = filepath.Join(results, time.Now().UTC().Format("20060102-150405-")+"card-"+name)
	view := live.New(env.Stderr, env.Live)
	watch(&cfg, view, env)
	c, err := f.make(ctx, cfg, name, view)
	view.Clear()
	if err == nil {
		err = f.write(c, out, env)
	}
	switch err = interrupted(ctx, err); {
	case err != nil:
		return failed(env, statusOf(err), err)
	case c.Broke():
		return exitViolated
	case f.disturbed != nil:
		return failed(env, exitDisturbed, fmt.Errorf("bench card: the figures decide nothing, because %s; %s", strings.Join(f.disturbed, " and "), f.advice))
	}
	return exitOK
}

// make lists the backend, tests it and measures it.
func (f *cardFlags) make(ctx context.Context, cfg bench.Config, name string, view *live.View) (*report.Card, error) {
	known, err := bench.Backends(ctx, cfg.Chatd)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(known, func(b bench.Backend) bool { return b.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("%w %q; bench list lists the backends", bench.ErrBackend, name)
	}
	c := &report.Card{Backend: name, Is: facts(known[i]), Gaps: known[i].Gaps, Reference: f.against}
	if c.Suite, err = f.conform(ctx, name, view); err != nil {
		return nil, err
	}
	var run *record.Run
	var sums map[string]string
	if f.past != "" {
		run, sums, err = record.Read(f.past)
	} else {
		run, sums, err = bench.Run(ctx, cfg)
	}
	if err == nil {
		err = f.add(c, run, sums)
	}
	if err == nil && f.idle != "" {
		if run, sums, err = record.Read(f.idle); err == nil {
			err = f.add(c, run, sums)
		}
	}
	return c, err
}

// add adds a run to the card, and notes whether it was too disturbed.
func (f *cardFlags) add(c *report.Card, run *record.Run, sums map[string]string) error {
	if s := report.Summarize(run, sums); s.Disturbed() {
		var reasons []string
		for _, reason := range record.Reasons {
			if n := s.Checks.Void[reason]; n > 0 {
				reasons = append(reasons, fmt.Sprintf("%d %s", n, reason))
			}
		}
		f.disturbed = append(f.disturbed, fmt.Sprintf("%d of %d rounds of run %s are void (%s)", s.Checks.VoidRounds, s.Checks.Rounds, s.Name, strings.Join(reasons, ", ")))
		f.advice = cmp.Or(s.LimitAdvice(), "measure again when less else runs on this machine")
	}
	return c.AddRun(run)
}

// conform returns the result of the conformance suite; nil if it is left out.
func (f *cardFlags) conform(ctx context.Context, name string, view *live.View) (*conformance.Suite, error) {
	if f.noSuite {
		return nil, nil
	}
	if f.suite != "" {
		in, err := os.Open(f.suite)
		if err != nil {
			return nil, fmt.Errorf("bench: %w", err)
		}
		defer in.Close()
		return conformance.Parse(in, name, nil)
	}
	root, err := build.FindSource(ctx, f.source)
	if err != nil {
		return nil, fmt.Errorf("%w, or -suite FILE or -no-suite", err)
	}
	view.Say("conformance suite of " + name)
	return conformance.Run(ctx, root, name, func(done int) {
		view.Say(fmt.Sprintf("conformance suite of %s: %d cases", name, done))
	})
}

// facts are what chatd reports about a backend.
func facts(b bench.Backend) (all []report.Fact) {
	most := "no bound of its own"
	if b.MaxClients > 0 {
		most = strconv.Itoa(b.MaxClients)
	}
	for _, f := range []report.Fact{
		{Name: "model", Value: b.Model}, {Name: "threads", Value: b.Threads}, {Name: "processes", Value: b.Processes},
		{Name: "library", Value: b.Library}, {Name: "limits", Value: b.Limits}, {Name: "most clients", Value: most},
	} {
		if f.Value != "" {
			all = append(all, f)
		}
	}
	return all
}

// write prints the card to stdout, or writes all its formats to a directory.
func (f *cardFlags) write(c *report.Card, dir string, env Env) error {
	page, err := c.HTML()
	if err != nil {
		return err
	}
	data, err := record.JSON(c)
	if err != nil {
		return err
	}
	if dir != "" {
		return bench.WriteDirectory(dir, map[string][]byte{"card.md": c.Markdown(), "card.html": page, "card.json": data})
	}
	switch f.format {
	case "html":
		data = page
	case "markdown":
		data = c.Markdown()
	}
	_, err = env.Stdout.Write(data)
	return err
}
