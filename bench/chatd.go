package bench

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"chatbench/bench/record"
)

// ErrBackend is returned by Run for a backend that chatd does not have.
var ErrBackend = errors.New("bench: unknown backend")

// chatdArguments are the arguments of a server under load: see docs/chatd-interface.md. Anybody
// may log in, only clients speak, and nothing limits them.
func chatdArguments(a record.Arm) []string {
	return append([]string{
		"-backend", a.Backend, "-listen", "127.0.0.1:0", "-open", "-json",
		"-flood", "off", "-announce=false", "-login-throttle", "off", "-max-per-address", "0", // see chatdFlags
	}, a.Args...)
}

// Backend is what chatd reports about one of its backends.
type Backend struct {
	Name       string            `json:"name"`
	Model      string            `json:"model"`
	Threads    string            `json:"threads"`
	Processes  string            `json:"processes"`
	Library    string            `json:"library"`
	Limits     string            `json:"limits"`
	PerClient  string            `json:"per_client"`  // what each client has of its own: a thread, a process, or ""
	MaxClients int               `json:"max_clients"` // 0: no limit of its own
	Loops      int               `json:"loops"`       // event loops, unless -loops says how many; 0: there is no such flag
	Gaps       map[string]string `json:"gaps"`
	// Unavailable is why the backend cannot run on this machine; "" if it can.
	Unavailable string `json:"unavailable"`
}

func names(of []Backend) (all []string) {
	for _, b := range of {
		all = append(all, b.Name)
	}
	return all
}

// Backends asks chatd for its backends, in its own order.
func Backends(ctx context.Context, chatd string) ([]Backend, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, chatd, "-list", "-json").Output()
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, exec.ErrNotFound) {
		return nil, fmt.Errorf("bench: no chatd at %s; build it with make, or say where it is with -chatd", chatd)
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("bench: %s cannot be run; give the path of a chatd", chatd)
	}
	if err != nil {
		return nil, fmt.Errorf("bench: %s cannot be measured as a chatd (-list: %w); give the path of a chatd", chatd, err)
	}
	var all []Backend
	if err := json.Unmarshal(out, &all); err != nil {
		return nil, fmt.Errorf("bench: %s -list -json prints something that is not a list (%w); build it again with make", chatd, err)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("bench: %s -list names no backend; build it again with make", chatd)
	}
	if err := checkNames(chatd, names(all)); err != nil {
		return nil, err
	}
	return all, nil
}

// checkNames refuses names of backends that cannot be used on the command line, or that the
// bench uses itself.
func checkNames(chatd string, names []string) error {
	for i, name := range names {
		switch {
		case !backendPattern.MatchString(name):
			return fmt.Errorf("bench: %s -list has a backend named %q; give it a name of letters, digits and dashes that does not begin with a dash", chatd, name)
		case name == record.NullArm || name == All:
			return fmt.Errorf("bench: %s -list has a backend named %q, which bench uses itself; give it another name", chatd, name)
		case slices.Contains(names[:i], name):
			return fmt.Errorf("bench: %s -list has two backends named %q; rename one of them", chatd, name)
		}
	}
	return nil
}

// All, alone, stands for every backend that chatd has.
const All = "all"

// expandAll replaces All by the backends that can run. If the plan has no number of rounds it
// sets a budget; an idle load, whose rounds are long, gets the number of rounds that makes a
// difference possible. It returns the backends that All leaves out.
func (p *Plan) expandAll(known []Backend) (leftOut []Backend) {
	if len(p.Backends) == 1 && p.Backends[0] == All {
		var runs []Backend
		for _, b := range known {
			if b.Unavailable == "" {
				runs = append(runs, b)
			} else {
				leftOut = append(leftOut, b)
			}
		}
		p.Backends = names(runs)
	}
	p.expandCPUCounts()
	switch {
	case p.Rounds > 0:
	case p.Scenario == record.Idle:
		p.Rounds = p.MinRounds()
	case p.Scenario == record.Scale:
		p.Rounds = scaleRounds
	}
	if p.looks() && p.Budget == 0 {
		p.Budget = budget(len(p.Names()))
	}
	return leftOut
}

// backends returns a function that lists the backends of a chatd and asks each chatd once.
func backends(ctx context.Context, own string) func(chatd string) ([]Backend, error) {
	known := make(map[string][]Backend)
	return func(chatd string) (has []Backend, err error) {
		if chatd = cmp.Or(chatd, own); known[chatd] == nil {
			known[chatd], err = Backends(ctx, chatd)
		}
		return known[chatd], err
	}
}

// binaries returns the servers of the arms, the run's own first.
func binaries(cfg Config, arms []record.Arm) (all []record.Binary, err error) {
	paths := []string{cfg.Chatd}
	for _, a := range arms {
		if a.Chatd != "" && !slices.Contains(paths, a.Chatd) {
			paths = append(paths, a.Chatd)
		}
	}
	var first []*debug.Module
	for i, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("bench: %w", err)
		}
		sum := sha256.Sum256(data)
		b := record.Binary{Path: path, SHA256: hex.EncodeToString(sum[:])}
		if i == 0 { // arms name the others by their path
			b.Path = relativePath(path)
		}
		if info, err := buildinfo.Read(bytes.NewReader(data)); err == nil {
			if i == 0 {
				first = info.Deps
			}
			b.Modules = differentModules(first, info.Deps)
			for _, s := range info.Settings {
				switch s.Key {
				case "vcs.revision":
					b.Commit = s.Value
				case "vcs.modified":
					b.Dirty = s.Value == "true"
				}
			}
		}
		if b.Commit == "" {
			source := filepath.Dir(path)
			if path == cfg.Chatd || path == cfg.Plus {
				source = cmp.Or(cfg.Source, source)
			}
			b.Commit, b.Dirty = commit(source, "--untracked-files=no")
		}
		all = append(all, b)
	}
	return all, nil
}

// differentModules returns the modules that a program has in another version than the first program, by path.
func differentModules(first, here []*debug.Module) (all []record.Module) {
	by := make(map[string]record.Module)
	for _, m := range first {
		by[m.Path] = record.Module{Path: m.Path, First: versionText(m)}
	}
	for _, m := range here {
		if first, ok := by[m.Path]; ok && first.First == versionText(m) {
			delete(by, m.Path)
			continue
		}
		one := record.Module{Path: m.Path, First: by[m.Path].First, Version: versionText(m)}
		if m.Replace != nil && (m.Replace.Version == "" || m.Replace.Version == "(devel)") { // a directory
			one.Version, one.Dir = "", m.Replace.Path
			one.Commit, one.Dirty = commit(one.Dir, "--", ".")
		}
		by[m.Path] = one
	}
	for _, path := range slices.Sorted(maps.Keys(by)) {
		all = append(all, by[path])
	}
	return all
}

// versionText is the version of a module, and what it was replaced by.
func versionText(m *debug.Module) string {
	if m.Replace != nil {
		return strings.TrimSuffix(strings.TrimRight(m.Replace.Path+" "+m.Replace.Version, " "), " (devel)")
	}
	return m.Version
}

// commit returns the commit of the sources in a directory and whether they were
// changed; "" if git does not know. changes limits what counts as changed.
func commit(dir string, changes ...string) (hash string, dirty bool) {
	git := func(args ...string) (string, error) {
		out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).Output()
		return strings.TrimSpace(string(out)), err
	}
	hash, err := git("rev-parse", "HEAD")
	if err != nil {
		return "", false
	}
	changed, err := git(append([]string{"status", "--porcelain"}, changes...)...)
	return hash, err != nil || changed != ""
}

// relativePath is a path relative to the working directory if it is below that, so that
// results do not say where a source tree is; otherwise the path as it is.
func relativePath(path string) string {
	here, err := os.Getwd()
	if err != nil || !filepath.IsAbs(path) {
		return path
	}
	if rel, err := filepath.Rel(here, path); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return path
}
