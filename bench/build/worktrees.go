package build

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Worktrees are checkouts of commits in a temporary directory, in which servers
// are built. The repository's own files stay as they are.
type Worktrees struct {
	repository string // any directory in it
	dir        string
	trees      []string
}

// NewWorktrees makes the temporary directory. Close it, whatever happens.
func NewWorktrees(repository string) (*Worktrees, error) {
	dir, err := os.MkdirTemp("", "bench-gate-")
	if err != nil {
		return nil, fmt.Errorf("build: %w", err)
	}
	return &Worktrees{repository: repository, dir: dir}, nil
}

// Commit is the full hash of a revision.
func (w *Worktrees) Commit(ctx context.Context, rev string) (string, error) {
	if strings.HasPrefix(rev, "-") || rev == "" {
		return "", fmt.Errorf("%w: %q is no revision; give a commit, tag or branch, like main or HEAD~1", ErrRequest, rev)
	}
	if _, err := run(ctx, w.repository, "git", "rev-parse", "--git-dir"); err != nil {
		return "", fmt.Errorf("%w: no git repository here (%w)", ErrRequest, err)
	}
	out, err := run(ctx, w.repository, "git", "rev-parse", "--verify", "--quiet", rev+"^{commit}")
	if err != nil {
		return "", fmt.Errorf("%w: there is no commit %q here", ErrRequest, rev)
	}
	return out, nil
}

// Build checks a commit out and builds its chatd, as make does; it gives the path.
func (w *Worktrees) Build(ctx context.Context, name, commit string) (path string, err error) {
	tree := filepath.Join(w.dir, name)
	w.trees = append(w.trees, tree)
	path = filepath.Join(tree, "bin", "chatd")
	_, err = run(ctx, w.repository, "git", "worktree", "add", "--quiet", "--detach", tree, commit)
	if err == nil {
		_, err = run(ctx, tree, "go", "build", "-o", path, chatd)
	}
	if err != nil {
		return "", fmt.Errorf("build: cannot build commit %.12s: %w", commit, err)
	}
	return path, nil
}

// Close removes everything, and what git remembers of it.
func (w *Worktrees) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second) // that of the run may be over
	defer cancel()
	for _, tree := range w.trees {
		run(ctx, w.repository, "git", "worktree", "remove", "--force", tree)
	}
	os.RemoveAll(w.dir)
	if len(w.trees) > 0 { // what was broken off
		run(ctx, w.repository, "git", "worktree", "prune")
	}
}
