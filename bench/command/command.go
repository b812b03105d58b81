// Package command is the command line of bench: its verbs, their flags, and
// what they print. Data goes to stdout, everything else to stderr.
//
// It measures and computes nothing itself, and refuses a command line that it
// does not understand rather than guess: one line, exit status 2. Run may be
// called from any goroutine, once at a time.
package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"chatbench/bench"
	"chatbench/bench/build"
	"chatbench/bench/conformance"
	"chatbench/bench/live"
	"chatbench/bench/record"
	"chatbench/bench/report"
	"chatbench/internal/cmdline"
	"chatbench/loadgen"
)

// The exit statuses.
const (
	exitOK       = 0
	exitFailed   = 1
	exitUsage    = 2
	exitViolated = 3
	// exitDisturbed: it ran, but was too disturbed to say anything.
	exitDisturbed = 4
)

const usage = `usage: bench VERB [flags]

  run      measure backends against one another: bench run -backends epoll,goroutine
  card     describe one backend on a page, what it passes and what it costs: bench card gnet
  gate     find out whether a commit is worse than another: bench gate -baseline main -backends epoll
  compare  compare two runs: bench compare A B; without DIRs, all runs in results/ side by side
  report   print the summary of a run again: bench report DIR
  verify   compute every printed figure again from the raw files: bench verify DIR
  list     list backends, scenarios and the runs in results/

bench VERB -h lists the flags of a verb; bench -version says what bench was built from.
Exit status: 0 fine, 1 failed, 2 not understood,
3 a server broke its contract or files do not agree, 4 too disturbed to say anything.
A gate fails with 1 if the commit is worse.
`

// Env is where a command reads and writes.
type Env struct {
	Stdout io.Writer
	Stderr io.Writer
	Live   live.Terminal // what stderr can display during a run
	Style  report.Style  // of stdout
	Bin    string        // the directory of chatd and loadgen
	// describe is called with a verb's flags and arguments, and the verb does nothing.
	describe func(f *flag.FlagSet, arguments string)
}

// verbs by name.
var verbs = map[string]func(context.Context, []string, Env) int{
	"run":     run,
	"gate":    gate,
	"card":    card,
	"compare": compare,
	"report":  showReport,
	"verify":  verify,
	"list":    list,
}

// Run runs one command line, without the program's name, and returns its exit status.
func Run(ctx context.Context, args []string, env Env) int {
	if len(args) == 0 {
		fmt.Fprint(env.Stderr, usage)
		return exitUsage
	}
	if cmdline.AsksVersion(args) {
		return cmdline.PrintVersion(env.Stdout, "bench")
	}
	if status, done := cmdline.Describe(env.Stdout, args, func() cmdline.Command { return describe(ctx, env) }); done {
		return status
	}
	switch verb := args[0]; verb {
	case "-h", "-help", "--help", "help":
		fmt.Fprint(env.Stdout, usage)
		return exitOK
	default:
		do, known := verbs[verb]
		if !known {
			return failed(env, exitUsage, fmt.Errorf("bench: unknown verb %q; there are run, gate, card, compare, report, verify and list", verb))
		}
		return do(ctx, args[1:], env)
	}
}

// failed prints what went wrong in one line. It removes the names of packages, which do not
// matter to the user.
func failed(env Env, status int, err error) int {
	var parts []string
	for part := range strings.SplitSeq(strings.ReplaceAll(err.Error(), "\n", " "), ": ") {
		switch part {
		case "bench", "build", "conformance", "loadgen", "machine", "record", "report", "server", "units":
		default:
			parts = append(parts, part)
		}
	}
	text := strings.Join(parts, ": ")
	if !strings.HasPrefix(text, "bench ") {
		text = "bench: " + text
	}
	fmt.Fprintln(env.Stderr, text)
	return status
}

// parse parses the flags of a verb. A verb takes other arguments only if arguments says how
// its help writes them. If ok is false, the command ends with status.
func parse(f *flag.FlagSet, arguments string, args []string, env Env) (status int, ok bool) {
	if env.describe != nil {
		env.describe(f, arguments)
		return exitOK, false
	}
	switch help, err := cmdline.ParseVerb("bench", f, arguments, args, env.Stdout); {
	case err != nil:
		return failed(env, exitUsage, fmt.Errorf("bench %s: %w", f.Name(), err)), false
	case help:
		return exitOK, false
	}
	return 0, true
}

// statusOf returns the exit status for an error.
func statusOf(err error) int {
	switch {
	case errors.Is(err, bench.ErrPlan), errors.Is(err, bench.ErrBackend), errors.Is(err, build.ErrRequest), errors.Is(err, conformance.ErrOutput), errors.Is(err, report.ErrCard), errors.Is(err, loadgen.ErrConfig), errors.Is(err, record.ErrNotRun):
		return exitUsage
	case errors.Is(err, report.ErrMismatch):
		return exitViolated
	}
	return exitFailed
}

// interrupted returns ErrInterrupted for an error of a context that has ended.
func interrupted(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return bench.ErrInterrupted
	}
	return err
}

// isDir says whether there is a directory of that name.
func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
