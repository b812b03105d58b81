// Package ptytest runs a command of the test's own binary on a pseudo-terminal. The test
// types, and sees what the command writes.
//
// The output can be read as octets, with its escape sequences, and as the rows that a
// person would see. It is not a complete terminal: it knows only what line editors use. A
// Terminal belongs to one goroutine.
package ptytest

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// timeout is how long a test waits for anything.
const timeout = 30 * time.Second

// NoWait keeps a command that is built with the race detector from sleeping for a second
// when it exits.
const NoWait = "GORACE=atexit_sleep_ms=0"

// Terminal is a pseudo-terminal with a command on it.
type Terminal struct {
	t      *testing.T
	cmd    *exec.Cmd
	master *os.File
	slave  *os.File // kept open, to look at its modes after the end
	read   sync.WaitGroup

	mu     sync.Mutex
	seen   []byte
	from   int // where the next Await begins in seen
	screen screen
}

// Start runs the test binary as the command name, by testscript.Main, on a terminal of 80
// columns. Its environment is env, PATH and TERM.
func Start(t *testing.T, env []string, name string, args ...string) *Terminal {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := pty.Setsize(master, &pty.Winsize{Rows: visible, Cols: columns}); err != nil {
		t.Fatal(err)
	}
	p := &Terminal{t: t, master: master, slave: slave}
	p.cmd = &exec.Cmd{
		Path: self, Args: append([]string{name}, args...),
		Env:   append([]string{"PATH=" + os.Getenv("PATH"), "TERM=xterm", NoWait}, env...),
		Stdin: slave, Stdout: slave, Stderr: slave,
		SysProcAttr: &unix.SysProcAttr{Setsid: true, Setctty: true},
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.read.Go(p.collect)
	t.Cleanup(p.clean)
	return p
}

func (p *Terminal) collect() {
	buf := make([]byte, 4096)
	for {
		n, err := p.master.Read(buf)
		p.mu.Lock()
		p.seen = append(p.seen, buf[:n]...)
		p.screen.write(buf[:n])
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (p *Terminal) clean() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
	p.slave.Close()
	p.master.Close()
	p.read.Wait()
	if p.t.Failed() {
		p.t.Logf("the command wrote:\n%q", p.seen)
	}
}

// Resize changes the number of columns to a smaller one.
func (p *Terminal) Resize(columns int) {
	p.t.Helper()
	p.mu.Lock()
	p.screen.resize(columns)
	p.mu.Unlock()
	if err := pty.Setsize(p.master, &pty.Winsize{Rows: visible, Cols: uint16(columns)}); err != nil {
		p.t.Fatal(err)
	}
}

// Type sends keys, all at once.
func (p *Terminal) Type(keys string) {
	p.t.Helper()
	if _, err := p.master.WriteString(keys); err != nil {
		p.t.Fatal(err)
	}
}

// TypeSlowly sends keys octet by octet, with a pause of each after every octet.
func (p *Terminal) TypeSlowly(keys string, each time.Duration) {
	p.t.Helper()
	for i := range len(keys) {
		p.Type(keys[i : i+1])
		time.Sleep(each)
	}
}

// Await waits until the command has written text, after what the last Await found.
func (p *Terminal) Await(text string) {
	p.t.Helper()
	for deadline := time.Now().Add(timeout); ; time.Sleep(time.Millisecond) {
		p.mu.Lock()
		i := bytes.Index(p.seen[p.from:], []byte(text))
		if i >= 0 {
			p.from += i + len(text)
		}
		p.mu.Unlock()
		if i >= 0 {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("the command did not write %q", text)
		}
	}
}

// Rows gives the rows on the screen, preceded by those that have scrolled away.
func (p *Terminal) Rows() []string {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.screen.unknown != "" {
		p.t.Fatalf("the command wrote %s, which the test's screen does not know", p.screen.unknown)
	}
	return p.screen.text()
}

// AwaitLast waits until the last row of the screen is text, apart from blanks at its end.
func (p *Terminal) AwaitLast(text string) {
	p.t.Helper()
	text = strings.TrimRight(text, " ")
	for deadline := time.Now().Add(timeout); ; time.Sleep(time.Millisecond) {
		rows := p.Rows()
		if len(rows) > 0 && rows[len(rows)-1] == text {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("the last row of\n%s\nis not %q", strings.Join(rows, "\n"), text)
		}
	}
}

// Kill kills the command.
func (p *Terminal) Kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// Signal sends the command a signal.
func (p *Terminal) Signal(signal os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		p.t.Fatal(err)
	}
}

// Seen is everything that the command has written.
func (p *Terminal) Seen() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return string(p.seen)
}

// Exit waits for the command's end and returns its exit code.
func (p *Terminal) Exit() int {
	p.t.Helper()
	late := time.AfterFunc(timeout, func() { p.cmd.Process.Kill() })
	defer late.Stop()
	err := p.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return p.cmd.ProcessState.ExitCode()
}

// AwaitHidden waits until what is typed is no longer shown.
func (p *Terminal) AwaitHidden() {
	p.t.Helper()
	for deadline := time.Now().Add(timeout); p.Echoes(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatal("the terminal still shows what is typed")
		}
	}
}

// Echoes says whether the terminal echoes what is typed and passes it on by lines, as it
// does unless a command has changed its modes.
func (p *Terminal) Echoes() bool {
	p.t.Helper()
	modes, err := unix.IoctlGetTermios(int(p.slave.Fd()), unix.TCGETS)
	if err != nil {
		p.t.Fatal(err)
	}
	return modes.Lflag&unix.ECHO != 0 && modes.Lflag&unix.ICANON != 0
}
