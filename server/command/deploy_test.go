package command

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"chatbench/internal/cmdline"
	"chatbench/server/config"
)

var (
	variableName = regexp.MustCompile(`\bCHATD_[A-Z0-9_]+\b`)
	assignment   = regexp.MustCompile(`\b(CHATD_[A-Z0-9_]+)=(\S+)`)
)

// flagOf is the flag of a variable.
func flagOf(variable string) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(variable, "CHATD_"), "_", "-"))
}

// read is a file of the repository.
func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestDeployNamesFlagsThatExist: each variable that is named in what operators are given
// is one of a flag, and each value that is set there is one that the flag takes.
func TestDeployNamesFlagsThatExist(t *testing.T) {
	for path, least := range map[string]int{ // variables that are named there
		"deploy/chatd.env": 7, "deploy/Containerfile": 6, "deploy/chatd.service": 2, "deploy/chatd.socket": 1, "deploy/README.md": 8,
		"deploy/alerts.yml": 0, "docs/settings.md": 1, "README.md": 1, "ARCHITECTURE.md": 0,
	} {
		holdsFlags(t, path, read(t, path), least)
	}
	if env := read(t, "deploy/chatd.env"); !strings.Contains(read(t, "deploy/README.md"), "```\n"+env+"```\n") {
		t.Error("deploy/README.md does not show deploy/chatd.env as it is")
	}
}

func holdsFlags(t *testing.T, name, text string, least int) {
	t.Helper()
	all := variableName.FindAllString(text, -1)
	if len(all) < least {
		t.Errorf("%s names %d variables of chatd, there should be %d at least", name, len(all), least)
	}
	for _, variable := range all {
		if f := newFlags("one").set.Lookup(flagOf(variable)); f == nil || cmdline.IsAction(f) {
			t.Errorf("%s names %s, and chatd has no setting -%s", name, variable, flagOf(variable))
		}
	}
	for _, set := range assignment.FindAllStringSubmatch(text, -1) {
		value := strings.Trim(set[2], "`;,.")
		if err := newFlags("one").set.Set(flagOf(set[1]), value); err != nil {
			t.Errorf("%s sets %s to %q, which -%s does not take: %v", name, set[1], value, flagOf(set[1]), err)
		}
	}
}

// TestDeployAgreesOnThePort: what opens the port, what it is opened for and what bans
// from it mean the same.
func TestDeployAgreesOnThePort(t *testing.T) {
	found := make(map[string]string)
	for path, pattern := range map[string]string{
		"deploy/chatd.env": `(?m)^CHATD_LISTEN=\S*:([0-9]+)$`, "deploy/chatd.socket": `(?m)^ListenStream=([0-9]+)$`,
		"deploy/fail2ban/jail.d/chatd.conf": `(?m)^port *= *([0-9]+)$`, "deploy/Containerfile": `(?m)^EXPOSE ([0-9]+)$`,
	} {
		if match := regexp.MustCompile(pattern).FindStringSubmatch(read(t, path)); match != nil {
			found[path] = match[1]
		} else {
			t.Errorf("%s says no port", path)
		}
	}
	for path, port := range found {
		if port != found["deploy/chatd.env"] {
			t.Errorf("%s is about port %s, and deploy/chatd.env about %s", path, port, found["deploy/chatd.env"])
		}
	}
}

// TestSettingsFileOfTheDocs: the settings file that docs/settings.md shows is one that
// chatd takes.
func TestSettingsFileOfTheDocs(t *testing.T) {
	_, rest, found := strings.Cut(read(t, "docs/settings.md"), "```toml\n")
	example, _, ended := strings.Cut(rest, "```")
	if !found || !ended {
		t.Fatal("docs/settings.md shows no settings file")
	}
	path := filepath.Join(t.TempDir(), "chatd.toml")
	if err := os.WriteFile(path, []byte(example), 0o600); err != nil {
		t.Fatal(err)
	}
	f := newFlags("one")
	_, problems, err := config.Load(f.set, []string{"-config", path})
	if err != nil || len(problems) > 0 {
		t.Errorf("it is not taken: %v, %v", err, problems)
	}
	if f.o.MaxClients != 2000 || f.backend != "reactors" {
		t.Errorf("it was not read: %d clients of %s", f.o.MaxClients, f.backend)
	}
}
