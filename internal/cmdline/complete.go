package cmdline

import (
	"flag"
	"slices"
	"strings"
)

// What a shell's script does in place of offering words, or beside it.
const (
	anyFile = ":files"   // offer files
	anyDir  = ":dirs"    // offer directories
	noSpace = ":nospace" // put no space behind the word: a list may go on
)

// describedTo is how much of a description is shown, in characters.
const describedTo = 72

// complete lists what the last of the words behind the program's name can be: a line
// for each, with a tab and a description where there is one.
func (c Command) complete(words []string) []string {
	before, current := words[:len(words)-1], words[len(words)-1]
	if before, current = joined(before, current); len(before) == 0 && !strings.HasPrefix(current, "-") {
		return begins(current, c.verbLines())
	}
	flags, v := c.Flags, (*Verb)(nil)
	if len(before) > 0 {
		if v = c.verb(before[0]); v != nil {
			flags, before = v.Flags, before[1:]
		}
	}
	if name, value, found := strings.Cut(current, "="); found && strings.HasPrefix(current, "-") {
		return c.values(flags, name, value, name+"=")
	}
	if len(before) > 0 && open(flags, before[len(before)-1]) {
		return c.values(flags, before[len(before)-1], current, "")
	}
	switch {
	case strings.HasPrefix(current, "-"):
		return begins(current, flagLines(flags))
	case v != nil && len(v.Words) > 0 && !slices.ContainsFunc(before, func(w string) bool { return slices.Contains(v.Words, w) }):
		return begins(current, v.Words)
	case v != nil:
		return paths(v.Takes)
	}
	return nil
}

// joined undoes what bash does to -flag=value: it makes three words of it.
func joined(before []string, current string) ([]string, string) {
	if current == "=" {
		return before, ""
	}
	return slices.DeleteFunc(slices.Clone(before), func(w string) bool { return w == "=" }), current
}

// open says whether a word is a flag whose value is the next word.
func open(fs *flag.FlagSet, word string) bool {
	f := lookup(fs, word)
	return f != nil && takesValue(f)
}

// lookup finds the flag that a word such as -name or --name is.
func lookup(fs *flag.FlagSet, word string) *flag.Flag {
	if fs == nil || !strings.HasPrefix(word, "-") {
		return nil
	}
	return fs.Lookup(strings.TrimPrefix(strings.TrimPrefix(word, "-"), "-"))
}

// values lists what a flag can be set to, each behind prefix. Of a list with commas
// only the last item is completed.
func (c Command) values(fs *flag.FlagSet, word, current, prefix string) []string {
	f := lookup(fs, word)
	if f == nil || !takesValue(f) {
		return nil
	}
	name, _ := flag.UnquoteUsage(f)
	known := c.Values[f.Name]
	if strings.Contains(name, "|") {
		known = strings.Split(name, "|")
	}
	if known == nil {
		return paths(name)
	}
	list := name == "NAMES"
	if i := strings.LastIndexByte(current, ','); i >= 0 && list {
		prefix, current = prefix+current[:i+1], current[i+1:]
	}
	var lines []string
	for _, line := range begins(current, known) {
		lines = append(lines, prefix+line)
	}
	if list {
		lines = append(lines, noSpace)
	}
	return lines
}

// paths is what to offer for a placeholder such as FILE or DIR.
func paths(placeholder string) []string {
	switch {
	case strings.Contains(placeholder, "DIR"):
		return []string{anyDir}
	case strings.Contains(placeholder, "FILE"), strings.Contains(placeholder, "PATH"):
		return []string{anyFile}
	}
	return nil
}

// verbLines is the verbs with what they do.
func (c Command) verbLines() (lines []string) {
	for _, v := range c.Verbs {
		lines = append(lines, v.Name+"\t"+brief(v.Summary))
	}
	return lines
}

// flagLines is the flags with what they mean.
func flagLines(fs *flag.FlagSet) (lines []string) {
	if fs == nil {
		return nil
	}
	fs.VisitAll(func(f *flag.Flag) {
		_, usage := flag.UnquoteUsage(f)
		lines = append(lines, "-"+f.Name+"\t"+brief(usage))
	})
	return lines
}

// brief is a text in one short line.
func brief(text string) string {
	runes := []rune(strings.Join(strings.Fields(text), " "))
	if len(runes) <= describedTo {
		return string(runes)
	}
	return strings.TrimRight(string(runes[:describedTo-1]), " ") + "…"
}

// begins is those lines that begin with a text; of two dashes one is enough.
func begins(text string, lines []string) (found []string) {
	if strings.HasPrefix(text, "--") {
		text = text[1:]
	}
	for _, line := range lines {
		if strings.HasPrefix(line, text) {
			found = append(found, line)
		}
	}
	return found
}
