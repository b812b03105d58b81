package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"chatbench/cmd/internal/ptytest"
)

// piped is a chat whose input and output are pipes.
type piped struct {
	t    *testing.T
	cmd  *exec.Cmd
	in   io.WriteCloser
	errs *bufio.Scanner
}

func pipe(t *testing.T, args ...string) *piped {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &piped{t: t, cmd: exec.Command(self, args...)}
	p.cmd.Args[0] = "chat"
	p.cmd.Env = environment(ptytest.NoWait)
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	errs, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.errs = bufio.NewScanner(errs)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(2*time.Minute, func() { p.cmd.Process.Kill() })
	t.Cleanup(func() { late.Stop(); p.cmd.Process.Kill(); p.cmd.Wait() })
	return p
}

func (p *piped) say(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.in, text); err != nil {
		p.t.Fatal(err)
	}
}

// wantErr checks that the next line on standard error contains text.
func (p *piped) wantErr(text string) {
	p.t.Helper()
	if !p.errs.Scan() || !strings.Contains(p.errs.Text(), text) {
		p.t.Fatalf("standard error says %q, want %q", p.errs.Text(), text)
	}
}

func (p *piped) exit() int {
	p.in.Close()
	p.cmd.Wait()
	return p.cmd.ProcessState.ExitCode()
}

// chat reconnects with pipes too; what is piped in meanwhile waits.
func TestPipeReconnects(t *testing.T) {
	s, stop := serve(t, again(t))
	addr := s.Addr().String()
	bob := join(t, s, "bob")
	p := pipe(t, "-server", addr, "-user", "alice")
	p.say("first\n")
	if got := heard(t, bob, "alice"); got != "first" {
		t.Errorf("arrived %q", got)
	}
	stop()
	p.wantErr("chat: the server has closed the conversation; trying to reconnect")
	p.say("second\n")
	s, _ = serve(t, addr)
	p.wantErr("chat: reconnected to " + addr)
	bob = join(t, s, "bob")
	p.say("third\n")
	for got := ""; got != "third"; { // second may have been before bob
		got = heard(t, bob, "alice")
	}
	if n := s.Snapshot().Messages; n != 2 {
		t.Errorf("%d messages after the server was back, want 2", n)
	}
	if code := p.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestPipeNoReconnect(t *testing.T) {
	s, stop := serve(t, "127.0.0.1:0")
	bob := join(t, s, "bob")
	p := pipe(t, "-server", s.Addr().String(), "-user", "alice", "-reconnect=false")
	p.say("first\n")
	heard(t, bob, "alice")
	stop()
	p.wantErr("chat: the server has closed the conversation")
	if code := p.exit(); code != 1 {
		t.Errorf("exit code %d", code)
	}
}

// After a signal chat leaves, with exit code 0.
func TestPipeInterrupted(t *testing.T) {
	s, _ := serve(t, "127.0.0.1:0")
	bob := join(t, s, "bob")
	p := pipe(t, "-server", s.Addr().String(), "-user", "alice")
	p.say("first\n")
	heard(t, bob, "alice")
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	p.cmd.Wait()
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d after SIGINT", code)
	}
}
