package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chatbench/core/units"
	"chatbench/internal/cmdline"
)

// flags are the flags of a command, one of each type that chatd has.
func flags() *flag.FlagSet {
	fs := flag.NewFlagSet("tool", flag.ContinueOnError)
	fs.String("listen", "127.0.0.1:9000", "")
	fs.Int("max-clients", 0, "")
	fs.Duration("linger", 2*time.Second, "")
	fs.Bool("open", false, "")
	size := 64 * units.KiB
	fs.Var(&size, "sndbuf", "")
	cmdline.Action(fs, "list", "")
	Define(fs)
	return fs
}

// write makes the settings file chatd.toml in a new working directory.
func write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile("chatd.toml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func printed(t *testing.T, s Settings) string {
	t.Helper()
	var b strings.Builder
	if err := s.Print(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestOrder: each place overrides those before it, and From says which one was used.
func TestOrder(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, `# a comment
listen = "0.0.0.0:1"
max-clients = 1_000

linger = '3s'
open = true
`)
	t.Setenv("TOOL_CONFIG", "absent.toml") // the flag overrules it
	t.Setenv("TOOL_MAX_CLIENTS", "20")
	t.Setenv("TOOL_LINGER", "4s")
	t.Setenv("TOOL_LIST", "true") // no setting
	s, problems, err := Load(flags(), []string{"-linger", "9s", "-config", "chatd.toml", "-linger=5s"})
	if err != nil || len(problems) > 0 {
		t.Fatal(problems, err)
	}
	const want = `linger = "5s"         # flag -linger
listen = "0.0.0.0:1"  # chatd.toml:2
max-clients = 20      # environment TOOL_MAX_CLIENTS
open = true           # chatd.toml:6
sndbuf = "64KiB"      # default
`
	if got := printed(t, s); got != want {
		t.Errorf("settings are\n%swant\n%s", got, want)
	}
}

// TestPrintIsAFile: the output of Print is a file with the same settings.
func TestPrintIsAFile(t *testing.T) {
	t.Chdir(t.TempDir())
	odd := "tab\there, \"quotes\", \\, 한글, \x01 and\nmore"
	first, problems, err := Load(flags(), []string{"-listen", odd, "-max-clients", "-3", "-open", "-sndbuf", "1GiB", "-linger", "1m30s"})
	if err != nil || len(problems) > 0 {
		t.Fatal(problems, err)
	}
	write(t, printed(t, first))
	again := flags()
	if _, problems, err = Load(again, []string{"-config", "chatd.toml"}); err != nil || len(problems) > 0 {
		t.Fatal(problems, err)
	}
	first.set.VisitAll(func(f *flag.Flag) {
		if got := again.Lookup(f.Name).Value.String(); isSetting(f) && got != f.Value.String() {
			t.Errorf("%s is %q, was %q", f.Name, got, f.Value.String())
		}
	})
}

// TestEmptyFile: a file may be empty.
func TestEmptyFile(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "")
	if _, problems, err := Load(flags(), []string{"-config", "chatd.toml"}); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}

// TestMistakes: all mistakes in a file are reported, each with its line.
func TestMistakes(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"max-client = 3", `chatd.toml:1: unknown key "max-client", the nearest known one is max-clients`},
		{"Max_Clients = 3", `chatd.toml:1: unknown key "Max_Clients", the nearest known one is max-clients`},
		{"\n\nbanana = 3", `chatd.toml:3: unknown key "banana"`},
		{"[server]\nlisten = \"x\"", `chatd.toml:1: unknown key "server"`},
		{"list = true", `chatd.toml:1: list cannot be set in a file, only as the flag -list`},
		{`config = "other.toml"`, `chatd.toml:1: config cannot be set in a file, only as the flag -config`},
		{`max-clients = "100"`, `chatd.toml:1: max-clients = "100": it must be a whole number, without quotes`},
		{"max-clients = 1.5", "chatd.toml:1: max-clients = 1.5: it must be a whole number"},
		{"max-clients = true", "chatd.toml:1: max-clients = true: it must be a whole number"},
		{"max-clients = [1, 2]", "chatd.toml:1: max-clients = [1 2]: it must be one value"},
		{"open = 1", "chatd.toml:1: open = 1: it must be true or false"},
		{`open = "true"`, `chatd.toml:1: open = "true": it must be true or false, without quotes`},
		{"listen = 9000", "chatd.toml:1: listen = 9000: it must be text, in quotes"},
		{"linger = 3", "chatd.toml:1: linger = 3: it must be a time, such as 10s or 1m30s, in quotes"},
		{`linger = "long"`, `chatd.toml:1: linger = "long": it must be a time, such as 10s or 1m30s`},
		{`sndbuf = "64K"`, `chatd.toml:1: sndbuf = "64K": units: a size is written like 64B, 4KiB or 1MiB, not "64K"`},
		{"sndbuf = true", `chatd.toml:1: sndbuf = true: units: a size is written like 64B, 4KiB or 1MiB, not "true"`},
		{"open = true\nlisten = 'a\n", "chatd.toml:2: not valid TOML: "},
		{"open = true\nopen = false\n", "chatd.toml:2: not valid TOML: "},
		{"open = true\n\n# more\nlinger = \"\"\"\nlong\"\"\"\nbanana = 1\nmax-clients = \"x\"",
			"chatd.toml:6: unknown key \"banana\"\n" +
				"chatd.toml:7: max-clients = \"x\": it must be a whole number, without quotes\n" +
				`chatd.toml:5: linger = "long": it must be a time`}, // where the value ends
	} {
		t.Chdir(t.TempDir())
		write(t, c.text)
		_, problems, err := Load(flags(), []string{"-config", "chatd.toml"})
		if got := errors.Join(problems...); err != nil || got == nil || !strings.HasPrefix(got.Error(), c.want) ||
			strings.Count(got.Error(), "\n") != strings.Count(c.want, "\n") {
			t.Errorf("%q: %v, %v, want %s", c.text, got, err, c.want)
		}
	}
}

// TestOverriddenMistake: mistakes in a file are reported even if the environment or an argument
// overrides the setting.
func TestOverriddenMistake(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, `max-clients = "many"`)
	t.Setenv("TOOL_OPEN", "perhaps")
	_, problems, err := Load(flags(), []string{"-config", "chatd.toml", "-max-clients", "many"})
	if err != nil || len(problems) != 3 {
		t.Errorf("%v, %v", problems, err)
	}
}

func TestUnreadable(t *testing.T) {
	t.Chdir(t.TempDir())
	for path, want := range map[string]string{
		"none.toml": "there is no settings file none.toml: create it, or leave -config out",
		".":         "settings file: read .: is a directory",
		"big.toml":  "settings file big.toml: it is larger than 1 MiB: check the path",
	} {
		if path == "big.toml" {
			if err := os.WriteFile(path, make([]byte, maxFile+1), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, problems, err := Load(flags(), []string{"-config", path})
		if err != nil || len(problems) != 1 || problems[0].Error() != want {
			t.Errorf("%s: %v, %v, want %s", path, problems, err, want)
		}
	}
	if _, _, err := Load(flags(), []string{"-h"}); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-h: %v", err)
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"kitten", "sitting", 3}, {"max_clients", "max-clients", 1}, {"lag", "flag", 1}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

// FuzzFile: no text makes reading panic, and each problem says where it is.
func FuzzFile(f *testing.F) {
	for _, text := range []string{"", "listen = \"x\"\n", "[a]\nb = 1", "max-clients = 3 # x", "linger = \"\"\"\n5s\"\"\"", "a.b.c = 1979-05-27", "'' = 1", "x = {y = 1}"} {
		f.Add(text)
	}
	path := filepath.Join(f.TempDir(), "chatd.toml")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, problems := read(flags(), path)
		for _, p := range problems {
			if !strings.HasPrefix(p.Error(), path+":") {
				t.Errorf("%q: %v does not say where", text, p)
			}
		}
	})
}
