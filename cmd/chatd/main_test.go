package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"chatbench/client"
	"chatbench/cmd/internal/ptytest"
)

func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){"chatd": main}) }

// TestScripts runs chatd as a user does. Beside the usual commands scripts have
//
//	code N COMMAND ...    runs a command that is to exit with code N
//	server human|json ... starts chatd with flags, sets $ADDR when it listens
//	end SIGNAL            ends it, and wants exit code 0
//	reload PATTERN        sends it SIGHUP, and waits for the log to say so
//	talk ADDR NAME TEXT   logs in with the password secret, says a text, hears it
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			env.Vars = append(env.Vars, ptytest.NoWait)
			s := new(chatd)
			env.Values["chatd"] = s
			env.Defer(s.kill)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code": code, "server": serverCmd, "end": endCmd, "reload": reloadCmd, "talk": talkCmd,
		},
	})
}

func code(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || fmt.Sprint(exit.ExitCode()) != args[0] {
		ts.Fatalf("%q: %v, want exit code %s", args[1:], err, args[0])
	}
}

// chatd is the server of a script.
type chatd struct {
	cmd    *exec.Cmd
	reader *bufio.Scanner
	errors output
	said   []string
}

// output is standard error, to be read while it is written.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func (s *chatd) kill() {
	if s.cmd != nil {
		s.cmd.Process.Kill()
		s.cmd.Wait()
	}
}

func serverCmd(ts *testscript.TestScript, _ bool, args []string) {
	s := ts.Value("chatd").(*chatd)
	self, err := os.Executable()
	ts.Check(err)
	*s = chatd{cmd: exec.Command(self, append([]string{"-listen", "127.0.0.1:0"}, args[1:]...)...)}
	s.cmd.Args[0] = "chatd"
	s.cmd.Dir = ts.Getenv("WORK")
	s.cmd.Env = append(os.Environ(), ptytest.NoWait)
	s.cmd.Stderr = &s.errors
	out, err := s.cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(s.cmd.Start())
	s.reader = bufio.NewScanner(out)
	if !s.reader.Scan() {
		ts.Fatalf("chatd said nothing: %s", s.errors.String())
	}
	s.said = []string{s.reader.Text()}
	addr := s.said[0][strings.LastIndex(s.said[0], " ")+1:]
	if args[0] == "json" {
		var line struct{ Addr string }
		ts.Check(json.Unmarshal([]byte(s.said[0]), &line))
		addr = line.Addr
	}
	ts.Setenv("ADDR", addr)
	s.show(ts)
}

// show makes what chatd has said standard output and error for the script.
func (s *chatd) show(ts *testscript.TestScript) {
	fmt.Fprintln(ts.Stdout(), strings.Join(s.said, "\n"))
	fmt.Fprint(ts.Stderr(), s.errors.String())
}

func endCmd(ts *testscript.TestScript, _ bool, args []string) {
	s := ts.Value("chatd").(*chatd)
	ts.Check(s.cmd.Process.Signal(unix.SignalNum(args[0])))
	for s.reader.Scan() {
		s.said = append(s.said, s.reader.Text())
	}
	ts.Check(s.cmd.Wait())
	s.cmd = nil
	var events strings.Builder
	for _, line := range s.said {
		var e struct{ Event string }
		if json.Unmarshal([]byte(line), &e) == nil {
			fmt.Fprintln(&events, e.Event)
		}
	}
	ts.Check(os.WriteFile(ts.MkAbs("lines"), []byte(events.String()), 0o600))
	s.show(ts)
}

func reloadCmd(ts *testscript.TestScript, _ bool, args []string) {
	s := ts.Value("chatd").(*chatd)
	ts.Check(s.cmd.Process.Signal(unix.SIGHUP))
	logged := regexp.MustCompile(args[0])
	for deadline := time.Now().Add(20 * time.Second); !logged.MatchString(s.errors.String()); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			ts.Fatalf("the log does not say %q: %s", args[0], s.errors.String())
		}
	}
}

func talkCmd(ts *testscript.TestScript, neg bool, args []string) {
	err := talk(args[0], args[1], args[2])
	if (err != nil) != neg {
		ts.Fatalf("talk: %v", err)
	}
}

func talk(addr, name, text string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	c, err := client.Dial(ctx, client.Config{Server: addr, User: name, Password: "secret"})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Say(text); err != nil {
		return err
	}
	for e := range c.Events() {
		if e == (client.Said{From: name, Text: text}) {
			return nil
		}
	}
	return c.Err()
}
