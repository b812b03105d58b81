package cmdline

import (
	"cmp"
	"flag"
	"fmt"
	"runtime/debug"
	"strings"
)

// built is the day of the commit that this program was built from; "" if it does not
// know.
func built() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.time" {
			day, _, _ := strings.Cut(s.Value, "T")
			return day
		}
	}
	return ""
}

// roff is a manual page under way, in the macros of man(7).
type roff struct{ strings.Builder }

// manual is the manual page, made from the texts and flags that -h shows.
func (c Command) manual(date string) string {
	var m roff
	fmt.Fprintf(&m, ".TH %s 1 %q \"chatbench\" \"User Commands\"\n", strings.ToUpper(escaped(c.Name)), date)
	m.section("NAME")
	m.line(c.Name + " - " + c.Summary)
	m.section("SYNOPSIS")
	c.synopsis(&m)
	m.section("DESCRIPTION")
	m.text(c.Text)
	if len(c.Verbs) > 0 {
		m.section("COMMANDS")
	}
	for _, v := range c.Verbs {
		fmt.Fprintf(&m, ".SS %s %s\n", escaped(c.Name), escaped(v.Name))
		m.text(cmp.Or(v.Text, capital(v.Summary)+"."))
		switch {
		case v.Flags != nil && v.Flags == c.Flags:
			m.WriteString(".PP\n")
			m.line("It takes the options below.")
		case v.Flags != nil:
			m.flags(v.Flags)
		}
	}
	if c.Flags != nil {
		m.section("OPTIONS")
		m.flags(c.Flags)
		m.section("ENVIRONMENT")
		m.line(inEnvironment(c.Flags))
	}
	m.section("EXIT STATUS")
	m.line(strings.TrimSpace("0 if all went well, 1 after an error, 2 if the command line was not understood. " + c.Exit))
	m.section("SEE ALSO")
	var others []string
	for _, name := range c.See {
		others = append(others, fmt.Sprintf("\\fB%s\\fR(1)", escaped(name)))
	}
	m.WriteString(strings.Join(others, ", ") + "\n")
	return m.String()
}

// synopsis lists the ways to call the command.
func (c Command) synopsis(m *roff) {
	var ways []string
	if c.Flags != nil {
		ways = append(ways, " [flags]")
	}
	for _, v := range c.Verbs {
		way := " " + v.Name
		if v.Flags != nil {
			way += " [flags]"
		}
		if len(v.Words) > 0 {
			way += " " + strings.Join(v.Words, "|")
		}
		ways = append(ways, strings.TrimRight(way+" "+v.Takes, " "))
	}
	for i, way := range ways {
		if i > 0 {
			m.WriteString(".br\n")
		}
		fmt.Fprintf(m, "\\fB%s\\fR%s\n", escaped(c.Name), escaped(way))
	}
}

// inEnvironment is the sentence about variables in help and manual.
func inEnvironment(fs *flag.FlagSet) string {
	var example string
	var actions []string
	fs.VisitAll(func(f *flag.Flag) {
		if IsAction(f) {
			actions = append(actions, "-"+f.Name)
		} else {
			example = fmt.Sprintf("-%s as %s", f.Name, variable(fs, f))
		}
	})
	but := ""
	if len(actions) > 0 {
		but = " except " + strings.Join(actions, " and ")
	}
	return fmt.Sprintf("Every flag%s can also be set in the environment: %s.", but, example)
}

func (m *roff) section(title string) { fmt.Fprintf(m, ".SH %q\n", title) }

// line is one line of text.
func (m *roff) line(text string) { m.WriteString(escaped(text) + "\n") }

// asIs says whether a line of help keeps its spaces: it is set in, or has columns.
func asIs(line string) bool { return strings.HasPrefix(line, "  ") || strings.Contains(line, "   ") }

// text is paragraphs as help has them; examples and columns stay as they are.
func (m *roff) text(text string) {
	example, began := false, false
	pause := false
	for line := range strings.Lines(strings.Trim(text, "\n")) {
		line = strings.TrimRight(line, " \n")
		switch inset := asIs(line); {
		case line == "":
			pause = true
			continue
		case inset && !example:
			m.WriteString(".RS 4\n.nf\n")
			example = true
		case !inset && example:
			m.WriteString(".fi\n.RE\n")
			example = false
		case inset && pause:
			m.WriteString("\n")
		}
		if pause && began && !example {
			m.WriteString(".PP\n")
		}
		pause, began = false, true
		m.line(strings.TrimPrefix(line, "  "))
	}
	if example {
		m.WriteString(".fi\n.RE\n")
	}
}

// flags is a list of flags with what they mean.
func (m *roff) flags(fs *flag.FlagSet) {
	fs.VisitAll(func(f *flag.Flag) {
		value, usage := flag.UnquoteUsage(f)
		name := `\fB` + escaped("-"+f.Name) + `\fR`
		if value != "" {
			name += ` \fI` + escaped(value) + `\fR`
		}
		if s := standard(f); s != "" {
			usage += " (" + s + ")"
		}
		fmt.Fprintf(m, ".TP\n%s\n", name)
		m.line(usage)
	})
}

// roffNames are the characters that roff would read, or print, as something else.
var roffNames = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, `"`, `\(dq`, "^", `\(ha`, "~", `\(ti`)

// escaped is a text that roff prints as it is, on one line.
func escaped(text string) string {
	text = roffNames.Replace(strings.Join(strings.Split(text, "\n"), " "))
	var b strings.Builder
	for _, r := range text {
		if r < 0x80 {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\[u%04X]`, r)
		}
	}
	if s := b.String(); !strings.HasPrefix(s, ".") {
		return s
	}
	return `\&` + b.String()
}

// capital begins a text with a capital letter.
func capital(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}
