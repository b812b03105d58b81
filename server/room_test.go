package server

import (
	"testing"
	"time"

	"chatbench/backends"
	"chatbench/backends/epoll"
	"chatbench/backends/goroutine"
	"chatbench/backends/process"
	"chatbench/client"
	"chatbench/internal/browsertest"
)

// TestOneRoomByTLS: two browsers and a client of the terminal's kind are in one room, all
// by TLS, whatever the transport.
func TestOneRoomByTLS(t *testing.T) {
	b := browsertest.Start(t, browsertest.AnyCertificate)
	for _, transport := range []backends.Backend{epoll.Backend, goroutine.Backend, process.Backend} {
		t.Run(transport.Name, func(t *testing.T) {
			certFile, keyFile, trust := certificate(t)
			s := launch(t, func(o *Options) {
				o.Backend, o.TLSCert, o.TLSKey, o.Web = transport, certFile, keyFile, "127.0.0.1:0"
			})
			alice, bob := visit(b, s.Page(), "alice"), visit(b, s.Page(), "bob")
			carol, err := client.Dial(t.Context(), client.Config{Server: s.Addr().String(), User: "carol", Password: "x", TLS: trust})
			if err != nil {
				t.Fatal(err)
			}
			defer carol.Close()
			alice.Type("hello from a browser\r")
			bob.Await(`document.getElementById("lines").textContent.includes("hello from a browser")`)
			listen(t, carol, client.Said{From: "alice", Text: "hello from a browser"})
			if err := carol.Say("hello from a terminal"); err != nil {
				t.Fatal(err)
			}
			for _, page := range []*browsertest.Page{alice, bob} {
				page.Await(`document.getElementById("lines").textContent.includes("hello from a terminal")`)
				page.Eval(`document.getElementById("leave").click()`, nil)
			}
		})
	}
}

// visit opens the page and logs in.
func visit(b *browsertest.Browser, url, name string) *browsertest.Page {
	p := b.Page()
	p.Open(url, browsertest.Look{})
	p.Eval(`document.getElementById("name").focus()`, nil)
	p.Type(name)
	p.Eval(`document.getElementById("password").focus()`, nil)
	p.Type("x\r")
	p.Await(`document.activeElement.id === "draft"`)
	return p
}

// listen waits until a client hears something.
func listen(t *testing.T, c *client.Client, what client.Event) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		select {
		case e, ok := <-c.Events():
			if !ok {
				t.Fatalf("the conversation ended: %v", c.Err())
			}
			if e == what {
				return
			}
		case <-deadline:
			t.Fatalf("nobody says %v", what)
		}
	}
}
