package cmdline

import (
	"errors"
	"flag"
	"fmt"
	"io"
)

// ParseVerb parses the flags of a verb of a command. f is named after the verb. arguments is how
// its help writes the arguments that are not flags; if it is empty there must be none, otherwise
// flags may also follow them. If help was asked for, ParseVerb prints it to w and returns true.
func ParseVerb(command string, f *flag.FlagSet, arguments string, args []string, w io.Writer) (help bool, err error) {
	f.SetOutput(io.Discard)
	f.Usage = func() {}
	if arguments == "" {
		err = f.Parse(args)
	} else {
		err = parseMixed(f, args)
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		usage := fmt.Sprintf("usage: %s %s [flags]", command, f.Name())
		if arguments != "" {
			usage += " " + arguments
		}
		fmt.Fprintf(w, "%s\n\n", usage)
		f.SetOutput(w)
		f.PrintDefaults()
		return true, nil
	case err == nil && arguments == "" && f.NArg() > 0:
		err = fmt.Errorf("no argument %q is known; flags begin with -", f.Arg(0))
	}
	if err != nil {
		err = fmt.Errorf("%w: see %s %s -h", err, command, f.Name())
	}
	return false, err
}

// parseMixed parses flags that may also follow arguments.
func parseMixed(f *flag.FlagSet, args []string) error {
	var arguments []string
	for {
		if err := f.Parse(args); err != nil {
			return err
		}
		if f.NArg() == 0 {
			return f.Parse(append([]string{"--"}, arguments...))
		}
		arguments, args = append(arguments, f.Arg(0)), f.Args()[1:]
	}
}
