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
	"chatbench/backends/server"
	"chatbench/client"
	"chatbench/cmd/internal/ptytest"
)

func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){"chat": main}) }

// TestScripts runs chat as a user does, with a server at $ADDR.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:  filepath.Join("testdata", "script"),
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"code": code},
		Setup: func(env *testscript.Env) error {
			s, err := startServer("127.0.0.1:0")
			if err != nil {
				return err
			}
			env.Defer(func() { s.Stop(context.Background()) })
			env.Setenv("ADDR", s.Addr().String())
			env.Vars = append(env.Vars, "CHAT_PASSWORD=x", ptytest.NoWait)
			return writeFiles(env.WorkDir)
		},
	})
}

// writeFiles writes what does not stand well in a script: many, with more lines
// than wait to be heard; many.said, what is to come of it; and unended, a line
// without its end.
func writeFiles(dir string) error {
	var lines, said strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&lines, "line %d\n", i)
		fmt.Fprintf(&said, "alice: line %d\n", i)
	}
	for name, text := range map[string]string{"many": lines.String(), "many.said": said.String(), "unended": "unended"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// code is a script's command: "code N command ..." runs it and wants exit code N.
func code(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || fmt.Sprint(exit.ExitCode()) != args[0] {
		ts.Fatalf("%q: %v, want exit code %s", args[1:], err, args[0])
	}
}

// startServer starts a server that lets everybody in and keeps joins and
// leaves to itself.
func startServer(addr string) (*server.Server, error) {
	o := server.Defaults()
	o.Backend, o.Listen, o.Open, o.Announce, o.MaxClients = epoll.Backend, addr, true, false, 100
	o.Out, o.Log = io.Discard, slog.New(slog.NewTextHandler(io.Discard, nil))
	return server.Start(context.Background(), o)
}

func serve(t *testing.T, addr string) (s *server.Server, stop func()) {
	t.Helper()
	s, err := startServer(addr)
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

// join is somebody else in the room.
func join(t *testing.T, s *server.Server, name string) *client.Client {
	t.Helper()
	c, err := client.Dial(t.Context(), client.Config{Server: s.Addr().String(), User: name, Password: "x"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// heard is the next text that c hears from somebody.
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
