package build

import (
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Replacement replaces a module by another version, or by a directory.
type Replacement struct {
	Module  string // its path
	Version string // or a query, like latest or the name of a branch; "": Dir is set
	Dir     string // absolute
}

// ParseReplacement parses MODULE=@VERSION and MODULE=PATH.
func ParseReplacement(text string) (Replacement, error) {
	module, by, ok := strings.Cut(text, "=")
	version, isVersion := strings.CutPrefix(by, "@")
	if !ok || module == "" || by == "" || isVersion && version == "" || strings.ContainsAny(module, " @") || strings.HasPrefix(module, "-") {
		return Replacement{}, fmt.Errorf("%w: %q is not a replacement of a module; write MODULE=PATH or MODULE=@VERSION, like github.com/panjf2000/gnet/v2=@v2.9.7", ErrRequest, text)
	}
	if isVersion {
		return Replacement{Module: module, Version: version}, nil
	}
	dir, err := filepath.Abs(by)
	if err != nil {
		return Replacement{}, fmt.Errorf("build: %w", err)
	}
	return Replacement{Module: module, Dir: dir}, nil
}

// Modules builds the chatd of a source tree with other modules than its go.mod
// names, from a copy of go.mod and go.sum.
type Modules struct {
	root string // of the source tree
	dir  string
}

// NewModules finds the source tree around a directory, and makes a temporary
// directory. The caller must call Close in every case.
func NewModules(ctx context.Context, source string) (*Modules, error) {
	root, err := FindSource(ctx, source)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "bench-build-")
	if err != nil {
		return nil, fmt.Errorf("build: %w", err)
	}
	return &Modules{root: root, dir: dir}, nil
}

// FindSource returns the source tree of chatd that contains a directory.
func FindSource(ctx context.Context, source string) (string, error) {
	none := fmt.Errorf("%w: %s is not in the source tree of chatd; run bench there, or say where it is with -source DIR", ErrRequest, source)
	if info, err := os.Stat(source); err != nil || !info.IsDir() {
		return "", none
	}
	mod, err := run(ctx, source, "go", "env", "GOMOD")
	if err != nil {
		return "", fmt.Errorf("build: %w", err)
	}
	root := filepath.Dir(mod)
	if info, err := os.Stat(filepath.Join(root, chatd)); err != nil || !info.IsDir() || filepath.Base(mod) != "go.mod" {
		return "", none
	}
	return root, nil
}

// Root is the directory of the source tree.
func (m *Modules) Root() string { return m.root }

// Close removes what was built.
func (m *Modules) Close() { os.RemoveAll(m.dir) }

// Build builds chatd as make does, with the modules replaced, and returns its path.
// name becomes the name of a directory.
func (m *Modules) Build(ctx context.Context, name string, with []Replacement) (path string, err error) {
	path = filepath.Join(m.dir, name, "chatd")
	mod := filepath.Join(m.dir, name, "go.mod")
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
		return "", fmt.Errorf("build: %w", err)
	}
	for _, file := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join(m.root, file))
		if errors.Is(err, os.ErrNotExist) && file == "go.sum" {
			continue // a module without dependencies
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(filepath.Dir(mod), file), data, 0o644)
		}
		if err != nil {
			return "", fmt.Errorf("build: %w", err)
		}
	}
	if with, err = m.resolve(ctx, mod, with); err != nil {
		return "", err
	}
	for _, r := range with {
		edit := []string{"mod", "edit", "-require=" + r.Module + "@" + r.Version, mod}
		if r.Dir != "" {
			edit = []string{"mod", "edit", "-replace=" + r.Module + "=" + r.Dir, mod}
		}
		if _, err := run(ctx, m.root, "go", edit...); err != nil {
			return "", fmt.Errorf("build: %w", err)
		}
	}
	if _, err := run(ctx, m.root, "go", "build", "-mod=mod", "-modfile="+mod, "-o", path, chatd); err != nil {
		return "", fmt.Errorf("build: cannot build chatd%s: %w", replacementsText(with), err)
	}
	return path, checkBuilt(path, with)
}

// resolve checks that chatd uses each module and that the replacement
// exists, and turns queries into versions.
func (m *Modules) resolve(ctx context.Context, mod string, with []Replacement) ([]Replacement, error) {
	if len(with) == 0 {
		return nil, nil
	}
	used, err := run(ctx, m.root, "go", "list", "-mod=mod", "-modfile="+mod, "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{if not .Replace}}{{.Version}}{{end}}{{end}}{{end}}", chatd)
	if err != nil {
		return nil, fmt.Errorf("build: %w", err)
	}
	modules := make(map[string]string)
	for line := range strings.Lines(used) {
		path, version, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		modules[path] = version
	}
	with = slices.Clone(with)
	for i := range with {
		r := &with[i]
		version, ok := modules[r.Module]
		switch {
		case !ok:
			return nil, fmt.Errorf("%w: chatd does not use the module %s; go list -m all lists those of the source tree", ErrRequest, r.Module)
		case slices.ContainsFunc(with[:i], func(other Replacement) bool { return other.Module == r.Module }):
			return nil, fmt.Errorf("%w: %s is replaced twice; give one replacement for each module", ErrRequest, r.Module)
		case r.Dir != "":
			err = r.checkDir(ctx)
		default:
			err = m.find(ctx, mod, r, version)
		}
		if err != nil {
			return nil, err
		}
	}
	return with, nil
}

// checkDir refuses a directory that does not contain the module.
func (r Replacement) checkDir(ctx context.Context) error {
	mod := filepath.Join(r.Dir, "go.mod")
	if _, err := os.Stat(mod); err != nil {
		return fmt.Errorf("%w: %s has no go.mod; give the directory of module %s, or a version as @VERSION", ErrRequest, r.Dir, r.Module)
	}
	var is struct{ Module struct{ Path string } }
	out, err := run(ctx, r.Dir, "go", "mod", "edit", "-json", mod)
	if err == nil {
		err = json.Unmarshal([]byte(out), &is)
	}
	if err != nil {
		return fmt.Errorf("build: %w", err)
	}
	if is.Module.Path != r.Module {
		return fmt.Errorf("%w: %s contains module %s, not %s; give the directory of that module", ErrRequest, r.Dir, is.Module.Path, r.Module)
	}
	return nil
}

// find finds the version that a query means. own is the version that chatd uses so far; "":
// chatd replaces the module already.
func (m *Modules) find(ctx context.Context, mod string, r *Replacement, own string) error {
	if _, err := run(ctx, m.root, "go", "mod", "edit", "-dropreplace="+r.Module, mod); err != nil {
		return fmt.Errorf("build: %w", err)
	}
	out, err := run(ctx, m.root, "go", "list", "-mod=mod", "-modfile="+mod, "-m", "-f", "{{.Version}}", r.Module+"@"+r.Version)
	switch {
	case err != nil:
		return fmt.Errorf("%w: version %s of %s is not available; go list -m -versions %s lists the versions (%w)", ErrRequest, r.Version, r.Module, r.Module, err)
	case out == own:
		return fmt.Errorf("%w: chatd uses %s %s already; give another version", ErrRequest, r.Module, own)
	}
	r.Version = out
	return nil
}

// checkBuilt checks that a program contains the requested versions: if another module
// needs a higher version of a module, go takes that.
func checkBuilt(path string, with []Replacement) error {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return fmt.Errorf("build: %w", err)
	}
	for _, r := range with {
		for _, dep := range info.Deps {
			if dep.Path == r.Module && r.Version != "" && dep.Version != r.Version {
				return fmt.Errorf("%w: %s %s cannot be used, because another module of chatd needs %s; replace that module too, or give a PATH", ErrRequest, r.Module, r.Version, dep.Version)
			}
		}
	}
	return nil
}

// replacementsText says what is replaced.
func replacementsText(with []Replacement) string {
	var all []string
	for _, r := range with {
		if r.Dir != "" {
			all = append(all, r.Module+" from "+r.Dir)
		} else {
			all = append(all, r.Module+" "+r.Version)
		}
	}
	if all == nil {
		return ""
	}
	return " with " + strings.Join(all, ", ")
}
