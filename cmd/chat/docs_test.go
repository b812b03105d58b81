package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// transcript is a conversation as one would copy it from the screen: each line that
// was entered, followed by the rows it has caused.
type transcript struct {
	*person
	rows []string
	seen int // rows copied so far, without the one being typed
}

// update copies the new rows.
func (n *transcript) update() {
	rows := n.Rows()
	n.rows = append(n.rows, rows[n.seen:len(rows)-1]...)
	n.seen = len(rows) - 1
}

// do enters a line, waits for the row that is last, and copies all of them.
func (n *transcript) do(line, last string) {
	n.enter(line)
	n.rows = append(n.rows, n.name+"> "+line)
	n.Await(last + "\r\n")
	n.AwaitLast(n.name + ">")
	n.update()
}

// pairOfTheDocs runs the conversation in docs/chat.md, and compares the transcripts.
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
	one := &transcript{person: startPerson(t, addr, "username", shares["username"], t.TempDir())}
	one.update()
	two := &transcript{person: startPerson(t, addr, "username2", shares["username2"], t.TempDir())}
	two.update()
	one.Await("username2 has joined\r\n")
	one.AwaitLast("username>")
	one.update()
	one.do("hello", "username: hello")
	one.do("/file ls username2", "  test.txt")
	one.do("/file ls nouser", "No such user: nouser")
	two.Await("username: hello\r\n")
	two.AwaitLast("username2>")
	two.update()
	two.do("/file dn username test.txt", "saved "+filepath.Join(two.saved, "test.txt")+" from username: 21 B")
	if got, err := os.ReadFile(filepath.Join(two.saved, "test.txt")); err != nil || string(got) != "the file of username\n" {
		t.Errorf("fetched %q, %v", got, err)
	}
	one.Await("sent test.txt to username2\r\n")
	one.AwaitLast("username>")
	one.update()
	for _, n := range []*transcript{one, two} {
		text := clock.ReplaceAllString(strings.Join(n.rows, "\n"), "09:15 ")
		text = strings.NewReplacer(addr, "127.0.0.1:9000", n.saved+"/", "").Replace(text)
		if !strings.Contains(string(page), "\n"+text+"\n") {
			t.Errorf("docs/chat.md does not contain what %s sees:\n%s", n.name, text)
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
