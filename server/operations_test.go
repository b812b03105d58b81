package server

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/client"
	"chatbench/server/admin"
	"chatbench/server/control"
)

// operated runs a server with a users file, a control socket and an admin listener.
func operated(t *testing.T, users ...string) (r *running, usersPath, socket string) {
	t.Helper()
	usersPath = usersFile(t)
	writeUsers(t, usersPath, users...)
	socket = filepath.Join(t.TempDir(), "ctl")
	r = start(t, func(o *Options) {
		o.Open, o.Users = false, usersPath
		o.Control, o.Admin, o.Bans = socket, "127.0.0.1:0", filepath.Join(filepath.Dir(usersPath), "bans")
	})
	return r, usersPath, socket
}

// ask sends a request to the control socket, which must succeed.
func ask(t *testing.T, socket string, r control.Request) control.Answer {
	t.Helper()
	a, err := control.Ask(socket, r)
	if err != nil || a.Error != "" {
		t.Fatalf("%+v: %+v, %v", r, a, err)
	}
	return a
}

// lastNotice is the last notice to a client before its session ended.
func lastNotice(t *testing.T, c *client.Client) string {
	t.Helper()
	all := notices(t, c)
	return append(all, "")[max(len(all)-1, 0)]
}

// notices is all notices to a client until its session ended.
func notices(t *testing.T, c *client.Client) (all []string) {
	t.Helper()
	for {
		select {
		case e, ok := <-c.Events():
			if !ok {
				return all
			}
			if n, is := e.(client.Notice); is {
				all = append(all, n.Text)
			}
		case <-time.After(patience):
			t.Fatalf("%s has not ended, it was told %q", c.Name(), all)
		}
	}
}

// The operator lists the users in the room, kicks one, bans one, and sends a notice to the others.
func TestOperated(t *testing.T) {
	r, _, socket := operated(t, "alice", "bob", "carol")
	alice, bob, carol := r.mustLogin("alice", "secret"), r.mustLogin("bob", "secret"), r.mustLogin("carol", "secret")
	if a := ask(t, socket, control.Request{Command: "who"}); len(a.Users) != 3 || a.Users[1].Name != "bob" || !a.Users[1].Peer.Addr().IsLoopback() {
		t.Errorf("who: %+v", a)
	}
	if a := ask(t, socket, control.Request{Command: "kick", Target: "BOB"}); a.Ended != 1 {
		t.Errorf("kick: %+v", a)
	}
	if got := lastNotice(t, bob); got != "you were asked to leave" {
		t.Errorf("bob was told %q", got)
	}
	r.mustLogin("bob", "secret").Close()
	if a := ask(t, socket, control.Request{Command: "ban", Target: "carol", For: "1h"}); a.Ended != 1 {
		t.Errorf("ban: %+v", a)
	}
	if got := lastNotice(t, carol); got != "you are banned" {
		t.Errorf("carol was told %q", got)
	}
	if got := r.denied("carol", "secret"); got != "you are banned" {
		t.Errorf("carol is denied with %q", got)
	}
	ask(t, socket, control.Request{Command: "unban", Target: "carol"})
	r.mustLogin("carol", "secret")
	if a := ask(t, socket, control.Request{Command: "say", Text: "dinner is ready"}); !strings.HasPrefix(a.Text, "said to ") {
		t.Errorf("say: %+v", a)
	}
	if a, err := control.Ask(socket, control.Request{Command: "kick", Target: "nobody"}); err != nil || !strings.Contains(a.Error, "nobody called nobody is in the room") {
		t.Errorf("kick of nobody: %+v, %v", a, err)
	}
	if a := ask(t, socket, control.Request{Command: "stats"}); !strings.Contains(string(a.Stats), `"backend":"epoll"`) || !strings.Contains(string(a.Stats), `"kicked":2`) {
		t.Errorf("stats: %s", a.Stats)
	}
	ask(t, socket, control.Request{Command: "drain"})
	if got := notices(t, alice); !slices.Contains(got, "dinner is ready") {
		t.Errorf("alice was told %q", got)
	}
	l, err := r.end()
	if err != nil || l.Ends["kicked"] != 2 || l.Logins.Banned != 1 {
		t.Errorf("the end: %+v, %v", l, err)
	}
	if _, err := os.Lstat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is there after the end: %v", err)
	}
}

// After a reload, users who were removed or have another password now are told why, and their
// sessions end; the others stay. SIGHUP and the control socket do the same.
func TestReloadExpels(t *testing.T) {
	r, path, socket := operated(t, "alice", "bob", "carol")
	alice, bob, carol := r.mustLogin("alice", "secret"), r.mustLogin("bob", "secret"), r.mustLogin("carol", "secret")
	writeUsers(t, path, "alice", "carol")
	signalSelf(t, unix.SIGHUP)
	if got := lastNotice(t, bob); got != "your account was removed" {
		t.Errorf("bob was told %q", got)
	}
	other := strings.Replace(hashOfSecret, "6JUX", "7JUX", 1)
	if err := os.WriteFile(path, []byte("alice:"+hashOfSecret+"\ncarol:"+other+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if a := ask(t, socket, control.Request{Command: "reload"}); a.Ended != 1 {
		t.Errorf("reload: %+v", a)
	}
	if got := lastNotice(t, carol); got != "your password was changed: log in again" {
		t.Errorf("carol was told %q", got)
	}
	if err := os.WriteFile(path, []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if a, err := control.Ask(socket, control.Request{Command: "reload"}); err != nil || !strings.Contains(a.Error, path+":1: no colon") {
		t.Errorf("reload of a bad file: %+v, %v", a, err)
	}
	if err := alice.Say("still here"); err != nil {
		t.Fatal(err)
	}
	if got := said(t, alice, 1); got[0] != "alice: still here" {
		t.Errorf("alice heard %q", got)
	}
}

// adminURL is where the server's admin listener is, which its log says.
func (r *running) adminURL() string {
	r.t.Helper()
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	found := regexp.MustCompile(`msg="admin listening" addr=(\S+)`).FindStringSubmatch(r.log.text.String())
	if found == nil {
		r.t.Fatalf("the log does not say where the admin listener is: %s", r.log.text.String())
	}
	return "http://" + found[1]
}

func get(t *testing.T, url string) (code int, body string) {
	t.Helper()
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// What the admin listener shows is what happened, and it shows it while the server
// drains.
func TestAdminOfAServer(t *testing.T) {
	e := &fakeTransport{done: make(chan struct{}), shutdown: func(ctx context.Context) error { <-ctx.Done(); return nil }}
	draining := start(t, func(o *Options) { o.Backend, o.Admin, o.Drain = fakeBackend(e, nil), "127.0.0.1:0", time.Hour })
	waitFor(t, draining.log.has("admin listening"))
	url := draining.adminURL()
	if code, body := get(t, url+"/readyz"); code != http.StatusOK || body != "ready\n" {
		t.Errorf("ready: %d %s", code, body)
	}
	signalSelf(t, unix.SIGTERM)
	waitFor(t, func() bool { code, _ := get(t, url+"/readyz"); return code == http.StatusServiceUnavailable })
	if code, _ := get(t, url+"/healthz"); code != http.StatusOK {
		t.Errorf("not well while it drains: %d", code)
	}
	if err := admin.Check(t.Context(), strings.TrimPrefix(url, "http://")); err != nil {
		t.Error(err)
	}
	signalSelf(t, unix.SIGTERM) // cut
	if _, err := draining.end(); err != nil {
		t.Error(err)
	}
	if err := admin.Check(t.Context(), strings.TrimPrefix(url, "http://")); err == nil {
		t.Error("well after the end")
	}

	r, _, _ := operated(t, "alice")
	r.mustLogin("alice", "secret")
	r.denied("mallory", "wrong")
	metrics := ""
	waitFor(t, func() bool { // the denied one has still to go
		_, metrics = get(t, r.adminURL()+"/metrics")
		return strings.Contains(metrics, `chatd_ends_total{reason="denied"} 1`)
	})
	for _, want := range []string{
		`chatd_clients{state="in_room"} 1`, `chatd_logins_total{outcome="wrong"} 1`, `chatd_logins_total{outcome="right"} 1`,
		`chatd_users 1`, `chatd_info{backend="epoll",go="go`, "chatd_accepts_total 2",
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no metric %s in:\n%.3000s", want, metrics)
		}
	}
}

// An IPv4 address of the admin listener is IPv4 alone, as it is for clients.
func TestAdminIsIPv4Alone(t *testing.T) {
	s := launch(t, func(o *Options) { o.Admin, o.AdminExposed = "0.0.0.0:0", true })
	_, port, err := net.SplitHostPort(s.ops.admin.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", port)); err != nil {
		t.Error(err)
	} else {
		c.Close()
	}
	if c, err := net.Dial("tcp", net.JoinHostPort("::1", port)); err == nil {
		c.Close()
		t.Error("0.0.0.0 is open to IPv6 as well")
	}
}

// What the log says of logins, leaves and refusals: peers with their ports, names
// of users alone, and never a password.
func TestAccessLog(t *testing.T) {
	r, _, _ := operated(t, "alice")
	alice := r.mustLogin("alice", "secret")
	r.denied("alice", "hunter2")
	r.denied("hunter3", "secret")
	alice.Close()
	waitFor(t, r.log.has("msg=leave"))
	r.cancel()
	if _, err := r.end(); err != nil {
		t.Error(err)
	}
	text := r.log.text.String()
	for _, want := range []string{
		`msg=login peer=127\.0\.0\.1:[0-9]+ name=alice\n`, `msg=leave peer=127\.0\.0\.1:[0-9]+ name=alice reason=(bye|eof) stayed=[0-9]+s\n`,
		`msg=refused peer=127\.0\.0\.1:[0-9]+ name=alice reason=denied detail="wrong name or password"\n`,
		`msg=refused peer=127\.0\.0\.1:[0-9]+ reason=denied detail="wrong name or password"\n`,
	} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("the log lacks %s:\n%s", want, text)
		}
	}
	for _, secret := range []string{"secret", "hunter"} {
		if strings.Contains(text, secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

// A socket or an address that cannot be had is an error before anybody is served.
func TestOperationsInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	socket := filepath.Join(t.TempDir(), "ctl")
	o := options(new(logged))
	o.Control, o.Admin = socket, l.Addr().String()
	if _, err := Start(t.Context(), o); err == nil || !strings.Contains(err.Error(), "choose another -admin") {
		t.Errorf("an address in use: %v", err)
	}
	o.Admin, o.Bans = "", filepath.Join(t.TempDir(), "bans")
	if err := os.WriteFile(o.Bans, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), o); err == nil || !strings.Contains(err.Error(), o.Bans+":1:") {
		t.Errorf("a bad bans file: %v", err)
	}
	if _, err := os.Lstat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
	for _, c := range []struct {
		o    Operations
		want string
	}{
		{Operations{Admin: "0.0.0.0:9100"}, "-admin-exposed"}, {Operations{Admin: ":9100"}, "-admin-exposed"},
		{Operations{Admin: "127.0.0.1"}, "no HOST:PORT"}, {Operations{AdminProfiles: true}, "-admin-pprof needs -admin"},
		{Operations{AdminExposed: true}, "-admin-exposed needs -admin"},
	} {
		o := options(new(logged))
		o.Operations = c.o
		if _, err := Start(t.Context(), o); !errors.As(err, new(Misuse)) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.o, err)
		}
	}
}
