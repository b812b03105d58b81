package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// note is what a person would copy from the screen: each line where it was
// entered, then the rows that came of it.
type note struct {
	*person
	rows []string
	seen int // rows of the screen, without the one being typed
}

// look copies what has come.
func (n *note) look() {
	rows := n.Rows()
	n.rows = append(n.rows, rows[n.seen:len(rows)-1]...)
	n.seen = len(rows) - 1
}

// do enters a line and copies it and what comes, of which last is the last.
func (n *note) do(line, last string) {
	n.enter(line)
	n.rows = append(n.rows, n.name+"> "+line)
	n.Await(last + "\r\n")
	n.AwaitLast(n.name + ">")
	n.look()
}

// pairOfTheDocs has the conversation that stands in docs/chat.md, and compares.
func pairOfTheDocs(t *testing.T, addr string) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "chat.md"))
	if err != nil {
		t.Fatal(err)
	}
	shares := map[string]string{"username": t.TempDir(), "username2": t.TempDir()}
	for name, dir := range shares {
		if err := os.WriteFile(filepath.Join(dir, "test.txt"), []byte("the file of "+name+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	one := &note{person: sit(t, addr, "username", shares["username"], t.TempDir())}
	one.look()
	two := &note{person: sit(t, addr, "username2", shares["username2"], t.TempDir())}
	two.look()
	one.Await("username2 has joined\r\n")
	one.AwaitLast("username>")
	one.look()
	one.do("hello", "username: hello")
	one.do("/file ls username2", "  test.txt")
	one.do("/file ls nouser", "No such user: nouser")
	two.Await("username: hello\r\n")
	two.look()
	two.do("/file dn username test.txt", "saved "+filepath.Join(two.saved, "test.txt")+" from username: 21 B")
	if got, err := os.ReadFile(filepath.Join(two.saved, "test.txt")); err != nil || string(got) != "the file of username\n" {
		t.Errorf("fetched %q, %v", got, err)
	}
	one.Await("sent test.txt to username2\r\n")
	one.AwaitLast("username>")
	one.look()
	for _, n := range []*note{one, two} {
		text := clock.ReplaceAllString(strings.Join(n.rows, "\n"), "09:15 ")
		text = strings.NewReplacer(addr, "127.0.0.1:9000", n.saved+"/", "").Replace(text)
		if !strings.Contains(string(page), "\n"+text+"\n") {
			t.Errorf("docs/chat.md does not have what %s sees:\n%s", n.name, text)
		}
		n.Type("/bye\r")
		if code := n.Exit(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
	if slices.Contains(one.rows, "") || slices.Contains(two.rows, "") {
		t.Error("there are empty rows on a screen")
	}
}
