// Package build builds the servers that are to be measured: that of a commit, or
// that of the sources here with some modules replaced by others.
//
// It never changes the sources, their go.mod and go.sum included: everything
// is built in temporary directories, which Close removes. Worktrees and Modules
// belong to one goroutine each.
package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// ErrRequest is wrapped by errors that only another request can avoid: a
// revision, module, version or directory that does not exist.
var ErrRequest = errors.New("build: impossible request")

// chatd is the package of the server in the source tree.
const chatd = "./cmd/chatd"

// The bounds of what an error quotes from a program's stderr.
const (
	complaintLines  = 3
	complaintOctets = 400
)

// run runs a program and returns its stdout; the first errors on its stderr are in
// the error. The program is in a process group of its own: bench handles
// Ctrl-C, even while it cleans up.
func run(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		if first := errorLines(complaints.String()); first != "" {
			err = errors.New(first)
		}
		return "", fmt.Errorf("%s %s: %w", name, args[0], err)
	}
	return strings.TrimSpace(string(out)), nil
}

// errorLines returns the first lines that say what is wrong, as one line.
func errorLines(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "# ") || strings.HasPrefix(line, "go: downloading ") || strings.HasPrefix(line, "go: finding ") {
			continue
		}
		if lines = append(lines, line); len(lines) == complaintLines {
			break
		}
	}
	all := strings.Join(lines, "; ")
	if len(all) > complaintOctets {
		all = strings.ToValidUTF8(all[:complaintOctets], "") + "…"
	}
	return all
}
