package terminal

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"chatbench/client"
	"chatbench/core/wire"
)

func TestCommands(t *testing.T) {
	for _, c := range []struct {
		line    string
		command bool
		message string
	}{
		{"hello", false, "hello"},
		{"", false, ""},
		{"/bye", true, ""},
		{"/", true, ""},
		{"//bye", false, "/bye"},
		{"///", false, "//"},
		{" /bye", false, " /bye"},
		{"a\x00b", false, "ab"},
		{"안녕 /bye", false, "안녕 /bye"},
	} {
		if got := isCommand(c.line); got != c.command {
			t.Errorf("isCommand(%q) = %v", c.line, got)
		}
		if !c.command && messageText(c.line) != c.message {
			t.Errorf("messageText(%q) = %q, want %q", c.line, messageText(c.line), c.message)
		}
	}
}

func TestStyle(t *testing.T) {
	at := time.Date(2026, 1, 2, 9, 5, 0, 0, time.UTC)
	for _, c := range []struct {
		name  string
		style style
		write func(style, *strings.Builder)
		want  string
	}{
		{"said", style{}, func(s style, b *strings.Builder) { s.said(b, at, "민수", "안녕") }, "09:05 민수: 안녕\n"},
		{"notice", style{}, func(s style, b *strings.Builder) { s.notice(b, at, "hi") }, "09:05 server: hi\n"},
		{"status", style{}, func(s style, b *strings.Builder) { s.status(b, at, "hi") }, "09:05 * hi\n"},
		{"own", style{true, "a"}, func(s style, b *strings.Builder) { s.said(b, at, "a", "x") },
			"\x1b[2m09:05\x1b[0m \x1b[1ma\x1b[0m: x\n"},
	} {
		var b strings.Builder
		c.write(c.style, &b)
		if b.String() != c.want {
			t.Errorf("%s: %q, want %q", c.name, b.String(), c.want)
		}
	}
	// Other names have colours of their own, and not all the same one.
	s, seen := style{true, "a"}, make(map[string]bool)
	for _, name := range strings.Fields("bob carol dave 민수 지영 erin frank grace") {
		seen[s.nameColour(name)] = true
	}
	if len(seen) < 3 || seen[bold] {
		t.Errorf("colours of eight others: %v", seen)
	}
}

// If a server hangs up before it has echoed a line, chat reports the line as perhaps
// not delivered.
func TestLinesNotEchoed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		conn.Write(wire.AppendGranted(nil))
		buf := make([]byte, 1024)
		for got := ""; !strings.Contains(got, "two\x00"); {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			got += string(buf[:n])
		}
	}() // and it hangs up
	in, typing, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	typing.WriteString("one\ntwo\n")
	typing.Close()
	program, err := os.CreateTemp(t.TempDir(), "err")
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	err = Run(t.Context(), Options{
		Client: client.Config{Server: l.Addr().String(), User: "alice"},
		In:     in, Out: program, Err: program,
	})
	if err == nil {
		t.Error("no error though lines were not echoed")
	}
	told, err := os.ReadFile(program.Name())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(told), "chat: perhaps not delivered: one\nchat: perhaps not delivered: two\n"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
}
