package bench

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// ErrBackend is returned by Run for a backend that chatd does not have.
var ErrBackend = errors.New("bench: unknown backend")

// chatdArguments start a server for load: anybody may log in, nothing is said
// but by clients, and nothing is held back.
func chatdArguments(backend string) []string {
	return []string{
		"-backend", backend, "-listen", "127.0.0.1:0", "-open", "-json",
		"-flood", "off", "-announce=false", "-login-throttle", "off", "-max-per-address", "0",
	}
}

// Backends asks chatd what backends it has, in its own order.
func Backends(ctx context.Context, chatd string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, chatd, "-list").Output()
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, exec.ErrNotFound) {
		return nil, fmt.Errorf("bench: no chatd at %s; build it with make, or say where it is with -chatd", chatd)
	}
	if err != nil {
		return nil, fmt.Errorf("bench: %s -list: %w", chatd, err)
	}
	var names []string
	for line := range strings.Lines(string(out)) {
		if fields := strings.Fields(line); len(fields) > 0 && fields[0] != "NAME" {
			names = append(names, fields[0])
		}
	}
	if names == nil {
		return nil, fmt.Errorf("bench: %s -list names no backend", chatd)
	}
	return names, nil
}

// All, alone, stands for every backend that chatd has.
const All = "all"

// known refuses backends that chatd does not have, and spells All out.
func known(ctx context.Context, chatd string, backends []string) ([]string, error) {
	names, err := Backends(ctx, chatd)
	if err != nil {
		return nil, err
	}
	if len(backends) == 1 && backends[0] == All {
		return names, nil
	}
	for _, b := range backends {
		if !slices.Contains(names, b) {
			return nil, fmt.Errorf("%w %q; there are %s, and %s for every one", ErrBackend, b, strings.Join(names, ", "), All)
		}
	}
	return backends, nil
}

// commit says which sources a directory belongs to and whether they were
// changed; "" where git does not know.
func commit(dir string) (hash string, dirty bool) {
	git := func(args ...string) (string, error) {
		out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).Output()
		return strings.TrimSpace(string(out)), err
	}
	hash, err := git("rev-parse", "HEAD")
	if err != nil {
		return "", false
	}
	changes, err := git("status", "--porcelain", "--untracked-files=no")
	return hash, err != nil || changes != ""
}
