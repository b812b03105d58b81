// Package command reads the lines that begin with a slash, and completes them
// while they are typed.
//
// It refuses to carry anything out. Parse is pure; a Memory may be used from any
// goroutine.
package command

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"chatbench/client"
)

// Kind is what a command does.
type Kind int

const (
	Help Kind = iota
	Bye
	Who      // is in the room: the server answers the text of the line
	List     // what User shares
	Download // Files from User
	Cancel   // the downloads of Files, or all
)

// Command is a command that was typed.
type Command struct {
	Kind  Kind
	User  string
	Files []string
}

// HelpText is for people.
var HelpText = []string{
	"a line is said to everybody in the room; these are not:",
	"  /help                    this",
	"  /bye                     leave, as Ctrl-C and Ctrl-D do",
	"  /quit                    the same as /bye",
	"  /who                     ask the server who is in the room; only you see the answer",
	"  /names                   the same as /who",
	"  /file ls USER            the files that USER shares",
	"  /file dn USER FILE...    fetch them; a name with spaces is \"written so\" or written\\ so,",
	"                           or as it stands if it was in USER's last list",
	"  /file cancel [FILE...]   stop fetching; the next /file dn goes on from there",
	"  //...                    say a line that begins with /",
}

// form is a command and what has to follow it.
type form struct {
	words  string
	kind   Kind
	least  int // arguments
	most   int
	syntax string
}

const many = 1 << 20

var forms = []form{
	{"/help", Help, 0, 0, "/help"},
	{"/bye", Bye, 0, 0, "/bye"},
	{"/quit", Bye, 0, 0, "/quit"}, // as other chats call it
	{"/who", Who, 0, 0, "/who"},
	{"/names", Who, 0, 0, "/who"}, // as IRC calls it
	{"/file ls", List, 1, 1, "/file ls USER"},
	{"/file dn", Download, 2, many, "/file dn USER FILE..."},
	{"/file cancel", Cancel, 0, many, "/file cancel [FILE...]"},
}

// firstWords are the words that commands begin with.
func firstWords() (words []string) {
	for _, f := range forms {
		if word, _, _ := strings.Cut(f.words, " "); !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	return words
}

// elsewhere is commands of other chats that people type here, with the answer.
var elsewhere = map[string]string{
	"/msg":  noPrivate,
	"/w":    noPrivate,
	"/tell": noPrivate,
	"/me":   "there is no /me: what you say stands behind your name as it is",
	"/list": "there is no /list: this server has one room; /file ls USER lists the files that USER shares",
	"/join": "there is no /join: this server has one room, and you are in it",
	"/nick": "there is no /nick: your name is the one you logged in with",
}

const noPrivate = "there are no private messages: what is said is said to everybody"

// Parse reads a line that begins with a slash. The error says what to type.
func Parse(line string) (Command, error) {
	words, err := split(line)
	if err != nil {
		return Command{}, err
	}
	for _, f := range forms {
		own := strings.Fields(f.words)
		if len(words) < len(own) || !slices.Equal(words[:len(own)], own) {
			continue
		}
		args := words[len(own):]
		if len(args) < f.least || len(args) > f.most {
			return Command{}, fmt.Errorf("command: it is %s", f.syntax)
		}
		c := Command{Kind: f.kind}
		if f.kind == List || f.kind == Download {
			c.User, args = args[0], args[1:]
		}
		if len(args) > 0 {
			c.Files = args
		}
		return c, nil
	}
	return Command{}, unknown(words)
}

// unknown is the error for what is no command, with the nearest that is.
func unknown(words []string) error {
	if answer, known := elsewhere[words[0]]; known {
		return errors.New("command: " + answer)
	}
	typed := words[0]
	if len(words) > 1 && distance(words[0], "/file") < 3 {
		typed = words[0] + " " + words[1]
	}
	best, nearest := len(typed), forms[0]
	for _, f := range forms {
		_, last, both := strings.Cut(f.words, " ")
		d := distance(typed, f.words)
		if both {
			d = min(d, distance(words[0], "/"+last)) // "/ls bob" is meant well
		}
		if strings.HasPrefix(f.words, typed) {
			d = 0
		}
		if d < best {
			best, nearest = d, f
		}
	}
	said := client.Safe([]byte(typed))
	if best > 2 {
		return fmt.Errorf("command: there is no %s; /help shows the commands, // says a line that begins with /", said)
	}
	return fmt.Errorf("command: there is no %s; the nearest is %s", said, nearest.syntax)
}

// distance is how many letters have to be put in, left out, changed or swapped
// with their neighbour to make one text of the other.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	if len(x) > 32 {
		return len(x)
	}
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		for j := range rows[i] {
			switch {
			case i == 0 || j == 0:
				rows[i][j] = i + j
			case x[i-1] == y[j-1]:
				rows[i][j] = rows[i-1][j-1]
			default:
				rows[i][j] = 1 + min(rows[i-1][j-1], rows[i-1][j], rows[i][j-1])
				if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
					rows[i][j] = min(rows[i][j], 1+rows[i-2][j-2])
				}
			}
		}
	}
	return rows[len(x)][len(y)]
}

// split splits a line into words: at blanks, but for those in double quotes or
// behind a backslash.
func split(line string) (words []string, err error) {
	var word strings.Builder
	begun, quoted, escaped := false, false, false
	for _, r := range line {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\':
			begun, escaped = true, true
		case r == '"':
			begun, quoted = true, !quoted
		case (r == ' ' || r == '\t') && !quoted:
			if begun {
				words = append(words, word.String())
				word.Reset()
				begun = false
			}
		default:
			word.WriteRune(r)
			begun = true
		}
	}
	if quoted || escaped {
		return nil, errors.New("command: a quotation or a backslash at the end has nothing behind it")
	}
	if begun {
		words = append(words, word.String())
	}
	if len(words) == 0 {
		words = []string{"/"}
	}
	return words, nil
}
