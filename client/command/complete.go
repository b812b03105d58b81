package command

import (
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/text/unicode/norm"

	"chatbench/client"
)

// Bounds of what a Memory keeps.
const (
	maxNames         = 500
	maxLists         = 20
	maxNamesInNotice = 64 // names taken from one notice
)

// Memory keeps the names of users and files that were seen, for completion.
type Memory struct {
	mu    sync.Mutex
	names []string            // the latest first
	lists map[string][]string // the last list of files of each user
	order []string            // the keys of lists, the oldest first
}

// Saw keeps the names in an event.
func (m *Memory) Saw(e client.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch e := e.(type) {
	case client.Said:
		m.saw(e.From)
	case client.Notice:
		if name, ok := strings.CutSuffix(e.Text, " has joined"); ok {
			m.saw(name)
		} else if n, names, ok := strings.Cut(e.Text, " joined: "); ok && !strings.Contains(n, " ") {
			names, _, _ = strings.Cut(names, " and ")
			for _, name := range strings.SplitN(names, ", ", maxNamesInNotice) {
				m.saw(name)
			}
		} else if here, ok := strings.CutPrefix(e.Text, "here: "); ok {
			for _, name := range strings.SplitN(here, ", ", maxNamesInNotice) {
				m.saw(name)
			}
		} else if names, ok := Answer(e.Text); ok {
			for _, name := range strings.SplitN(names, ", ", maxNamesInNotice) {
				m.saw(name)
			}
		}
	}
}

// Answer says whether a notice is the server's answer to /who, such as
// "3 here: alice, bob, carol", and returns the names in it.
func Answer(notice string) (names string, is bool) {
	count, names, found := strings.Cut(notice, " here: ")
	if _, err := strconv.Atoi(count); err != nil || !found {
		return "", false
	}
	names, _, _ = strings.Cut(names, " and ")
	return names, true
}

func (m *Memory) saw(name string) {
	if name == "" || strings.Contains(name, " ") || len(m.names) > 0 && m.names[0] == name {
		return
	}
	if i := slices.Index(m.names, name); i >= 0 {
		m.names = slices.Delete(m.names, i, i+1)
	}
	m.names = slices.Insert(m.names, 0, name)
	m.names = m.names[:min(len(m.names), maxNames)]
}

// Listed keeps the list of what a user shares.
func (m *Memory) Listed(user string, files []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.saw(user)
	if m.lists == nil {
		m.lists = make(map[string][]string)
	}
	if _, known := m.lists[user]; !known {
		m.order = append(m.order, user)
	}
	m.lists[user] = files
	if len(m.order) > maxLists {
		delete(m.lists, m.order[0])
		m.order = m.order[1:]
	}
}

// Parse is the function Parse, with one exception: in /file dn, if everything after
// the user's name is a file in that user's last list, it is taken as one name, with
// its spaces and quotes.
func (m *Memory) Parse(line string) (Command, error) {
	rest := line
	var words [3]string
	for i := range words {
		words[i], rest, _ = strings.Cut(strings.TrimLeft(rest, " \t"), " ")
	}
	if rest = strings.TrimSpace(rest); words[0] == "/file" && words[1] == "dn" && rest != "" {
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, file := range m.lists[words[2]] {
			if norm.NFC.String(file) == norm.NFC.String(rest) {
				return Command{Kind: Download, User: words[2], Files: []string{file}}, nil
			}
		}
	}
	return Parse(line)
}

// Complete completes the word at the end of a text as far as it is unambiguous. If
// nothing can be added it returns the candidates.
func (m *Memory) Complete(text string) (longer string, candidates []string) {
	before, word := lastWord(text)
	for _, c := range m.candidates(before) {
		if len(c) >= len(word) && strings.EqualFold(c[:len(word)], word) && !slices.Contains(candidates, c) {
			candidates = append(candidates, c)
		}
	}
	switch {
	case len(candidates) == 0 || word == "" && before == "":
		return text, nil
	case len(candidates) == 1:
		return before + candidates[0] + " ", nil
	}
	common := candidates[0]
	for _, c := range candidates[1:] {
		for !strings.HasPrefix(c, common) {
			r := []rune(common)
			common = string(r[:len(r)-1])
		}
	}
	if len(common) > len(word) {
		return before + common, nil
	}
	return text, candidates
}

// candidates gives the words that can follow a text.
func (m *Memory) candidates(before string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	words := strings.Fields(before)
	switch {
	case len(words) == 0:
		return append(firstWords(), m.names...)
	case !strings.HasPrefix(before, "/"):
		return m.names
	case len(words) == 1 && words[0] == "/file":
		return []string{"ls", "dn", "cancel"}
	case words[0] != "/file":
		return nil
	case len(words) == 2 && (words[1] == "ls" || words[1] == "dn"):
		return m.names
	case words[1] == "dn":
		var files []string
		for _, file := range m.lists[words[2]] {
			if client.Safe([]byte(file)) == file { // others cannot be typed
				files = append(files, escape(file))
			}
		}
		return files
	}
	return nil
}

// escape writes a file's name as one word of a command.
func escape(file string) string {
	return strings.NewReplacer(`\`, `\\`, ` `, `\ `, `"`, `\"`, "\t", "\\\t").Replace(file)
}

// lastWord splits a text before its last word, which may be empty.
func lastWord(text string) (before, word string) {
	at := 0
	for i := range len(text) {
		if (text[i] == ' ' || text[i] == '\t') && (i == 0 || text[i-1] != '\\') {
			at = i + 1
		}
	}
	return text[:at], text[at:]
}
