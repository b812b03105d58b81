package web

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"chatbench/client"
	"chatbench/core"
	"chatbench/core/wire"
	"chatbench/internal/browsertest"
	"chatbench/internal/tcptest"
)

// join logs a client in with the client library.
func join(t *testing.T, s *chatServer, name string) *client.Client {
	t.Helper()
	c, err := client.Dial(t.Context(), client.Config{Server: s.plain, User: name, Password: "x"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// hear waits until a client has received a text of another one.
func hear(t *testing.T, c *client.Client, from, text string) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		select {
		case e, ok := <-c.Events():
			if !ok {
				t.Fatalf("the conversation ended: %v", c.Err())
			}
			if e == (client.Said{From: from, Text: text}) {
				return
			}
		case <-deadline:
			t.Fatalf("timed out waiting for %q of %s", text, from)
		}
	}
}

// enter opens the page and logs in.
func enter(t *testing.T, b *browsertest.Browser, s *chatServer, name string, as browsertest.Look) *browsertest.Page {
	t.Helper()
	p := b.Page()
	p.Open(s.url, as)
	p.Eval(`document.getElementById("name").focus()`, nil)
	p.Type(name)
	p.Eval(`document.getElementById("password").focus()`, nil)
	p.Type("secret\r")
	p.Await(`!document.getElementById("chat-view").hidden`)
	p.Await(`document.activeElement.id === "draft"`)
	return p
}

// shows waits until a line of the page ends with a text.
func shows(p *browsertest.Page, text string) {
	p.Await(`[...document.querySelectorAll("#lines > li")].some((l) => l.textContent.trim().endsWith(` + quoted(text) + `))`)
}

func quoted(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(text) + `"`
}

// Two pages and a client talk. Hostile texts are shown as text.
func TestTalk(t *testing.T) {
	b := browsertest.Start(t)
	s := serve(t, "127.0.0.1:0", Config{})
	carol := join(t, s, "carol")
	alice := enter(t, b, s, "alice", browsertest.Look{})
	minsu := enter(t, b, s, "민수", browsertest.Look{Width: 390, Height: 800, Dark: true})
	alice.Await(`document.getElementById("names").textContent.includes("민수")`)

	alice.Type("hello everybody\r")
	hear(t, carol, "alice", "hello everybody")
	shows(minsu, "hello everybody")
	carol.Say("from a terminal")
	shows(alice, "from a terminal")
	shows(minsu, "from a terminal")

	// Enter while a syllable is being composed sends nothing; what was composed does not double.
	minsu.Compose("안녕하세")
	minsu.Compose("안녕하세요")
	minsu.Type("\r")
	minsu.Commit("안녕하세요")
	minsu.Await(`document.getElementById("draft").value === "안녕하세요"`)
	minsu.Type("\r")
	hear(t, carol, "민수", "안녕하세요")
	shows(alice, "안녕하세요")

	hostile := `<img src=x onerror=document.title="owned"><script>document.title="owned"</script> &amp; ` + "\x1b]0;owned\x07\u202e"
	carol.Say(hostile)
	shows(alice, strings.NewReplacer("\x1b", "\ufffd", "\x07", "\ufffd").Replace(hostile))
	var title string
	var scripts int
	alice.Eval("document.title", &title)
	alice.Eval(`document.querySelectorAll("#lines img, #lines script").length`, &scripts)
	if title != "chat" || scripts != 0 {
		t.Errorf("title %q, %d elements made of text", title, scripts)
	}
	for page, as := range map[*browsertest.Page]string{alice: "wide", minsu: "phone"} {
		var over int
		if page.Eval("document.documentElement.scrollWidth - innerWidth", &over); over > 0 {
			t.Errorf("%s: %d px too wide", as, over)
		}
		for _, line := range page.Noise() {
			if !strings.HasPrefix(line, "request: "+s.url) && !strings.HasPrefix(line, "request: ws://") {
				t.Errorf("%s: %s", as, line)
			}
		}
		page.Shoot(as)
	}
	minsu.Eval(`document.getElementById("show-people").click()`, nil)
	minsu.Shoot("phone-people")

	alice.Eval(`document.getElementById("leave").click()`, nil)
	alice.Await(`document.getElementById("chat-view").hidden`)
	shows(minsu, "alice has left")
}

// While the server is down the draft stays, and the page reconnects by itself.
func TestRestart(t *testing.T) {
	b := browsertest.Start(t)
	at := tcptest.Free(t).String()
	s := serve(t, at, Config{})
	p := enter(t, b, s, "alice", browsertest.Look{})
	p.Type("a draft")
	s.stop()
	p.Await(`document.body.classList.contains("offline")`)
	p.Type("\r")
	shows(p, "Your line stays.")
	p.Shoot("offline")
	s = serve(t, at, Config{})
	bob := join(t, s, "bob")
	shows(p, "Back in the room.")
	p.Await(`document.getElementById("draft").value === "a draft"`)
	p.Type("\r")
	hear(t, bob, "alice", "a draft")
	p.Await(`document.getElementById("draft").value === ""`)
}

// If a login is denied, the page shows why, and another login is possible.
func TestDenied(t *testing.T) {
	b := browsertest.Start(t)
	s := serve(t, "127.0.0.1:0", Config{})
	join(t, s, "alice")
	p := b.Page()
	p.Open(s.url, browsertest.Look{Width: 390, Height: 800})
	p.Type("alice\r")
	p.Await(`document.getElementById("login-error").textContent === "name is taken"`)
	p.Shoot("denied")
	p.Eval(`document.getElementById("name").value = "bob"`, nil)
	p.Type("\r")
	p.Await(`!document.getElementById("chat-view").hidden`)
}

// switchedAuth is an Authenticator that gives the answer that a test has set, and counts logins.
type switchedAuth struct {
	mu    sync.Mutex
	err   error
	tries int
}

func (d *switchedAuth) Authenticate(l *core.Login) {
	d.mu.Lock()
	d.tries++
	err := d.err
	d.mu.Unlock()
	l.Answer(err)
}

func (d *switchedAuth) set(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
}

func (d *switchedAuth) tried() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.tries
}

func (d *switchedAuth) guards(c *core.Config) { c.Authenticator = d }

// asks waits until the page shows the form for the login, and why.
func asks(p *browsertest.Page, why string) {
	p.Await(`!document.getElementById("login-view").hidden && document.getElementById("chat-view").hidden`)
	p.Await(`document.getElementById("login-error").textContent === ` + quoted(why))
}

// If a user is kicked or banned, the page shows why, and does not reconnect by itself. The draft
// stays.
func TestRemoved(t *testing.T) {
	b := browsertest.Start(t)
	door := new(switchedAuth)
	s := serve(t, "127.0.0.1:0", Config{}, door.guards)
	p := enter(t, b, s, "alice", browsertest.Look{})
	p.Type("a draft")
	for i, why := range []string{wire.Kicked, wire.Banned} {
		s.kick(why)
		asks(p, why)
		if n := door.tried(); n != 1+i {
			t.Errorf("%s: %d logins, want %d", why, n, 1+i)
		}
		p.Shoot("removed")
		p.Type("\r") // the password is there still
		p.Await(`!document.getElementById("chat-view").hidden && document.getElementById("draft").value === "a draft"`)
	}
}

// If a login is denied for a temporary reason, the page tries again, and shows each reason once.
func TestPassingDenials(t *testing.T) {
	b := browsertest.Start(t)
	door := new(switchedAuth)
	s := serve(t, "127.0.0.1:0", Config{}, door.guards)
	p := enter(t, b, s, "alice", browsertest.Look{})
	p.Type("a draft")
	p.Eval(`setInterval(() => { delay = 1; }, 1)`, nil) // the test has no time
	door.set(errors.New("server is busy, try again"))
	s.kick("too much sent, too fast")
	shows(p, "The connection is lost: too much sent, too fast. Trying to come back …")
	await(t, "the page tries again and again", func() bool { return door.tried() > 10 })
	door.set(errors.New(wire.NameTaken))
	shows(p, "The server does not let you in yet: name is taken. Trying again …")
	door.set(nil)
	shows(p, "Back in the room.")
	var told int
	p.Eval(`[...document.querySelectorAll("#lines > li")].filter((l) => l.textContent.includes("does not let you in yet")).length`, &told)
	if told != 2 {
		t.Errorf("told %d times, want once for each reason", told)
	}
	p.Await(`document.getElementById("draft").value === "a draft"`)
}

// If the password is wrong after a reconnect, the page asks for it at once.
func TestPasswordChanged(t *testing.T) {
	b := browsertest.Start(t)
	door := new(switchedAuth)
	s := serve(t, "127.0.0.1:0", Config{}, door.guards)
	p := enter(t, b, s, "alice", browsertest.Look{})
	door.set(errors.New(wire.WrongPassword))
	s.kick("your password was changed: log in again")
	asks(p, wire.WrongPassword)
	if n := door.tried(); n != 2 {
		t.Errorf("%d logins, want the first and one with the old password", n)
	}
	door.set(nil)
	p.Type("\r")
	p.Await(`!document.getElementById("chat-view").hidden`)
}

// The page has the same texts as the server for the reasons on which clients act.
func TestReasons(t *testing.T) {
	script, err := page.ReadFile("page/chat.js")
	if err != nil {
		t.Fatal(err)
	}
	for _, reason := range []string{wire.WrongPassword, wire.NameTaken, wire.Banned, wire.Kicked, wire.Removed, wire.NeedsTLS} {
		if !strings.Contains(string(script), quoted(reason)) {
			t.Errorf("chat.js does not know %q", reason)
		}
	}
}

// The page lists the files of other clients, and answers requests with an empty list.
func TestFiles(t *testing.T) {
	b := browsertest.Start(t)
	s := serve(t, "127.0.0.1:0", Config{})
	share := filed{name: "bob"}
	bob, err := client.Dial(t.Context(), client.Config{Server: s.plain, User: "bob", Password: "x", Files: &share})
	if err != nil {
		t.Fatal(err)
	}
	defer bob.Close()
	p := enter(t, b, s, "alice", browsertest.Look{})
	p.Await(`document.querySelectorAll("#names button").length === 2`)
	p.Eval(`[...document.querySelectorAll("#names button")].find((b) => b.textContent === "bob").click()`, nil)
	p.Await(`[...document.querySelectorAll(".files li")].map((l) => l.textContent).join("|") === "a b.txt|<b>.txt"`)
	p.Shoot("files")
	p.Eval(`1`, nil)
	if err := bob.File(0, "alice", ""); err != nil {
		t.Fatal(err)
	}
	await(t, "the page answers one who asks for its files", share.ended.Load)
}

// Lines that come while the page is not visible are counted, and their beginning is marked.
func TestUnread(t *testing.T) {
	b := browsertest.Start(t)
	s := serve(t, "127.0.0.1:0", Config{})
	bob := join(t, s, "bob")
	p := enter(t, b, s, "alice", browsertest.Look{})
	hidden := func(is string) {
		p.Eval(`(Object.defineProperty(document, "hidden", { value: `+is+`, configurable: true }), document.dispatchEvent(new Event("visibilitychange")), 0)`, nil)
	}
	hidden("true")
	bob.Say("one")
	bob.Say("two")
	p.Await(`document.title === "(2) chat"`)
	p.Await(`document.querySelectorAll(".unread").length === 1 && document.querySelector(".unread").nextElementSibling.textContent.endsWith("one")`)
	hidden("false")
	p.Await(`document.title === "chat"`)
	p.Shoot("unread")
	hidden("true")
	bob.Say("three")
	p.Await(`document.querySelectorAll(".unread").length === 1 && document.querySelector(".unread").nextElementSibling.textContent.endsWith("three")`)
}
