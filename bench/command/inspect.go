package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"chatbench/bench"
	"chatbench/bench/record"
	"chatbench/bench/report"
)

// runsIn lists the directories in dir that contain a run, by name.
func runsIn(dir string) (runs []string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if isRun(path) && !strings.HasPrefix(e.Name(), ".") {
			runs = append(runs, path)
		}
	}
	return runs
}

// isRun says whether a directory looks like that of a run.
func isRun(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, record.ManifestFile))
	return err == nil
}

// runArgument parses the only argument of a verb, the directory of a run.
func runArgument(f *flag.FlagSet, args []string, env Env) (dir string, status int, ok bool) {
	if status, ok := parse(f, "DIR", args, env); !ok {
		return "", status, false
	}
	if f.NArg() == 1 && !isDir(f.Arg(0)) {
		err := fmt.Errorf("bench %s: there is no directory %s; bench list lists the runs", f.Name(), f.Arg(0))
		return "", failed(env, exitUsage, err), false
	}
	if f.NArg() != 1 {
		err := fmt.Errorf("bench %s: give the directory of one run, like results/NAME; bench list lists the runs", f.Name())
		return "", failed(env, exitUsage, err), false
	}
	return f.Arg(0), 0, true
}

// showReport is the verb report: it prints the summary again, from the files.
func showReport(_ context.Context, args []string, env Env) int {
	f := flag.NewFlagSet("report", flag.ContinueOnError)
	format := f.String("format", "text", "what is printed, `text|markdown|json|svg`: the summary, for a README or a pull request as markdown, for programs as json; svg is a picture of the rankings")
	asJSON := f.Bool("json", false, "short for -format=json")
	renew := f.Bool("renew", false, "write summary.csv, report.html and whatever else is derived anew, as this version of bench makes them; raw files stay as they are")
	dir, status, ok := runArgument(f, args, env)
	if !ok {
		return status
	}
	switch {
	case !slices.Contains([]string{"text", "markdown", "json", "svg"}, *format):
		return failed(env, exitUsage, fmt.Errorf("bench report: -format is %q; give text, markdown, json or svg", *format))
	case *asJSON && *format != "text" && *format != "json":
		return failed(env, exitUsage, fmt.Errorf("bench report: -json and -format=%s contradict each other; give one of them", *format))
	case *asJSON:
		*format = "json"
	}
	if *renew {
		if err := report.Renew(dir); err != nil {
			return failed(env, statusOf(err), fmt.Errorf("%s: %w", dir, err))
		}
	}
	r, sums, err := record.Read(dir)
	if err != nil {
		return failed(env, statusOf(err), err)
	}
	s := report.Summarize(r, sums)
	switch *format {
	case "markdown":
		s.Markdown(env.Stdout, r)
		return statusOfRun(s)
	case "svg":
		return printPicture(s, dir, env)
	}
	return printSummary(s, dir, *format == "json", env)
}

// printPicture prints the rankings as SVG.
func printPicture(s *report.Summary, dir string, env Env) int {
	picture := s.Picture()
	if picture == nil {
		return failed(env, exitFailed, fmt.Errorf("bench report: %s has no ranking to draw; give a run of two backends or more", dir))
	}
	if _, err := env.Stdout.Write(picture); err != nil {
		return failed(env, exitFailed, err)
	}
	return statusOfRun(s)
}

// verify is the verb: it derives all files again and compares them.
func verify(_ context.Context, args []string, env Env) int {
	dir, status, ok := runArgument(flag.NewFlagSet("verify", flag.ContinueOnError), args, env)
	if !ok {
		return status
	}
	files, rounds, err := report.Verify(dir)
	if err != nil {
		return failed(env, statusOf(err), fmt.Errorf("%s: %w", dir, err))
	}
	fmt.Fprintf(env.Stdout, "%s: %d files agree; percentiles and judgements of %d rounds, and every figure made from them, are as recorded\n", dir, files, rounds)
	return exitOK
}

// list is the verb: it lists what can be measured, and the runs.
func list(ctx context.Context, args []string, env Env) int {
	f := flag.NewFlagSet("list", flag.ContinueOnError)
	chatd := f.String("chatd", filepath.Join(env.Bin, "chatd"), "`PATH` of the server")
	if status, ok := parse(f, "", args, env); !ok {
		return status
	}
	backends, err := bench.Backends(ctx, *chatd)
	if err == nil {
		var names []string
		for _, b := range backends {
			names = append(names, b.Name)
		}
		fmt.Fprintf(env.Stdout, "backends:  %s (chatd -list says more)\n", strings.Join(names, ", "))
	}
	fmt.Fprintf(env.Stdout, "scenarios: %s\n", strings.Join(bench.Scenarios, ", "))
	dirs := runsIn(results)
	fmt.Fprintf(env.Stdout, "runs in %s/: %d\n", results, len(dirs))
	for _, dir := range dirs {
		r, sums, bad := record.Read(dir)
		if bad != nil {
			err = errors.Join(err, bad)
			continue
		}
		s := report.Summarize(r, sums)
		fmt.Fprintf(env.Stdout, "  %s  %s  %s\n", dir, s.Started.Local().Format("2006-01-02 15:04"), s.Line())
	}
	if err != nil {
		return failed(env, exitFailed, err)
	}
	return exitOK
}
