package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Worktrees are checkouts of commits in a temporary directory, in which servers
// are built. The repository's own files stay as they are.
type Worktrees struct {
	repository string // any directory in it
	dir        string
	trees      []string
}

// Build is a server that was built from a commit.
type Build struct {
	Chatd  string // path
	Commit string
}

// NewWorktrees makes the temporary directory. Close it, whatever happens.
func NewWorktrees(repository string) (*Worktrees, error) {
	dir, err := os.MkdirTemp("", "bench-gate-")
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	return &Worktrees{repository: repository, dir: dir}, nil
}

// Commit is the full hash of a revision.
func (w *Worktrees) Commit(ctx context.Context, rev string) (string, error) {
	if strings.HasPrefix(rev, "-") || rev == "" {
		return "", fmt.Errorf("%w: %q is no revision; give a commit, tag or branch, like main or HEAD~1", ErrPlan, rev)
	}
	if _, err := w.run(ctx, w.repository, "git", "rev-parse", "--git-dir"); err != nil {
		return "", fmt.Errorf("%w: no git repository here (%w)", ErrPlan, err)
	}
	out, err := w.run(ctx, w.repository, "git", "rev-parse", "--verify", "--quiet", rev+"^{commit}")
	if err != nil {
		if ctx.Err() != nil {
			return "", ErrInterrupted
		}
		return "", fmt.Errorf("%w: there is no commit %q here", ErrPlan, rev)
	}
	return out, nil
}

// Build checks a commit out and builds its chatd, as make does.
func (w *Worktrees) Build(ctx context.Context, name, commit string) (Build, error) {
	tree := filepath.Join(w.dir, name)
	w.trees = append(w.trees, tree)
	b := Build{Chatd: filepath.Join(tree, "bin", "chatd"), Commit: commit}
	_, err := w.run(ctx, w.repository, "git", "worktree", "add", "--quiet", "--detach", tree, commit)
	if err == nil {
		_, err = w.run(ctx, tree, "go", "build", "-o", b.Chatd, "./cmd/chatd")
	}
	if ctx.Err() != nil {
		return b, ErrInterrupted
	}
	if err != nil {
		return b, fmt.Errorf("bench: cannot build commit %.12s: %w", commit, err)
	}
	return b, nil
}

// Close removes everything, and what git remembers of it.
func (w *Worktrees) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second) // that of the run may be over
	defer cancel()
	for _, tree := range w.trees {
		w.run(ctx, w.repository, "git", "worktree", "remove", "--force", tree)
	}
	os.RemoveAll(w.dir)
	if len(w.trees) > 0 { // what was broken off
		w.run(ctx, w.repository, "git", "worktree", "prune")
	}
}

// run runs a program and gives what it prints; of its complaints the last line
// is in the error. It is in a process group of its own: Ctrl-C is the bench's
// to handle, even while it cleans up.
func (w *Worktrees) run(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(complaints.String()), "\n")
		if last := lines[len(lines)-1]; last != "" {
			err = errors.New(last)
		}
		return "", fmt.Errorf("%s %s: %w", name, args[0], err)
	}
	return strings.TrimSpace(string(out)), nil
}
