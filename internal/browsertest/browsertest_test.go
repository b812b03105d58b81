package browsertest

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A page's console output and requests are recorded, keys and compositions arrive, and two
// pages share no storage.
func TestPage(t *testing.T) {
	b := Start(t)
	path := filepath.Join(t.TempDir(), "page.html")
	html := `<meta name="viewport" content="width=device-width"><style>@media (prefers-color-scheme: dark) { body { color: red } }</style>
<input id="i" autofocus><script>console.log("said", 1); document.cookie = "a=1"; localStorage.x ??= Math.random();</script>`
	if err := os.WriteFile(path, []byte(html), 0o600); err != nil {
		t.Fatal(err)
	}
	p, other := b.Page(), b.Page()
	p.Open("file://"+path, Look{Width: 390, Dark: true})
	other.Open("file://"+path, Look{})
	if noise := p.Noise(); !slices.ContainsFunc(noise, func(s string) bool { return strings.HasPrefix(s, `console: "said"`) }) || len(noise) != 2 {
		t.Errorf("noise: %q", noise)
	}
	var width int
	var colour, x, y string
	p.Eval("innerWidth", &width)
	p.Eval("getComputedStyle(document.body).color", &colour)
	p.Eval("localStorage.x", &x)
	other.Eval("localStorage.x", &y)
	if width != 390 || colour != "rgb(255, 0, 0)" || x == y || x == "" {
		t.Errorf("width %d, colour %s, storage %q and %q", width, colour, x, y)
	}
	p.Eval(`document.getElementById("i").focus()`, nil)
	p.Type("ab")
	p.Compose("하")
	p.Compose("한")
	p.Commit("한")
	p.Await(`document.getElementById("i").value === "ab한"`)
	if png := p.Screenshot(); !bytes.HasPrefix(png, []byte("\x89PNG")) {
		t.Errorf("no picture: %.8q", png)
	}
}
