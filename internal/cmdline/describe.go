package cmdline

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// Command is what a program can be told, and what it says of itself: the source of
// its manual page and of the completion in shells.
type Command struct {
	Name    string // of the program
	Summary string // a phrase, as the manual has it behind the name: "chat server"
	Text    string // the text that -h prints
	Exit    string // sentences about exit codes other than 0, 1 and 2
	See     []string
	// Flags are those of the program without a verb, which the environment can give too.
	// nil: it needs a verb.
	Flags *flag.FlagSet
	Verbs []Verb
	// Values are the words that a flag takes, by the flag's name, where its usage does
	// not list them as `this|that`.
	Values map[string][]string
}

// Verb is a word that may stand first.
type Verb struct {
	Name    string
	Summary string        // one line
	Text    string        // more for the manual, as it is printed; "": there is none
	Takes   string        // what may follow besides flags, such as "DIR"; "": nothing
	Words   []string      // the words one of which follows the verb, such as add and del
	Flags   *flag.FlagSet // nil: it has none
}

// Describe carries out what every command knows beside its own verbs:
//
//	COMMAND completion bash|zsh|fish   print the shell's script
//	COMMAND completion -- WORD…        print what the last word can be, for that script
//	COMMAND man                        print the manual page
//
// done is false if args ask for none of these. command is called only if they do.
func Describe(w io.Writer, args []string, command func() Command) (code int, done bool) {
	if len(args) == 0 || args[0] != "completion" && args[0] != "man" {
		return OK, false
	}
	c := command()
	var text string
	switch rest := args[1:]; {
	case args[0] == "man" && len(rest) == 0:
		text = c.manual(built())
	case args[0] == "completion" && len(rest) == 1 && scripts[rest[0]] != "":
		text = strings.ReplaceAll(scripts[rest[0]], "COMMAND", c.Name)
	case args[0] == "completion" && len(rest) > 1 && rest[0] == "--":
		text = strings.Join(append(c.complete(rest[1:]), ""), "\n")
	case args[0] == "man":
		return Fail(c.Name, Usage, errors.New("man takes no arguments")), true
	default:
		return Fail(c.Name, Usage, errors.New("which shell? say completion bash, completion zsh or completion fish")), true
	}
	if _, err := io.WriteString(w, text); err != nil {
		return Fail(c.Name, Failed, fmt.Errorf("standard output: %w", err)), true
	}
	return OK, true
}

var verbLine = regexp.MustCompile(`(?m)^  ([a-z]+) {2,}(\S.*)$`)

// VerbsOf reads the verbs from a help text that has a line for each: two spaces, the
// verb, two spaces or more, what it does.
func VerbsOf(help string) (verbs []Verb) {
	for _, m := range verbLine.FindAllStringSubmatch(help, -1) {
		verbs = append(verbs, Verb{Name: m[1], Summary: m[2]})
	}
	return verbs
}

// verb finds a verb; nil if there is none of that name.
func (c Command) verb(name string) *Verb {
	for i := range c.Verbs {
		if c.Verbs[i].Name == name {
			return &c.Verbs[i]
		}
	}
	return nil
}

// takesValue says whether a flag is followed by a value.
func takesValue(f *flag.Flag) bool {
	b, ok := f.Value.(interface{ IsBoolFlag() bool })
	return !ok || !b.IsBoolFlag()
}

// standard is the default of a flag as help shows it; "" for one that says nothing.
func standard(f *flag.Flag) string {
	switch f.DefValue {
	case "", "0", "false":
		return ""
	}
	return f.DefValue
}
