// Package command parses the lines that begin with a slash, and completes lines while
// they are typed.
//
// It does not carry commands out. Parse is a pure function; a Memory may be used from
// any goroutine.
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
	Who      // ask the server who is in the room
	List     // list what User shares
	Download // download Files from User
	Cancel   // cancel the downloads of Files, or all of them
)

// Command is a command that was typed.
type Command struct {
	Kind  Kind
	User  string
	Files []string
}

// HelpText is the answer to /help, line by line.
var HelpText = []string{
	"a line that you type goes to everybody in the room, except for these commands:",
	"  /help                    show this list",
	"  /bye                     leave, as Ctrl-C and Ctrl-D do",
	"  /quit                    the same as /bye",
	"  /who                     ask the server who is in the room; only you see the answer",
	"  /names                   the same as /who",
	"  /file ls USER            list the files that USER shares",
	"  /file dn USER FILE...    download files; write a name with spaces as \"a b\" or a\\ b,",
	"                           or as it is if it was in USER's last list",
	"  /file cancel [FILE...]   stop downloads; the next /file dn continues them",
	"  //...                    send a line that begins with /",
}

// form is a command and how many arguments it takes.
type form struct {
	words   string
	kind    Kind
	minArgs int // arguments
	maxArgs int
	syntax  string
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

// firstWords gives the first words of all commands.
func firstWords() (words []string) {
	for _, f := range forms {
		if word, _, _ := strings.Cut(f.words, " "); !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	return words
}

// otherChats answers the commands that other chats have and this one has not.
var otherChats = map[string]string{
	"/msg":  noPrivate,
	"/w":    noPrivate,
	"/tell": noPrivate,
	"/me":   "there is no /me: what you type is shown after your name, unchanged",
	"/list": "there is no /list: this server has only one room; /file ls USER lists the files that USER shares",
	"/join": "there is no /join: this server has only one room, and you are in it",
	"/nick": "there is no /nick: your name is the one you logged in with",
}

const noPrivate = "there are no private messages: everybody in the room sees what you type"

// Parse parses a line that begins with a slash. The error says what to type.
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
		if len(args) < f.minArgs || len(args) > f.maxArgs {
			return Command{}, fmt.Errorf("command: the syntax is %s", f.syntax)
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

// unknown is the error for an unknown command. It names the most similar command.
func unknown(words []string) error {
	if answer, known := otherChats[words[0]]; known {
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
			d = min(d, distance(words[0], "/"+last)) // for "/ls bob"
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
		return fmt.Errorf("command: there is no %s; /help shows the commands, and // sends a line that begins with /", said)
	}
	return fmt.Errorf("command: there is no %s; the nearest is %s", said, nearest.syntax)
}

// distance is the edit distance of two texts: how many letters have to be inserted,
// deleted, changed or swapped with their neighbour.
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

// split splits a line into words, at blanks that are neither in double quotes nor
// after a backslash.
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
		return nil, errors.New("command: the line ends within a quotation or after a backslash: add the closing quote or the character")
	}
	if begun {
		words = append(words, word.String())
	}
	if len(words) == 0 {
		words = []string{"/"}
	}
	return words, nil
}
