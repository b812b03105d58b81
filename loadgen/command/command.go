// Package command is the command line of loadgen: its verbs, their flags, and
// how a result is printed. Data goes to stdout, everything else to stderr.
//
// It measures nothing itself, and refuses a command line that it does not
// understand rather than guess: one line, exit status 2.
package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"

	"chatbench/internal/cmdline"
	"chatbench/internal/tlsflags"
	"chatbench/loadgen"
)

// The exit statuses.
const (
	exitOK       = 0
	exitFailed   = 1
	exitUsage    = 2
	exitViolated = 3
)

const usage = `usage: loadgen VERB [flags]

  broadcast  everybody in a room receives what some of them say
  relay      clients ask others for lists of files, and for files, through the server
  idle       clients log in, timed, and keep silent
  agent      drives a part of the load of bench run -agents, maybe on another machine
  fetch      measures a file transfer between two clients, compared with bare sockets
  null       the null server: the cheapest of its kind, to find loadgen's own ceiling
  price      what a system call and a context switch cost here; bench finds with it what counting adds

loadgen VERB -h lists the flags of a verb; loadgen -version says what loadgen was built from.
`

// Env is where a command reads and writes.
type Env struct {
	Stdout   io.Writer
	Stderr   io.Writer
	Terminal bool // stderr is one: progress is shown
	// describe is called with a verb's flags, and the verb does nothing.
	describe func(f *flag.FlagSet)
}

// Run runs one command line, without the program's name, and returns its exit status.
func Run(ctx context.Context, args []string, env Env) int {
	if len(args) == 0 {
		fmt.Fprint(env.Stderr, usage)
		return exitUsage
	}
	if cmdline.AsksVersion(args) {
		return cmdline.PrintVersion(env.Stdout, "loadgen")
	}
	if status, done := cmdline.Describe(env.Stdout, args, func() cmdline.Command { return describe(ctx, env) }); done {
		return status
	}
	switch verb := args[0]; verb {
	case "broadcast":
		return broadcast(ctx, args[1:], env)
	case "relay":
		return relay(ctx, args[1:], env)
	case "idle":
		return idle(ctx, args[1:], env)
	case "agent":
		return agent(ctx, args[1:], env)
	case "fetch":
		return fetchFile(ctx, args[1:], env)
	case "price":
		return priceOf(ctx, args[1:], env)
	case "null":
		return nullServer(ctx, args[1:], env)
	case "-h", "-help", "--help", "help":
		fmt.Fprint(env.Stdout, usage)
		return exitOK
	default:
		return failed(env, exitUsage, fmt.Errorf("loadgen: unknown verb %q; there are broadcast, relay, idle, agent, fetch, price and null", verb))
	}
}

// failed says what went wrong in one line.
func failed(env Env, status int, err error) int {
	fmt.Fprintln(env.Stderr, err)
	return status
}

// parse parses the flags of a verb. If ok is false, status is the command's.
func parse(f *flag.FlagSet, args []string, env Env) (status int, ok bool) {
	if env.describe != nil {
		env.describe(f)
		return exitOK, false
	}
	switch help, err := cmdline.ParseVerb("loadgen", f, "", args, env.Stdout); {
	case err != nil:
		return failed(env, exitUsage, fmt.Errorf("loadgen %s: %w", f.Name(), err)), false
	case help:
		return exitOK, false
	}
	return 0, true
}

// cpus is a flag like 0 or 1,3 or 2-5.
type cpus []int

func (c *cpus) String() string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint([]int(*c)), " ", ","), "[]")
}

func (c *cpus) Set(text string) error {
	var all []int
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, err1 := strconv.ParseUint(first, 10, 10)
		to, err2 := strconv.ParseUint(last, 10, 10)
		if err1 != nil || err2 != nil || to < from {
			return fmt.Errorf("CPUs are written like 1 or 0,2-3, not %q", text)
		}
		for ; from <= to; from++ {
			all = append(all, int(from))
		}
	}
	*c = all
	return nil
}

// statusOf is the exit status that an error of a run stands for.
func statusOf(err error) int {
	if errors.Is(err, loadgen.ErrConfig) || errors.As(err, new(tlsflags.NeedsTLS)) {
		return exitUsage
	}
	return exitFailed
}
