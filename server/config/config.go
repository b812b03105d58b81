// Package config sets the flags of chatd from all the places that settings come
// from, and knows of each where its value comes from. The later wins: the default,
// the settings file that -config FILE names, the environment, the arguments.
//
// The flags are the only table of settings there is. The file is TOML with a key
// for each of them, named like it and without tables:
//
//	listen = "0.0.0.0:9000"
//	max-clients = 2000
//	linger = "5s"
//
// It refuses to guess: an unknown key, a value of the wrong kind and one that the
// flag does not take are errors, also where a later place overrules them. It never
// writes a file, and reads none that was not named. Load is called once, from main.
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
	fs.String(fileFlag, "", "settings `FILE` in TOML, with a key for each flag: environment and arguments overrule it")
}

// Settings are flags that have been set.
type Settings struct {
	set  *flag.FlagSet
	from map[string]string // a flag's name to where its value comes from
}

// Load sets the flags of fs, for which Define was called. problems are a file that
// cannot be read, its unknown keys, and all values that will not do, wherever they
// were given; each says where it is. err is flag.ErrHelp, or says that args cannot
// be read: then nothing was set.
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

// last is the value for a flag that stands.
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

// Print writes the settings as a settings file, each with a comment that says where
// its value comes from.
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

// value is a flag's value as TOML has it: what is no number, and neither true nor
// false, is text.
func value(f *flag.Flag) any {
	if typed, ok := f.Value.(flag.Getter); ok {
		switch v := typed.Get().(type) {
		case bool, int, int64, uint, uint64, float64:
			return v
		}
	}
	return f.Value.String()
}

// comment makes a text fit for a comment, which is one line.
func comment(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, text)
}

// isSetting says whether a flag can stand in a file.
func isSetting(f *flag.Flag) bool { return !cmdline.IsAction(f) && f.Name != fileFlag }
