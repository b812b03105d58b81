package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"chatbench/backends/epoll"
	"chatbench/client"
	"chatbench/cmd/internal/ptytest"
	"chatbench/core"
	"chatbench/internal/certtest"
	"chatbench/internal/tcptest"
	"chatbench/server"
	"chatbench/server/command"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"chat": main, "chatd": func() { command.Main(epoll.Backend) }})
}

// TestScripts runs chat as a user does, with a server at $ADDR, and one with TLS and the
// certificate $CERT at $SECURE.
func TestScripts(t *testing.T) {
	certFile, keyFile := certtest.Write(t, t.TempDir(), time.Hour, "127.0.0.1")
	testscript.Run(t, testscript.Params{
		Dir:  filepath.Join("testdata", "script"),
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"code": code, "user": user, "leave": leave},
		Setup: func(env *testscript.Env) error {
			s, err := startServer("127.0.0.1:0")
			if err != nil {
				return err
			}
			env.Defer(func() { s.Stop(context.Background()) })
			secure, err := startServer("127.0.0.1:0", func(o *server.Options) { o.TLSCert, o.TLSKey = certFile, keyFile })
			if err != nil {
				return err
			}
			env.Defer(func() { secure.Stop(context.Background()) })
			env.Setenv("ADDR", s.Addr().String())
			env.Setenv("SECURE", secure.Addr().String())
			env.Setenv("CERT", certFile)
			env.Values[room] = &present{server: s, users: make(map[string]*exec.Cmd)}
			env.Vars = append(env.Vars, "CHAT_PASSWORD=x", ptytest.NoWait)
			return writeFiles(env.WorkDir)
		},
	})
}

// writeFiles writes what does not stand well in a script: many, with more lines
// than wait to be heard; many.said, what is to come of it; and unended, a line
// without its end.
func writeFiles(work string) error {
	var lines, said strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&lines, "line %d\n", i)
		fmt.Fprintf(&said, "alice: line %d\n", i)
	}
	for name, text := range map[string]string{"many": lines.String(), "many.said": said.String(), "unended": "unended"} {
		if err := os.WriteFile(filepath.Join(work, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	for _, dir := range []string{"small", "one"} {
		if err := os.Mkdir(filepath.Join(work, dir), 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return os.WriteFile(filepath.Join(work, "one", "big"), make([]byte, 100_000), 0o600)
}

// code is a script's command: "code N command ..." runs a command, which has to exit
// with code N.
func code(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || fmt.Sprint(exit.ExitCode()) != args[0] {
		ts.Fatalf("%q: %v, want exit code %s", args[1:], err, args[0])
	}
}

// room is the key under which a script's environment keeps who is present.
type roomKey struct{}

var room roomKey

type present struct {
	server *server.Server
	users  map[string]*exec.Cmd
}

// user is a script's command: "user NAME FLAG ..." starts a client that stays in the
// room until "leave NAME" or the script's end.
func user(ts *testscript.TestScript, _ bool, args []string) {
	self, err := os.Executable()
	ts.Check(err)
	cmd := exec.Command(self, append([]string{"-server", ts.Getenv("ADDR"), "-user"}, args...)...)
	cmd.Args[0], cmd.Dir, cmd.Env = "chat", ts.Getenv("WORK"), environment(ptytest.NoWait)
	_, err = cmd.StdinPipe() // left open
	ts.Check(err)
	in := ts.Value(room).(*present)
	before := in.server.Snapshot().Granted
	ts.Check(cmd.Start())
	in.users[args[0]] = cmd
	ts.Defer(func() { cmd.Process.Kill(); cmd.Wait() })
	for i := 0; ; i++ {
		if in.server.Snapshot().Granted > before {
			return
		} else if i == 10_000 {
			ts.Fatalf("%s does not join", args[0])
		}
		time.Sleep(time.Millisecond)
	}
}

func leave(ts *testscript.TestScript, _ bool, args []string) {
	in := ts.Value(room).(*present)
	before := in.server.Snapshot().Granted
	cmd := in.users[args[0]]
	ts.Check(cmd.Process.Signal(os.Interrupt))
	ts.Check(cmd.Wait())
	for i := 0; in.server.Snapshot().Granted == before && i < 10_000; i++ {
		time.Sleep(time.Millisecond)
	}
}

// startServer starts a server that lets everybody in, takes as much as they say, and does not
// announce who joins and leaves.
func startServer(addr string, change ...func(*server.Options)) (*server.Server, error) {
	o := server.Defaults()
	o.Backend, o.Listen, o.Open, o.Announce, o.MaxClients = epoll.Backend, addr, true, false, 100
	o.Flood = core.Flood{}
	o.Out, o.Log = io.Discard, slog.New(slog.NewTextHandler(io.Discard, nil))
	for _, f := range change {
		f(&o)
	}
	return server.Start(context.Background(), o)
}

func serve(t *testing.T, addr string, change ...func(*server.Options)) (s *server.Server, stop func()) {
	t.Helper()
	s, err := startServer(addr, change...)
	if err != nil {
		t.Fatal(err)
	}
	stop = func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return s, stop
}

// again is where a server can be started that is to be started again there after it was stopped.
func again(t *testing.T) string { return tcptest.Free(t).String() }

// join logs another client in.
func join(t *testing.T, s *server.Server, name string) *client.Client {
	t.Helper()
	c, err := client.Dial(t.Context(), client.Config{Server: s.Addr().String(), User: name, Password: "x"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// heard waits for the next message that c receives from somebody.
func heard(t *testing.T, c *client.Client, from string) string {
	t.Helper()
	late := time.After(30 * time.Second)
	for {
		select {
		case e, ok := <-c.Events():
			if !ok {
				t.Fatalf("the conversation has ended: %v", c.Err())
			}
			if said, is := e.(client.Said); is && said.From == from {
				return said.Text
			}
		case <-late:
			t.Fatalf("nothing heard from %s", from)
		}
	}
}

func environment(more ...string) []string {
	return append([]string{"CHAT_PASSWORD=x", "HOME=" + os.TempDir()}, more...)
}
