// Package config sets the flags of chatd from the settings file, the environment and
// the arguments, and knows where each value comes from. The order of precedence, from
// lowest to highest, is: the default, the file of -config FILE, the environment, the
// arguments.
//
// The flags are the only list of settings. The file is TOML, without tables. It has a
// key for each flag, with the same name:
//
//	listen = "0.0.0.0:9000"
//	max-clients = 2000
//	linger = "5s"
//
// It does not guess: an unknown key, a value of the wrong type and a value that the flag
// refuses are errors, even if another place with higher precedence sets the flag. It
// writes no file, and reads only the one that -config names. Call Load once, from main.
package config

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/BurntSushi/toml"

	"chatbench/internal/cmdline"
)

// fileFlag names the settings file.
const fileFlag = "config"

// Define defines the flag that names the settings file.
func Define(fs *flag.FlagSet) {
	fs.String(fileFlag, "", "settings `FILE` in TOML, with a key for each flag; environment and arguments override it")
}

// Settings are flags that have been set.
type Settings struct {
	set  *flag.FlagSet
	from map[string]string // a flag's name to where its value comes from
}

// Load sets the flags of fs, for which Define was called. problems are: a file that
// cannot be read, its unknown keys, and all invalid values, wherever they were given.
// Each says where the problem is. err is flag.ErrHelp, or an error in args: then no flag
// was set.
func Load(fs *flag.FlagSet, args []string) (s Settings, problems []error, err error) {
	given, err := cmdline.Arguments(fs, args)
	if err != nil {
		return Settings{}, nil, err
	}
	given = append(cmdline.Environment(fs), given...)
	if path := last(given, fileFlag); path != "" {
		var inFile []cmdline.Given
		inFile, problems = read(fs, path)
		given = append(inFile, given...)
	}
	s = Settings{set: fs, from: make(map[string]string)}
	for _, g := range given {
		s.from[g.Flag] = g.From
	}
	return s, append(problems, cmdline.Set(fs, given)...), nil
}

// last is the last value that was given for a flag; "" if there is none.
func last(given []cmdline.Given, name string) (value string) {
	for _, g := range given {
		if g.Flag == name {
			value = g.Value
		}
	}
	return value
}

// From says where the value of a flag comes from: "default", "FILE:LINE",
// "environment NAME" or "flag -NAME".
func (s Settings) From(name string) string { return cmp.Or(s.from[name], "default") }

// Print prints the settings as a settings file, with a comment for each that says where its
// value comes from.
func (s Settings) Print(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	var err error
	s.set.VisitAll(func(f *flag.Flag) {
		if err != nil || !isSetting(f) {
			return
		}
		var line []byte
		if line, err = toml.Marshal(map[string]any{f.Name: value(f)}); err == nil {
			_, err = fmt.Fprintf(table, "%s\t# %s\n", strings.TrimRight(string(line), "\n"), comment(s.From(f.Name)))
		}
	})
	if err == nil {
		err = table.Flush()
	}
	return err
}

// value is a flag's value for TOML: a number, a bool, or otherwise a string.
func value(f *flag.Flag) any {
	if typed, ok := f.Value.(flag.Getter); ok {
		switch v := typed.Get().(type) {
		case bool, int, int64, uint, uint64, float64:
			return v
		}
	}
	return f.Value.String()
}

// comment makes a text fit for a comment: it replaces control characters.
func comment(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, text)
}

// isSetting says whether a flag can be set in a file.
func isSetting(f *flag.Flag) bool { return !cmdline.IsAction(f) && f.Name != fileFlag }
