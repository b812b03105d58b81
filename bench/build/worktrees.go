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
// are built. The repository's own files do not change.
type Worktrees struct {
	repository string // any directory in it
	dir        string
	trees      []string
}

// NewWorktrees makes the temporary directory. The caller must call Close in every case.
func NewWorktrees(repository string) (*Worktrees, error) {
	dir, err := os.MkdirTemp("", "bench-gate-")
	if err != nil {
		return nil, fmt.Errorf("build: %w", err)
	}
	return &Worktrees{repository: repository, dir: dir}, nil
}

// Commit returns the full hash of a revision.
func (w *Worktrees) Commit(ctx context.Context, rev string) (string, error) {
	if strings.HasPrefix(rev, "-") || rev == "" {
		return "", fmt.Errorf("%w: %q is not a revision; give a commit, tag or branch, like main or HEAD~1", ErrRequest, rev)
	}
	if _, err := run(ctx, w.repository, "git", "rev-parse", "--git-dir"); err != nil {
		return "", fmt.Errorf("%w: there is no git repository here (%w); run bench in one", ErrRequest, err)
	}
	out, err := run(ctx, w.repository, "git", "rev-parse", "--verify", "--quiet", rev+"^{commit}")
	if err != nil {
		return "", fmt.Errorf("%w: there is no commit %q here; give a commit, tag or branch, like main or HEAD~1", ErrRequest, rev)
	}
	return out, nil
}

// Build checks a commit out and builds its chatd, as make does; it returns the path.
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

// Close removes the worktrees, and git's records of them.
func (w *Worktrees) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second) // the run's context may have ended
	defer cancel()
	for _, tree := range w.trees {
		run(ctx, w.repository, "git", "worktree", "remove", "--force", tree)
	}
	os.RemoveAll(w.dir)
	if len(w.trees) > 0 { // worktrees that were not completed
		run(ctx, w.repository, "git", "worktree", "prune")
	}
}
