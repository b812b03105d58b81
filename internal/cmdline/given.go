package cmdline

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// Given is a value that was given for a flag.
type Given struct {
	Flag  string // its name
	Value string
	From  string // where it was given: "flag -listen", "environment CHATD_LISTEN"
	Cited string // how an error describes the value and where it was given
}

// Arguments parses args. It sets no flag except, if there is no error, those of Action. The
// error is flag.ErrHelp if help was asked for.
func Arguments(fs *flag.FlagSet, args []string) ([]Given, error) {
	var given []Given
	reader := flag.NewFlagSet(fs.Name(), flag.ContinueOnError)
	reader.Usage = func() {}
	reader.SetOutput(io.Discard)
	fs.VisitAll(func(f *flag.Flag) { reader.Var(recorder{f, &given}, f.Name, "") })
	if err := reader.Parse(args); err != nil {
		return nil, err
	}
	if reader.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", reader.Arg(0))
	}
	var settings []Given
	for _, g := range given {
		if !IsAction(fs.Lookup(g.Flag)) {
			settings = append(settings, g)
		} else if problems := Set(fs, []Given{g}); len(problems) > 0 {
			return nil, problems[0]
		}
	}
	return settings, nil
}

// recorder is a flag's value that records what is given for the flag.
type recorder struct {
	flag  *flag.Flag
	given *[]Given
}

func (r recorder) String() string { return "" }

func (r recorder) Set(text string) error {
	*r.given = append(*r.given, Given{
		Flag: r.flag.Name, Value: text, From: "flag -" + r.flag.Name,
		Cited: fmt.Sprintf("invalid value %q for flag -%s", text, r.flag.Name),
	})
	return nil
}

func (r recorder) IsBoolFlag() bool {
	b, ok := r.flag.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

// Environment returns the values in the environment. Empty variables are ignored.
func Environment(fs *flag.FlagSet) (given []Given) {
	fs.VisitAll(func(f *flag.Flag) {
		name := variable(fs, f)
		if value := os.Getenv(name); value != "" && !IsAction(f) {
			given = append(given, Given{
				Flag: f.Name, Value: value, From: "environment " + name,
				Cited: fmt.Sprintf("%s=%q in the environment", name, value),
			})
		}
	})
	return given
}

func variable(fs *flag.FlagSet, f *flag.Flag) string {
	return strings.ToUpper(fs.Name() + "_" + strings.ReplaceAll(f.Name, "-", "_"))
}

// Set sets flags in the given order, so that the last value for a flag counts, and returns an
// error for each wrong value. All flags must be defined.
func Set(fs *flag.FlagSet, given []Given) (problems []error) {
	for _, g := range given {
		err := fs.Set(g.Flag, g.Value)
		if err == nil {
			continue
		}
		if wanted := Wanted(fs.Lookup(g.Flag)); wanted != "" {
			err = errors.New("it must be " + wanted)
		}
		problems = append(problems, fmt.Errorf("%s: %w", g.Cited, err))
	}
	return problems
}

// Wanted says which values a flag takes, for the types of package flag, whose errors do not
// say it; "" for other types.
func Wanted(f *flag.Flag) string {
	typed, ok := f.Value.(flag.Getter)
	if !ok {
		return ""
	}
	switch typed.Get().(type) {
	case bool:
		return "true or false"
	case int, int64, uint, uint64:
		return "a whole number"
	case float64:
		return "a number"
	case time.Duration:
		return "a time, such as 10s or 1m30s"
	}
	return ""
}
