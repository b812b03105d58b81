package main

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"chatbench/cmd/internal/ptytest"
	"chatbench/core"
)

// Hangul that is typed octet by octet, and edited, while another client talks, arrives
// as it was typed, and is shown once.
func TestTypingWhileLinesArrive(t *testing.T) {
	s, _ := serve(t, "127.0.0.1:0")
	bob, carol := join(t, s, "bob"), join(t, s, "carol")
	p := ptytest.Start(t, environment(), "chat", "-server", s.Addr().String(), "-user", "alice")
	p.Await("connected to")
	p.Await("alice> ")

	const left, home, end, backspace = "\x1b[D", "\x1b[H", "\x1b[F", "\x7f"
	lines := []struct{ keys, text string }{
		{"안녕하세요 여러분", "안녕하세요 여러분"},
		{"가나" + backspace + "다", "가다"},
		{"아라" + left + "나", "아나라"},
		{"세계" + home + "안녕 " + end + "!", "안녕 세계!"},
		{strings.Repeat("길고긴줄", 25), strings.Repeat("길고긴줄", 25)}, // over three rows
		{"e\u0301 👋🏽 a b", "e\u0301 👋🏽 a b"},
	}
	stop, group := make(chan struct{}), sync.WaitGroup{}
	defer group.Wait()
	defer close(stop)
	group.Go(func() {
		for i := 0; ; i++ {
			if err := bob.Say(fmt.Sprintf("줄 %d 사이에", i)); err != nil {
				t.Error(err)
			}
			select {
			case <-stop:
				return
			case <-bob.Events():
			}
			time.Sleep(3 * time.Millisecond)
		}
	})
	for _, line := range lines {
		p.TypeSlowly(line.keys+"\r", 500*time.Microsecond)
		if got := heard(t, carol, "alice"); got != line.text {
			t.Errorf("typed %q, arrived %q", line.keys, got)
		}
		p.Await("alice" + paintEnd + ": " + line.text + "\r\n")
	}
	if n := strings.Count(p.Seen(), paintEnd+": "+lines[0].text+"\r\n"); n != 1 {
		t.Errorf("our own line is shown %d times", n)
	}
	if clock := regexp.MustCompile(`[0-2][0-9]:[0-5][0-9]\x1b\[0m \x1b\[1malice`); !clock.MatchString(p.Seen()) {
		t.Error("no time of arrival")
	}
	p.Type("\x03")
	if code := p.Exit(); code != 0 {
		t.Errorf("exit code %d after Ctrl-C", code)
	}
}

// paintEnd is what ends a colour.
const paintEnd = "\x1b[0m"

var colour = regexp.MustCompile(`\x1b\[[0-9;]*m`)

// Every way to leave restores the terminal and sends Close.
func TestLeaving(t *testing.T) {
	s, _ := serve(t, "127.0.0.1:0")
	for name, keys := range map[string]string{
		"Ctrl-C": "\x03", "Ctrl-C with a draft": "draft\x03", "Ctrl-D": "\x04", "bye": "/bye\r",
		"Ctrl-D after deleting": "ab\x7f\x7f\x04",
	} {
		t.Run(name, func(t *testing.T) {
			before := s.Snapshot().Ends[core.ReasonBye]
			p := ptytest.Start(t, environment("NO_COLOR=1"), "chat", "-server", s.Addr().String(), "-user", "alice")
			p.Await("alice> ")
			if p.Echoes() {
				t.Error("the line editor is not running")
			}
			p.Type(keys)
			if code := p.Exit(); code != 0 || !p.Echoes() {
				t.Errorf("exit code %d, terminal as before: %v", code, p.Echoes())
			}
			goodbyes := func() uint64 { return s.Snapshot().Ends[core.ReasonBye] - before }
			for end := time.Now().Add(time.Minute); goodbyes() < 1 && time.Now().Before(end); { // the server counts when it has closed
				time.Sleep(time.Millisecond)
			}
			if goodbyes() != 1 {
				t.Errorf("%d goodbyes, want 1", goodbyes())
			}
			if colour.MatchString(p.Seen()) {
				t.Error("colours in spite of NO_COLOR")
			}
		})
	}
}

// A message that arrives is shown above the line being typed: that line's row is
// cleared, the message is written, and prompt and line are written again.
func TestDraftIsRedrawn(t *testing.T) {
	s, _ := serve(t, "127.0.0.1:0")
	bob := join(t, s, "bob")
	p := ptytest.Start(t, environment("NO_COLOR=1"), "chat", "-server", s.Addr().String(), "-user", "alice")
	p.Await("alice> ")
	p.Type("초안")
	p.Await("초안")
	if err := bob.Say("사이에"); err != nil {
		t.Fatal(err)
	}
	const clear = "\x1b[1G\x1b[J"
	p.Await(clear)
	p.Await(" bob: 사이에\r\n" + "alice> \x1b[0K초안")
}

// Ctrl-D in a line deletes the letter under the cursor and does not leave.
func TestCtrlDOnALine(t *testing.T) {
	s, _ := serve(t, "127.0.0.1:0")
	bob := join(t, s, "bob")
	p := ptytest.Start(t, environment(), "chat", "-server", s.Addr().String(), "-user", "alice")
	p.Await("alice> ")
	p.Type("한글x\x1b[D\x1b[D\x04\r")
	if got := heard(t, bob, "alice"); got != "한x" {
		t.Errorf("arrived %q, want 한x", got)
	}
}

// A lost connection is reported at once. The line being typed stays, even if Enter is
// pressed meanwhile, and can be sent when the server is back.
func TestReconnect(t *testing.T) {
	s, stop := serve(t, again(t))
	addr := s.Addr().String()
	p := ptytest.Start(t, environment(), "chat", "-server", addr, "-user", "alice")
	p.Await("alice> ")
	p.Type("초안 dra")
	stop()
	p.Await("the server has closed the conversation; trying to reconnect")
	p.Type("ft\r")
	p.Await("\a") // there is no server to send it to
	s, _ = serve(t, addr)
	p.Await("reconnected to " + addr)
	bob := join(t, s, "bob")
	p.Type("!\r")
	if got := heard(t, bob, "alice"); got != "초안 draft!" {
		t.Errorf("arrived %q, want the draft", got)
	}
}

// The user may leave while the server is gone.
func TestLeavingOffline(t *testing.T) {
	s, stop := serve(t, "127.0.0.1:0")
	p := ptytest.Start(t, environment(), "chat", "-server", s.Addr().String(), "-user", "alice")
	p.Await("alice> ")
	stop()
	p.Await("trying to reconnect")
	p.Type("/help\r")
	p.Await("/bye")
	p.Type("\x04")
	if code := p.Exit(); code != 0 || !p.Echoes() {
		t.Errorf("exit code %d, terminal as before: %v", code, p.Echoes())
	}
}

func TestNoReconnect(t *testing.T) {
	s, stop := serve(t, "127.0.0.1:0")
	p := ptytest.Start(t, environment(), "chat", "-server", s.Addr().String(), "-user", "alice", "-reconnect=false")
	p.Await("alice> ")
	stop()
	if code := p.Exit(); code != 1 || !p.Echoes() {
		t.Errorf("exit code %d, terminal as before: %v", code, p.Echoes())
	}
	p.Await("chat: the server has closed the conversation\r\n")
}

// The password is asked for and not shown. Ctrl-C meanwhile restores the terminal.
func TestPassword(t *testing.T) {
	s, _ := serve(t, "127.0.0.1:0")
	bob := join(t, s, "bob")
	p := ptytest.Start(t, nil, "chat", "-server", s.Addr().String(), "-user", "alice")
	p.Await("Password of alice: ")
	p.AwaitHidden()
	p.Type("geheim\r")
	p.Await("alice> ")
	p.Type("hi\r")
	if got := heard(t, bob, "alice"); got != "hi" {
		t.Errorf("arrived %q", got)
	}
	if strings.Contains(p.Seen(), "geheim") {
		t.Error("the password was shown")
	}
	q := ptytest.Start(t, nil, "chat", "-server", s.Addr().String(), "-user", "carol")
	q.Await("Password of carol: ")
	q.AwaitHidden()
	q.Type("\x03")
	if code := q.Exit(); code != 0 || !q.Echoes() {
		t.Errorf("exit code %d, terminal as before: %v", code, q.Echoes())
	}
}
