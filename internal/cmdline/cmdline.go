// Package cmdline sets a command's flags from the environment and the arguments, and prints
// help and one-line errors. From the same flags and texts it makes shell completion and
// manual pages.
//
// It knows no command, and changes nothing but the FlagSet it is given. Call Parse once, from
// main; a command that also has settings from elsewhere calls Arguments, Environment, Set and
// Refuse instead.
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
// CHATD_MAX_CLIENTS), then from args, and adds -version. If done is true the command has to
// exit with code: help or the version was printed, or the error of a wrong argument. intro is
// printed above the list of flags. Arguments that are not flags are an error.
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

// Refuse handles an error of parsing flags: it prints help and returns OK if that was asked
// for, otherwise it prints the error in one line and returns Usage.
func Refuse(fs *flag.FlagSet, intro string, err error) (code int) {
	if errors.Is(err, flag.ErrHelp) {
		printHelp(os.Stdout, fs, intro)
		return OK
	}
	return Fail(fs.Name(), Usage, fmt.Errorf("%w: see %s -h", err, fs.Name()))
}

// Fail prints an error in one line, and returns code.
func Fail(command string, code int, err error) int {
	fmt.Fprintf(os.Stderr, "%s: %s\n", command, Text(err))
	return code
}

// Text is an error in one line, without the prefix of its package, which means nothing to a
// user.
func Text(err error) string {
	text := err.Error()
	for _, own := range []string{"server: ", "users: ", "gate: ", "cluster: ", "control: ", "admin: ", "client: ", "terminal: ", "askpass: ", "share: ", "downloads: ", "transfer: ", "front: ", "history: ", "tcp: ", "activation: "} {
		text = strings.TrimPrefix(text, own)
	}
	return strings.ReplaceAll(text, "\n", " ")
}

// action is the value of a flag that Action defines.
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
		return errors.New("it must be true or false")
	}
	return nil
}

func (a *action) IsBoolFlag() bool { return true }

// Action defines a flag that makes the command do something else, as -version does. It is not
// a setting, and cannot be set in the environment.
func Action(fs *flag.FlagSet, name, usage string) *bool {
	a := new(action)
	fs.Var(a, name, usage)
	return (*bool)(a)
}

// IsAction says whether a flag was defined by Action.
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
