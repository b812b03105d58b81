package server

import (
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"chatbench/core"
	"chatbench/core/wire"
)

// failregex is the patterns of the filter in deploy/, converted to Go's syntax.
func failregex(t *testing.T) (all []*regexp.Regexp) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "deploy", "fail2ban", "filter.d", "chatd.conf"))
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]string)
	key := ""
	for _, line := range strings.Split(string(data), "\n") {
		name, value, found := strings.Cut(line, " = ")
		switch {
		case strings.HasPrefix(line, "#"), strings.HasPrefix(line, "["):
		case strings.HasPrefix(line, " ") && strings.TrimSpace(line) != "":
			values[key] += "\n" + strings.TrimSpace(line)
		case found:
			key = name
			values[key] = value
		}
	}
	text := values["failregex"]
	for name, value := range values {
		text = strings.ReplaceAll(text, "%("+name+")s", value)
	}
	text = strings.ReplaceAll(text, "<ADDR>", `(?P<addr>[0-9a-fA-F:.]+)`)
	for _, line := range strings.Split(text, "\n") {
		all = append(all, regexp.MustCompile(line))
	}
	return all
}

// The filter searches only for reasons that the log can have.
func TestFail2banKnowsTheReasons(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "deploy", "fail2ban", "filter.d", "chatd.conf"))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^_rude = \(\?:(.*)\)$`).FindSubmatch(data)
	if found == nil {
		t.Fatal("there is no _rude")
	}
	known := make(map[string]bool)
	for r := range core.Reasons {
		known[core.Reason(r).String()] = true
	}
	for _, reason := range strings.Split(string(found[1]), "|") {
		if !known[reason] {
			t.Errorf("the filter searches for the reason %q, which does not exist", reason)
		}
	}
}

// banned is the addresses that fail2ban finds in a log, one for each line found.
func banned(patterns []*regexp.Regexp, log string) (addrs []string) {
	for _, line := range strings.Split(log, "\n") {
		for _, p := range patterns {
			if found := p.FindStringSubmatch(line); found != nil {
				addrs = append(addrs, found[p.SubexpIndex("addr")])
			}
		}
	}
	return addrs
}

// fail2ban finds the clients that guess passwords or violate the protocol in the log of the
// server, as text and as JSON, from a file and from the journal, and no other clients.
func TestFail2banFindsWhoIsRefused(t *testing.T) {
	patterns := failregex(t)
	if len(patterns) != 2 {
		t.Fatalf("%d patterns: %v", len(patterns), patterns)
	}
	for name, handler := range map[string]func(*logged) slog.Handler{
		"text": func(l *logged) slog.Handler { return slog.NewTextHandler(l, nil) },
		"json": func(l *logged) slog.Handler { return slog.NewJSONHandler(l, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			path := usersFile(t)
			writeUsers(t, path, "alice", "한글")
			out := new(logged)
			r := start(t, func(o *Options) {
				o.Open, o.Users, o.LoginThrottle = false, path, 2.0/60
				o.Log = slog.New(handler(out))
			})
			r.mustLogin("alice", "secret").Close()
			for _, user := range []string{"한글", "한글", "한글", "msg=refused"} { // the third one is throttled
				r.denied(user, `x peer=203.0.113.9:1 reason=login-timeout`)
			}
			c, err := net.Dial("tcp", r.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.Write(wire.AppendChat(nil, "level=INFO msg=refused peer=203.0.113.9:1 reason=too-long"))
			waitFor(t, out.has("not-logged-in"))
			c.Close()
			r.denied("a:b", "x") // no name: not what is searched for
			r.cancel()
			if _, err := r.end(); err != nil {
				t.Fatal(err)
			}
			log := out.text.String()
			inJournal := regexp.MustCompile(`(?m)^(.)`).ReplaceAllString(log, "vps chatd[4711]: $1")
			for where, text := range map[string]string{"file": log, "journal": inJournal} {
				if got := banned(patterns, text); strings.Join(got, " ") != strings.TrimSpace(strings.Repeat("127.0.0.1 ", 5)) {
					t.Errorf("found in the %s: %v, want five times 127.0.0.1, in\n%s", where, got, text)
				}
			}
		})
	}
	six := `time=2026-01-31T18:00:00.000Z level=INFO msg=refused peer=[2001:db8::1]:40112 name=alice reason=denied detail="wrong name or password"`
	if got := banned(patterns, six); len(got) != 1 || got[0] != "2001:db8::1" {
		t.Errorf("an IPv6 address: %v", got)
	}
}
