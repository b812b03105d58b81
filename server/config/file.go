package config

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"chatbench/internal/cmdline"
)

// maxFile is the size of the largest settings file that is read, in octets.
const maxFile = 1 << 20

// read reads a settings file, and returns its values and its problems, in the order of lines.
func read(fs *flag.FlagSet, path string) (given []cmdline.Given, problems []error) {
	text, err := readText(path)
	if err != nil {
		return nil, []error{err}
	}
	var keys map[string]toml.Primitive
	meta, err := toml.Decode(text, &keys)
	if at := (toml.ParseError{}); errors.As(err, &at) {
		return nil, []error{fmt.Errorf("%s:%d: not valid TOML: %s", path, at.Position.Line, at.Message)}
	} else if err != nil {
		return nil, []error{fmt.Errorf("%s: not valid TOML: %w", path, err)}
	}
	var entries []entry
	for key, raw := range keys {
		entries = append(entries, decode(meta, key, raw))
	}
	slices.SortFunc(entries, func(a, b entry) int { return a.line - b.line })
	for _, e := range entries {
		g, err := e.give(fs)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s:%d: %w", path, e.line, err))
			continue
		}
		g.From = fmt.Sprintf("%s:%d", path, e.line)
		g.Cited = fmt.Sprintf("%s: %s", g.From, g.Cited)
		given = append(given, g)
	}
	return given, problems
}

func readText(path string) (string, error) {
	f, err := os.Open(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "", fmt.Errorf("there is no settings file %s: create it, or leave -config out", path)
	case err != nil:
		return "", fmt.Errorf("settings file: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("settings file: %w", err)
	case len(text) > maxFile:
		return "", fmt.Errorf("settings file %s: it is larger than 1 MiB: check the path", path)
	}
	return string(text), nil
}

// entry is a key of the file and its value.
type entry struct {
	key   string
	value any
	line  int
}

// errLocate is returned by UnmarshalTOML so that the library reports the line of an entry.
var errLocate = errors.New("config: an entry was decoded")

// UnmarshalTOML keeps the value, and then fails: the library reports the line of a value
// only with an error.
func (e *entry) UnmarshalTOML(value any) error {
	e.value = value
	return errLocate
}

func decode(meta toml.MetaData, key string, raw toml.Primitive) entry {
	e := entry{key: key}
	if at := (toml.ParseError{}); errors.As(meta.PrimitiveDecode(raw, &e), &at) {
		e.line = at.Position.Line
	}
	return e
}

// give finds the flag of an entry, and converts the value to text for it.
func (e entry) give(fs *flag.FlagSet) (cmdline.Given, error) {
	f := fs.Lookup(e.key)
	switch {
	case f == nil:
		if near := nearest(fs, e.key); near != "" {
			return cmdline.Given{}, fmt.Errorf("unknown key %q, the nearest known one is %s", e.key, near)
		}
		return cmdline.Given{}, fmt.Errorf("unknown key %q", e.key)
	case !isSetting(f):
		return cmdline.Given{}, fmt.Errorf("%s cannot be set in a file, only as the flag -%s", e.key, e.key)
	}
	text, wanted := e.text(f)
	if wanted != "" {
		return cmdline.Given{}, fmt.Errorf("%s = %s: it must be %s", e.key, e.shown(), wanted)
	}
	return cmdline.Given{Flag: e.key, Value: text, Cited: fmt.Sprintf("%s = %s", e.key, e.shown())}, nil
}

// text is the value as text for the flag, or what is wanted instead. A flag with a type
// that is not one of package flag checks a value of any kind itself.
func (e entry) text(f *flag.Flag) (text, wanted string) {
	kind := kindOf(e.value)
	if kind == "" {
		return "", "one value"
	}
	if _, standard := f.Value.(flag.Getter); standard && kind != kindOf(value(f)) {
		wanted = cmp.Or(cmdline.Wanted(f), "text")
		switch textual {
		case kind:
			wanted += ", without quotes"
		case kindOf(value(f)):
			wanted += ", in quotes"
		}
		return "", wanted
	}
	return fmt.Sprint(e.value), ""
}

// textual is the kind of values in quotes.
const textual = "text"

// kindOf is the kind of a TOML value; "" if no flag can have such a value.
func kindOf(v any) string {
	switch v.(type) {
	case string:
		return textual
	case bool:
		return "truth"
	case int, int64, uint, uint64, float64:
		return "number"
	}
	return ""
}

// shown is the value as an error shows it, in one line of bounded length.
func (e entry) shown() string {
	text := fmt.Sprint(e.value)
	if s, is := e.value.(string); is {
		text = fmt.Sprintf("%q", s)
	}
	if r := []rune(text); len(r) > 60 {
		text = string(r[:60]) + "…"
	}
	return text
}

// nearest is the setting whose name is most similar to a text; "" if none is similar.
func nearest(fs *flag.FlagSet, text string) (name string) {
	text = strings.ToLower(text)
	least := max(2, len(text)/3) + 1
	fs.VisitAll(func(f *flag.Flag) {
		if d := distance(text, f.Name); isSetting(f) && d < least {
			name, least = f.Name, d
		}
	})
	return name
}

// distance is how many characters have to be inserted, deleted or replaced to make
// one text the other (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
