package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"chatbench/bench/machine"
	"chatbench/bench/record"
	"chatbench/bench/server"
	"chatbench/client"
)

var chatdPath = flag.String("chatd", "", "the `PATH` of a chatd that TestInterface looks at, in place of this module's")

// TestInterface checks a chatd against docs/chatd-interface.md, whose tables it reads.
func TestInterface(t *testing.T) {
	path := *chatdPath
	if path == "" {
		path = buildChatd(t)
	}
	doc, err := os.ReadFile("../docs/chatd-interface.md")
	if err != nil {
		t.Fatal(err)
	}
	parts := sections(string(doc))
	known := checkList(t, path, fields(t, parts["Command line"]))
	names := regexp.MustCompile("(?m)^\\| `([^`]*)` \\| [^|]* \\|$").FindAllStringSubmatch(parts["Command line"], -1)
	var documented []string
	for _, flag := range names {
		documented = append(documented, strings.Fields(strings.ReplaceAll(flag[1], "NAME", known[0].Name))...)
	}
	if got := chatdArguments(record.Arm{Backend: known[0].Name}); strings.Join(got, " ") != strings.Join(documented, " ") {
		t.Errorf("bench gives the flags %q, the page has %q", got, documented)
	}
	checkRefusals(t, path)
	for _, b := range known {
		t.Run(b.Name, func(t *testing.T) {
			if b.Unavailable != "" {
				t.Skip(b.Unavailable)
			}
			checkLifecycle(t, path, b.Name, fields(t, parts["The line `listening`"]), fields(t, parts["The line `stopped`"]))
			checkMeasured(t, path, b.Name)
		})
	}
}

// buildChatd builds this module's chatd.
func buildChatd(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "chatd")
	if out, err := exec.Command("go", "build", "-o", path, "../cmd/chatd").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

// sections divides the page at its headings.
func sections(doc string) map[string]string {
	parts := make(map[string]string)
	for _, part := range strings.Split(doc, "\n## ")[1:] {
		heading, text, _ := strings.Cut(part, "\n")
		parts[heading] = text
	}
	return parts
}

// field is a row of a table of the page.
type field struct {
	path     []string
	kind     string
	required bool
}

func fields(t *testing.T, section string) (all []field) {
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z._]+)` \\| (string|number|object) \\| (required)? *\\|").FindAllStringSubmatch(section, -1) {
		all = append(all, field{strings.Split(row[1], "."), row[2], row[3] != ""})
	}
	if len(all) < 3 {
		t.Fatalf("the page has %d fields in a table", len(all))
	}
	return all
}

// check looks for the fields in a JSON object.
func check(t *testing.T, what string, text []byte, all []field) (object map[string]any) {
	t.Helper()
	if err := json.Unmarshal(text, &object); err != nil {
		t.Fatalf("%s: %q is no JSON object: %v", what, text, err)
	}
	for _, f := range all {
		value := any(object)
		for _, name := range f.path {
			inside, _ := value.(map[string]any)
			value = inside[name]
		}
		kind := map[string]string{"string": "string", "float64": "number", "map[string]interface {}": "object"}[fmt.Sprintf("%T", value)]
		// This module's own chatd has all of them, otherwise the page would be wrong.
		if value == nil && (f.required || *chatdPath == "" && f.kind != "object") || value != nil && kind != f.kind {
			t.Errorf("%s: %s is %v, where a %s was due: %s", what, strings.Join(f.path, "."), value, f.kind, text)
		}
	}
	return object
}

func checkList(t *testing.T, path string, all []field) []Backend {
	out, err := exec.Command(path, "-list", "-json").Output()
	var entries []json.RawMessage
	if err == nil {
		err = json.Unmarshal(out, &entries)
	}
	if err != nil {
		t.Fatalf("-list -json: %v: %s", err, out)
	}
	for _, entry := range entries {
		check(t, "-list -json", entry, all)
	}
	known, err := Backends(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return known
}

// checkRefusals: a mistake is one line on standard error.
func checkRefusals(t *testing.T, path string) {
	for _, args := range [][]string{
		chatdArguments(record.Arm{Backend: "no-such-backend"}),
		append(chatdArguments(record.Arm{Backend: "no-such-backend"}), "-no-such-flag=1"),
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var errors strings.Builder
		cmd := exec.CommandContext(ctx, path, args...)
		cmd.Stderr = &errors
		out, err := cmd.Output()
		if err == nil || len(out) > 0 || strings.Count(errors.String(), "\n") != 1 {
			t.Errorf("%q: %v, and it says %q and the error %q", args, err, out, errors.String())
		}
	}
}

// checkLifecycle starts a server as bench does, and checks all its output.
func checkLifecycle(t *testing.T, path, backend string, listening, stopped []field) {
	cmd := exec.Command(path, chatdArguments(record.Arm{Backend: backend})...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() })
	defer stop.Stop()
	lines := bufio.NewReader(stdout)
	first, err := lines.ReadBytes('\n')
	if err != nil {
		t.Fatalf("no line %q: %v", first, err)
	}
	said := check(t, "listening", first, listening)
	if said["event"] != "listening" {
		t.Errorf("the first line is of %v", said["event"])
	}
	c := login(t, said["addr"].(string))
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for range c.Events() { // to the server's Close
	}
	c.Close()
	rest, err := io.ReadAll(lines)
	if err != nil || strings.Count(string(rest), "\n") != 1 {
		t.Fatalf("after that it says %q, %v, where one line was due", rest, err)
	}
	if last := check(t, "stopped", rest, stopped); last["event"] != "stopped" || last["error"] != nil && last["error"] != "" {
		t.Errorf("the last line is %s", rest)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

// login logs in with any password.
func login(t *testing.T, addr string) *client.Client {
	t.Helper()
	c, err := client.Dial(t.Context(), client.Config{Server: addr, User: "alice", Password: "whatever"})
	if err != nil {
		t.Fatal(err)
	}
	expectChat(t, c, "hello")
	return c
}

func expectChat(t *testing.T, c *client.Client, text string) {
	t.Helper()
	if err := c.Say(text); err != nil {
		t.Fatal(err)
	}
	if e := <-c.Events(); e != (client.Said{From: "alice", Text: text}) {
		t.Errorf("the first that is heard is %v, where %q was due", e, "alice: "+text)
	}
}

// checkMeasured starts a server with the arguments that bench uses, freezes it and ends it.
func checkMeasured(t *testing.T, path, backend string) {
	cpus, err := machine.Allowed()
	if err != nil {
		t.Fatal(err)
	}
	l, err := server.NewLauncher(cpus[:1])
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p, err := l.Start(t.Context(), false, path, chatdArguments(record.Arm{Backend: backend})...)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	c := login(t, p.Addr)
	defer c.Close()
	if err := p.Freeze(); err != nil {
		t.Fatal(err)
	}
	if err := p.Thaw(); err != nil {
		t.Fatal(err)
	}
	expectChat(t, c, "still here")
	counted, err := p.Stop()
	if err != nil {
		t.Fatal(err)
	}
	if *chatdPath == "" && (counted.BytesIn == 0 || counted.BytesOut == 0 || len(counted.Ends) == 0) {
		t.Errorf("it counted %+v", counted)
	}
}
