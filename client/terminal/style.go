package terminal

import (
	"fmt"
	"hash/fnv"
	"strings"
	"time"
)

// style is how lines look on a terminal.
type style struct {
	colour bool
	self   string
}

const (
	dim    = "2"
	bold   = "1"
	yellow = "33"
)

// nameColours are readable on dark and on light backgrounds.
var nameColours = [...]string{"31", "32", "34", "35", "36", "91", "94", "95"}

func (s style) said(b *strings.Builder, at time.Time, from, text string) {
	s.clock(b, at)
	fmt.Fprintf(b, "%s: %s\n", s.paint(s.nameColour(from), from), text)
}

func (s style) notice(b *strings.Builder, at time.Time, text string) {
	s.clock(b, at)
	fmt.Fprintf(b, "%s\n", s.paint(dim, "server: "+text))
}

func (s style) status(b *strings.Builder, at time.Time, text string) {
	s.clock(b, at)
	fmt.Fprintf(b, "%s\n", s.paint(yellow, "* "+text))
}

func (s style) clock(b *strings.Builder, at time.Time) {
	b.WriteString(s.paint(dim, at.Format("15:04")))
	b.WriteByte(' ')
}

// nameColour is always the same for the same name, so that a conversation is easy to
// follow.
func (s style) nameColour(name string) string {
	if name == s.self {
		return bold
	}
	h := fnv.New32a()
	h.Write([]byte(name))
	return nameColours[h.Sum32()%uint32(len(nameColours))]
}

func (s style) paint(colour, text string) string {
	if !s.colour {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}
