package cmdline

import (
	"errors"
	"flag"
	"runtime/debug"
	"strings"
	"testing"
	"time"
)

// flags defines flags of several types.
func flags() *flag.FlagSet {
	fs := flag.NewFlagSet("tool", flag.ContinueOnError)
	fs.Int("max-clients", 10, "at most `N`")
	fs.Duration("linger", time.Second, "`TIME`")
	fs.Bool("open", false, "any")
	fs.String("users", "", "`FILE`")
	Action(fs, "list", "print")
	return fs
}

// TestArguments: arguments are read in order and set nothing.
func TestArguments(t *testing.T) {
	fs := flags()
	given, err := Arguments(fs, []string{"-max-clients", "3", "-open", "--users=x", "-max-clients=4"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, g := range given {
		got = append(got, g.Flag+"="+g.Value)
	}
	if want := "max-clients=3 open=true users=x max-clients=4"; strings.Join(got, " ") != want {
		t.Errorf("given %q, want %q", got, want)
	}
	if v := fs.Lookup("max-clients").Value.String(); v != "10" {
		t.Errorf("-max-clients was set to %s", v)
	}
	if problems := Set(fs, given); len(problems) > 0 || fs.Lookup("max-clients").Value.String() != "4" || fs.Lookup("users").Value.String() != "x" {
		t.Errorf("after Set: %v", problems)
	}
}

func TestBadArguments(t *testing.T) {
	for args, want := range map[string]string{
		"-nonsense":             "flag provided but not defined: -nonsense",
		"-list -nonsense":       "flag provided but not defined: -nonsense",
		"-open now":             `unexpected argument "now"`,
		"-users":                "flag needs an argument: -users",
		"-list=perhaps":         `invalid value "perhaps" for flag -list: it must be true or false`,
		"-h -max-clients many ": flag.ErrHelp.Error(),
	} {
		fs := flags()
		if _, err := Arguments(fs, strings.Fields(args)); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", args, err, want)
		}
		if fs.Lookup("list").Value.String() != "false" {
			t.Errorf("%s: -list was set", args)
		}
	}
}

// TestSet: every wrong value is reported, and the last right one counts.
func TestSet(t *testing.T) {
	fs := flags()
	given, err := Arguments(fs, []string{"-max-clients", "many", "-open=perhaps", "-linger=3", "-max-clients=5"})
	if err != nil {
		t.Fatal(err)
	}
	problems := errors.Join(Set(fs, given)...)
	const want = `invalid value "many" for flag -max-clients: it must be a whole number
invalid value "perhaps" for flag -open: it must be true or false
invalid value "3" for flag -linger: it must be a time, such as 10s or 1m30s`
	if problems == nil || problems.Error() != want {
		t.Errorf("%v, want\n%s", problems, want)
	}
	if got := fs.Lookup("max-clients").Value.String(); got != "5" {
		t.Errorf("-max-clients is %s", got)
	}
}

// TestEnvironment: empty variables give nothing, and actions have none.
func TestEnvironment(t *testing.T) {
	t.Setenv("TOOL_MAX_CLIENTS", "many")
	t.Setenv("TOOL_USERS", "")
	t.Setenv("TOOL_LIST", "true")
	fs := flags()
	given := Environment(fs)
	if len(given) != 1 || given[0].From != "environment TOOL_MAX_CLIENTS" {
		t.Fatalf("given %+v", given)
	}
	if err := errors.Join(Set(fs, given)...); err == nil || err.Error() != `TOOL_MAX_CLIENTS="many" in the environment: it must be a whole number` {
		t.Error(err)
	}
}

// TestParse: arguments override the environment, and an action ignores both.
func TestParse(t *testing.T) {
	t.Setenv("TOOL_MAX_CLIENTS", "7")
	t.Setenv("TOOL_USERS", "from the environment")
	fs := flags()
	if code, done := Parse(fs, "", []string{"-max-clients=8"}); done {
		t.Fatal(code)
	}
	for name, want := range map[string]string{"max-clients": "8", "users": "from the environment", "open": "false"} {
		if got := fs.Lookup(name).Value.String(); got != want {
			t.Errorf("-%s is %q, want %q", name, got, want)
		}
	}
	t.Setenv("TOOL_MAX_CLIENTS", "many")
	if code, done := Parse(flags(), "", nil); !done || code != Usage {
		t.Errorf("a bad environment: %d, %v", code, done)
	}
	if code, done := Parse(flags(), "", []string{"-version"}); !done || code != OK {
		t.Errorf("-version: %d, %v", code, done)
	}
}

func TestHelp(t *testing.T) {
	var b strings.Builder
	printHelp(&b, flags(), "tool does it.")
	const want = `tool does it.

Flags:
  -linger TIME    TIME (1s)
  -list           print
  -max-clients N  at most N (10)
  -open           any
  -users FILE     FILE

Every flag except -list can also be set in the environment: -users as TOOL_USERS.
`
	if b.String() != want {
		t.Errorf("help is\n%s\nwant\n%s", b.String(), want)
	}
}

func TestAsksVersion(t *testing.T) {
	for args, want := range map[string]bool{
		"-version": true, "--version": true, "user -version": true, "run --version -rate 3": true,
		"": false, "user": false, "-open -version": false, "user add -version": false, "version": false, "run -rate -version": false,
	} {
		if got := AsksVersion(strings.Fields(args)); got != want {
			t.Errorf("%q: %v", args, got)
		}
	}
}

func TestVersion(t *testing.T) {
	settings := []debug.BuildSetting{{Key: "GOOS", Value: "linux"}, {Key: "GOARCH", Value: "amd64"}}
	full := &debug.BuildInfo{
		GoVersion: "go1.26.0", Main: debug.Module{Path: "example.com/mine"},
		Deps: []*debug.Module{{Path: "a.org/used", Version: "v1.2.3"}, {Path: "a.org/other", Version: "v0.1.0"},
			{Path: "a.org/patched", Version: "v1.0.0", Replace: &debug.Module{Path: "../patched"}}},
		Settings: append(settings, debug.BuildSetting{Key: "vcs.revision", Value: "abc123"}, debug.BuildSetting{Key: "vcs.modified", Value: "true"}),
	}
	for _, c := range []struct {
		info *debug.BuildInfo
		want string
	}{
		{full, "chatd of example.com/mine\ncommit abc123 with changes that are not committed\nbuilt with go1.26.0 linux/amd64\n" +
			"a.org/used v1.2.3\na.org/patched v1.0.0 => ../patched\n"},
		{&debug.BuildInfo{GoVersion: "go1.26.0", Main: debug.Module{Path: "chatbench"}, Settings: settings},
			"chatd of chatbench\ncommit unknown\nbuilt with go1.26.0 linux/amd64\n"},
		{new(debug.BuildInfo), "chatd of unknown\ncommit unknown\nbuilt with unknown\n"},
	} {
		if got := version("chatd", c.info, []string{"a.org/used", "a.org/patched", "a.org/absent"}); got != c.want {
			t.Errorf("version is\n%s\nwant\n%s", got, c.want)
		}
	}
}
