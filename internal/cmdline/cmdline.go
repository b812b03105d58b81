// Package cmdline gives a command's flags values from the environment and the
// arguments, help that is pleasant to read, and errors of one line. From the same
// flags and texts it makes what shells complete, and manual pages.
//
// It refuses to know any command, and changes nothing but the FlagSet it is
// given. Parse is called once, from main; a command that takes settings from
// elsewhere too calls Arguments, Environment, Set and Refuse in its place.
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
// CHATD_MAX_CLIENTS), then from args, and adds -version. If done is true the
// command is to exit with code: help or the version was asked for and printed,
// or an argument will not do, which was said. intro stands above the list of
// flags. No arguments beside flags are taken.
func Parse(fs *flag.FlagSet, intro string, args []string) (code int, done bool) {
	version := Action(fs, "version", "print the version of this program")
	given, err := Arguments(fs, args)
	if err == nil && *version {
		return PrintVersion(os.Stdout, fs.Name()), true
	}
	if err == nil {
		if problems := Set(fs, append(Environment(fs), given...)); len(problems) > 0 {
			err = problems[0]
		}
	}
	if err != nil {
		return Refuse(fs, intro, err), true
	}
	return OK, false
}

// Refuse ends a command whose flags were not parsed, for err: with help and OK
// if that was asked for, or else with one line and Usage.
func Refuse(fs *flag.FlagSet, intro string, err error) (code int) {
	if errors.Is(err, flag.ErrHelp) {
		printHelp(os.Stdout, fs, intro)
		return OK
	}
	return Fail(fs.Name(), Usage, fmt.Errorf("%w: see %s -h", err, fs.Name()))
}

// Fail says in one line what went wrong, and returns code.
func Fail(command string, code int, err error) int {
	fmt.Fprintf(os.Stderr, "%s: %s\n", command, Text(err))
	return code
}

// Text is an error in one line. What package it comes from is no concern of who
// typed the command.
func Text(err error) string {
	text := err.Error()
	for _, own := range []string{"server: ", "users: ", "gate: ", "cluster: ", "control: ", "admin: ", "client: ", "terminal: ", "askpass: ", "share: ", "downloads: ", "transfer: ", "front: ", "history: ", "tcp: ", "activation: "} {
		text = strings.TrimPrefix(text, own)
	}
	return strings.ReplaceAll(text, "\n", " ")
}

// action is the value of a flag that says what to do.
type action bool

func (a *action) String() string {
	if a != nil && *a {
		return "true"
	}
	return "false"
}

func (a *action) Set(text string) error {
	*a = text == "true"
	if !*a && text != "false" {
		return errors.New("it is true or false")
	}
	return nil
}

func (a *action) IsBoolFlag() bool { return true }

// Action defines a flag that has something done in place of the command's work,
// as -version has. It is no setting: the environment has none for it.
func Action(fs *flag.FlagSet, name, usage string) *bool {
	a := new(action)
	fs.Var(a, name, usage)
	return (*bool)(a)
}

// IsAction says whether Action defined the flag.
func IsAction(f *flag.Flag) bool {
	_, is := f.Value.(*action)
	return is
}

func printHelp(w io.Writer, fs *flag.FlagSet, intro string) {
	fmt.Fprintf(w, "%s\n\nFlags:\n", intro)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fs.VisitAll(func(f *flag.Flag) {
		value, usage := flag.UnquoteUsage(f)
		if s := standard(f); s != "" {
			usage += " (" + s + ")"
		}
		fmt.Fprintf(table, "  -%s %s\t%s\n", f.Name, value, usage)
	})
	table.Flush()
	fmt.Fprintf(w, "\n%s\n", inEnvironment(fs))
}
