package report

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chatbench/internal/browsertest"
)

// browser shows pages that are files.
type browser struct {
	*browsertest.Page
	t   *testing.T
	url string // of the page that is shown
}

// startBrowser skips the test where there is no Chromium.
func startBrowser(t *testing.T) *browser {
	t.Helper()
	return &browser{Page: browsertest.Start(t).Page(), t: t}
}

// seen is how a page is displayed.
type seen struct {
	width int
	dark  bool
	print bool
}

func (s seen) look() browsertest.Look {
	return browsertest.Look{Width: s.width, Dark: s.dark, Print: s.print}
}

func (s seen) String() string { return s.look().String() }

// open shows a page and waits until all of it is there.
func (b *browser) open(page []byte, as seen) {
	b.t.Helper()
	path := filepath.Join(b.t.TempDir(), "page.html")
	if err := os.WriteFile(path, page, 0o644); err != nil {
		b.t.Fatal(err)
	}
	b.Noise() // of the page before
	b.url = "file://" + path
	b.Open(b.url, as.look())
}

// noise is what a page wrote to the console and requested from the network since it
// was opened, except itself.
func (b *browser) noise() (lines []string) {
	b.t.Helper()
	for _, line := range b.Noise() {
		if !strings.HasPrefix(line, "request: "+b.url) {
			lines = append(lines, line)
		}
	}
	return lines
}
