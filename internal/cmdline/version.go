package cmdline

import (
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"
)

// AsksVersion says whether the arguments of a command with verbs ask for its version: whether
// -version comes first, or first after a verb.
func AsksVersion(args []string) bool {
	if len(args) > 1 && !strings.HasPrefix(args[0], "-") {
		args = args[1:]
	}
	return len(args) > 0 && (args[0] == "-version" || args[0] == "--version")
}

// PrintVersion prints what a command was built from: the commit, the version of Go, and the
// versions of those modules of libraries that the program contains. It returns the exit code.
func PrintVersion(w io.Writer, command string, libraries ...string) (code int) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = new(debug.BuildInfo)
	}
	if _, err := io.WriteString(w, version(command, info, libraries)); err != nil {
		return Fail(command, Failed, fmt.Errorf("standard output: %w", err))
	}
	return OK
}

// version is the text that PrintVersion prints. The commit is known only to a program that was
// built with go build in a checkout.
func version(command string, info *debug.BuildInfo, libraries []string) string {
	setting := make(map[string]string)
	for _, s := range info.Settings {
		setting[s.Key] = s.Value
	}
	commit, changed := "unknown", ""
	if revision := setting["vcs.revision"]; revision != "" {
		commit = revision
	}
	if setting["vcs.modified"] == "true" {
		changed = " with changes that are not committed"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %s\ncommit %s%s\n", command, orUnknown(info.Main.Path), commit, changed)
	platform := strings.TrimRight(" "+setting["GOOS"]+"/"+setting["GOARCH"], " /")
	fmt.Fprintf(&b, "built with %s%s\n", orUnknown(info.GoVersion), platform)
	for _, m := range info.Deps {
		if slices.Contains(libraries, m.Path) {
			fmt.Fprintf(&b, "%s %s%s\n", m.Path, m.Version, replacement(m))
		}
	}
	return b.String()
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

// replacement describes the replacement of a module in go.mod.
func replacement(m *debug.Module) string {
	if m.Replace == nil {
		return ""
	}
	return strings.TrimRight(" => "+m.Replace.Path+" "+m.Replace.Version, " ")
}
