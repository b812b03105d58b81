// Package cmdline gives a command's flags defaults from the environment, help
// that is pleasant to read, and errors of one line.
//
// It refuses to know any command, and changes nothing but the FlagSet it is
// given. Parse is called once, from main.
package cmdline

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
)

// Exit codes of every command.
const (
	OK     = 0
	Failed = 1
	Usage  = 2
)

// Parse sets the flags, first from the environment (-max-clients of chatd is
// CHATD_MAX_CLIENTS), then from args. If done is true the command is to exit
// with code: help was asked for and printed, or an argument will not do, which
// was said. intro stands above the list of flags. No arguments beside flags
// are taken.
func Parse(fs *flag.FlagSet, intro string, args []string) (code int, done bool) {
	fs.Usage = func() {}
	fs.SetOutput(io.Discard)
	err := fromEnvironment(fs)
	if err == nil {
		err = fs.Parse(args)
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		printHelp(os.Stdout, fs, intro)
		return OK, true
	case err == nil && fs.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if err != nil {
		return Fail(fs.Name(), Usage, fmt.Errorf("%w: see %s -h", err, fs.Name())), true
	}
	return OK, false
}

// Fail says in one line what went wrong, and returns code. What package an
// error comes from is no concern of who typed the command.
func Fail(command string, code int, err error) int {
	text := err.Error()
	for _, own := range []string{"server: ", "users: ", "gate: ", "control: ", "admin: ", "client: ", "terminal: ", "askpass: ", "share: ", "downloads: ", "transfer: "} {
		text = strings.TrimPrefix(text, own)
	}
	fmt.Fprintf(os.Stderr, "%s: %s\n", command, strings.ReplaceAll(text, "\n", " "))
	return code
}

func fromEnvironment(fs *flag.FlagSet) (err error) {
	fs.VisitAll(func(f *flag.Flag) {
		name := variable(fs, f)
		value := os.Getenv(name)
		if value == "" || err != nil {
			return
		}
		if bad := fs.Set(f.Name, value); bad != nil {
			err = fmt.Errorf("%s=%q in the environment: %w", name, value, bad)
		}
	})
	return err
}

func variable(fs *flag.FlagSet, f *flag.Flag) string {
	return strings.ToUpper(fs.Name() + "_" + strings.ReplaceAll(f.Name, "-", "_"))
}

func printHelp(w io.Writer, fs *flag.FlagSet, intro string) {
	fmt.Fprintf(w, "%s\n\nFlags:\n", intro)
	var example string
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fs.VisitAll(func(f *flag.Flag) {
		value, usage := flag.UnquoteUsage(f)
		if f.DefValue != "" && f.DefValue != "0" && f.DefValue != "false" {
			usage += " (" + f.DefValue + ")"
		}
		fmt.Fprintf(table, "  -%s %s\t%s\n", f.Name, value, usage)
		example = fmt.Sprintf("-%s as %s", f.Name, variable(fs, f))
	})
	table.Flush()
	fmt.Fprintf(w, "\nEvery flag can be set in the environment too: %s.\n", example)
}
