package command

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"

	"chatbench/bench/record"
	"chatbench/bench/report"
)

// The forms of a comparison.
const (
	asText = "text"
	asCSV  = "csv"
	asJSON = "json"
)

// comparePage is the page's name in a directory.
const comparePage = "compare.html"

// compare is the verb: it compares two runs, or prints many side by side.
func compare(_ context.Context, args []string, env Env) int {
	f := flag.NewFlagSet("compare", flag.ContinueOnError)
	format := f.String("format", asText, "what is printed, `text|csv|json`; csv has one line for each load, arm and figure, in base units, and takes two DIRs")
	json := f.Bool("json", false, "the same as -format json")
	page := f.String("o", "", "write a page with tables and plots of two DIRs to `PATH`: a file, or a directory for "+comparePage)
	if status, ok := parse(f, "[A B | DIR…]\n\nTwo DIRs: B is held against A, with intervals, plots and what makes the two hard to compare.\nElse the runs in results/, or the DIRs given, side by side.", args, env); !ok {
		return status
	}
	if *json {
		*format = asJSON
	}
	dirs := f.Args()
	switch {
	case *format != asText && *format != asCSV && *format != asJSON:
		return failed(env, exitUsage, fmt.Errorf("bench compare: -format is %q; give text, csv or json", *format))
	case len(dirs) != 2 && (*format == asCSV || *page != ""):
		return failed(env, exitUsage, fmt.Errorf("bench compare: -format csv and -o take two directories of runs: bench compare results/A results/B"))
	case isDir(*page) && isRun(*page):
		return failed(env, exitUsage, fmt.Errorf("bench compare: %s contains a run, to which bench verify allows no further file; give another -o", *page))
	case len(dirs) == 2:
		return comparePair(dirs, *format, *page, env)
	}
	if len(dirs) == 0 {
		dirs = runsIn(results)
	}
	if len(dirs) == 0 {
		return failed(env, exitUsage, fmt.Errorf("bench compare: there is no run in %s/; measure one with bench run, or give directories", results))
	}
	runs, err := readRuns(dirs)
	if err != nil {
		return failed(env, statusOf(err), err)
	}
	compared := report.Compare(runs, dirs)
	if *format == asText {
		report.WriteCompared(env.Stdout, compared, env.Style)
		return exitOK
	}
	if err := printJSON(env, compared); err != nil {
		return failed(env, exitFailed, err)
	}
	return exitOK
}

func readRuns(dirs []string) (runs []*record.Run, err error) {
	for _, dir := range dirs {
		one, _, err := record.Read(dir)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", dir, err)
		}
		runs = append(runs, one)
	}
	return runs, nil
}

// comparePair compares the second run with the first.
func comparePair(dirs []string, format, page string, env Env) int {
	runs, err := readRuns(dirs)
	if err != nil {
		return failed(env, statusOf(err), err)
	}
	pair := report.ComparePair(runs[0], runs[1], dirs[0], dirs[1])
	if page != "" {
		if isDir(page) {
			page = filepath.Join(page, comparePage)
		}
		text, err := pair.HTML()
		if err == nil {
			err = report.WriteFile(page, text)
		}
		if err != nil {
			return failed(env, exitFailed, err)
		}
	}
	switch format {
	case asCSV:
		_, err = env.Stdout.Write(pair.CSV())
	case asJSON:
		err = printJSON(env, pair)
	default:
		pair.Text(env.Stdout, env.Style)
		if page != "" {
			_, err = fmt.Fprintf(env.Stdout, "\nPage: %s\n", page)
		}
	}
	if err != nil {
		return failed(env, exitFailed, err)
	}
	return exitOK
}
