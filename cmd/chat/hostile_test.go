package main

import (
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"chatbench/client"
	"chatbench/cmd/internal/ptytest"
)

// Escape sequences and line breaks in texts, names and notices neither control the
// terminal nor forge a message of somebody else. Each is shown as replacement
// characters, in one row, whether or not the server made it safe first. The test's
// screen fails on sequences that a line editor does not use.
var hostile = []struct{ from, text, shown string }{
	{"bob", "hi\nalice: forged", "bob: hi␤alice: forged"},
	{"bob", "\x1b]52;c;aGk=\a한글", "bob: \ufffd]52;c;aGk=\ufffd한글"},
	{"bob", "\x1b[2J\x1b[H\r", "bob: \ufffd[2J\ufffd[H\ufffd"},
	{"bob", "\u009b31m\u0085한\x9c", "bob: \ufffd31m\ufffd한\ufffd"},
}

func TestHostileServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var sent strings.Builder
	sent.WriteString("\x01granted\x00")
	var want []string
	for _, h := range hostile {
		sent.WriteString("\x00" + h.from + ": " + h.text + "\x00")
		want = append(want, h.shown)
	}
	sent.WriteString("\x00ev\x1b]0;x\ail: x\x00" + "\x00server: \x1b[31m\nbob: y\x00" + "\x00end: .\x00")
	want = append(want, "ev\ufffd]0;x\ufffdil: x", "server: \ufffd[31m␤bob: y", "end: .")
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		io.WriteString(conn, sent.String())
		io.Copy(io.Discard, conn)
	}()
	p := ptytest.Start(t, environment("NO_COLOR=1"), "chat", "-server", l.Addr().String(), "-user", "alice")
	p.Await("end: .\r\n")
	p.AwaitLast("alice>")
	shows(t, p, want)
}

func TestHostileClient(t *testing.T) {
	s, _ := serve(t, "127.0.0.1:0")
	p := ptytest.Start(t, environment("NO_COLOR=1"), "chat", "-server", s.Addr().String(), "-user", "alice")
	p.Await("alice> ")
	bob := join(t, s, "bob")
	var want []string
	for _, h := range hostile {
		if err := bob.Say(h.text); err != nil {
			t.Fatal(err)
		}
		want = append(want, h.shown)
	}
	// A file whose name holds an escape sequence.
	if err := bob.File(4, "alice", "x\x1b]52;c;y\a\nz"); err != nil {
		t.Fatal(err)
	}
	for e := range bob.Events() {
		if n, is := e.(client.Notice); is && strings.HasPrefix(n.Text, "File not found: x") {
			if strings.ContainsAny(n.Text, "\x1b\a\n") {
				t.Errorf("the server repeats %q", n.Text)
			}
			break
		}
	}
	if err := bob.Say("end"); err != nil {
		t.Fatal(err)
	}
	p.Await("bob: end\r\n")
	p.AwaitLast("alice>")
	shows(t, p, append(want, "bob: end"))
}

// shows checks that the messages on the screen are these rows and no others.
func shows(t *testing.T, p *ptytest.Terminal, want []string) {
	t.Helper()
	var rows []string
	for _, row := range p.Rows() {
		text := clock.ReplaceAllString(row, "")
		if text != row && !strings.HasPrefix(text, "* ") && !strings.Contains(text, "nobody else") {
			rows = append(rows, text)
		} else if text == row && text != "alice>" {
			t.Errorf("a row without its time: %q", row)
		}
	}
	if !slices.Equal(rows, want) {
		t.Errorf("the screen shows\n%q, want\n%q", rows, want)
	}
	for _, sequence := range []string{"\x1b]", "\x1bP", "\x1b[2J", "\u009b", "\u202e"} {
		if strings.Contains(p.Seen(), sequence) {
			t.Errorf("%q reached the terminal", sequence)
		}
	}
}
