package admin

import (
	"flag"
	"os"
	"strings"
	"testing"

	"chatbench/internal/browsertest"
)

var shot = flag.String("shot", "", "`FILE` for a screenshot of the live page")

// The page shows what goes on, and goes on doing so; it asks nobody else for anything
// and has nothing to complain of. When the server ends, it says so.
func TestPage(t *testing.T) {
	b := browsertest.Start(t)
	s, url, draining := served(t, nil)
	p := b.Page()
	p.Open(url+"/", browsertest.Look{})
	row := func(table, name string) string {
		return "[...document.querySelectorAll('#" + table + " tr')].find(r => r.cells[0].textContent === '" + name + "')?.cells[1].textContent"
	}
	p.Await("document.querySelector('#state').textContent === 'serving'")
	p.Await(row("now", "in the room") + " === '1'")
	p.Await(row("total", "sent") + " === '5.0 MiB'")
	p.Await(row("logins", "wrong") + " === '2'")
	p.Await("document.querySelector('#backend').textContent === 'fake'")
	s.cfg.Sources.Transport.Accepts.Add(1000)
	p.Await(row("total", "connections") + " === '1,011'")
	p.Await("document.querySelector('#line').getAttribute('points')?.split(' ').length > 1")
	for _, as := range []browsertest.Look{{}, {Width: 360}, {Dark: true}} {
		var wide bool
		p.Open(url+"/", as)
		p.Await(row("now", "in the room") + " === '1'")
		if p.Eval("document.documentElement.scrollWidth > innerWidth", &wide); wide {
			t.Errorf("the page is wider than %v", as)
		}
	}
	if *shot != "" {
		p.Open(url+"/", browsertest.Look{})
		p.Await("document.querySelector('#line').getAttribute('points')?.split(' ').length > 2")
		if err := os.WriteFile(*shot, p.Screenshot(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	draining.Store(true)
	p.Await("document.querySelector('#state.bad')?.textContent === 'draining'")
	for _, said := range p.Noise() {
		if !strings.HasPrefix(said, "request: "+url) {
			t.Errorf("the page: %s", said)
		}
	}
	s.Close()
	p.Await("document.querySelector('#state').textContent === 'no connection to chatd'")
}
