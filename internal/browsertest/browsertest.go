// Package browsertest opens pages in a headless Chromium, for tests.
//
// It is a thin layer on chromedp: it finds the browser, skips the test if there is none,
// records what a page writes to its console and requests from the network, and has a
// timeout that is long enough for a busy machine. A Page belongs to one goroutine.
package browsertest

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// timeout is long enough for a busy machine. It does not say how long a page may take.
const timeout = 2 * time.Minute

// Browser is a browser that ends with its test.
type Browser struct {
	t   testing.TB
	ctx context.Context
}

// Option changes how a browser is started.
type Option = chromedp.ExecAllocatorOption

// AnyCertificate makes a browser accept any certificate, such as those of tests.
var AnyCertificate Option = chromedp.Flag("ignore-certificate-errors", true)

// Start starts a browser. It skips the test if there is no Chromium.
func Start(t testing.TB, options ...Option) *Browser {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("there is no Chromium, so pages are not tested: make browser installs it")
	}
	// The browser is killed in the end and then leaves behind what it has made in TMPDIR. The
	// path is short, since the browser makes a socket in it.
	dir, err := os.MkdirTemp("", "browser")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	options = append(append(chromedp.DefaultExecAllocatorOptions[:], chromedp.Env("TMPDIR="+dir),
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("hide-scrollbars", true), chromedp.WSURLReadTimeout(timeout)), options...)
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting %s: %v", path, err)
	}
	return &Browser{t, ctx}
}

// Page is one tab, with cookies and storage of its own.
type Page struct {
	t   testing.TB
	ctx context.Context

	mu    sync.Mutex
	noise []string
}

// Look is how a page is displayed. The zero Look is a wide screen with light colours.
type Look struct {
	Width, Height int // CSS pixels; 0: 1280 × 900
	Dark          bool
	Print         bool
}

func (l Look) String() string {
	text := fmt.Sprintf("%d px", l.width())
	if l.Dark {
		text += ", dark"
	}
	if l.Print {
		text += ", print"
	}
	return text
}

func (l Look) width() int {
	if l.Width == 0 {
		return 1280
	}
	return l.Width
}

// Page opens a tab.
func (b *Browser) Page() *Page {
	b.t.Helper()
	p := &Page{t: b.t}
	var cancel context.CancelFunc
	p.ctx, cancel = chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(p.listen))
	b.t.Cleanup(cancel)
	// The first action makes the tab, which ends with the action's context: so no timeout.
	if err := chromedp.Do(p.ctx); err != nil {
		b.t.Fatal(err)
	}
	call(p, runtime.Enable, cdp.Empty{})
	call(p, log.Enable, cdp.Empty{})
	call(p, network.Enable, network.EnableParams{})
	return p
}

// listen records what a page writes to its console and requests.
func (p *Page) listen(event any) {
	text := ""
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		text = "console: "
		for _, arg := range e.Args {
			text += string(arg.Value) + arg.Description + " "
		}
	case *runtime.EventExceptionThrown:
		text = "exception: " + e.ExceptionDetails.Text
		if thrown := e.ExceptionDetails.Exception; thrown != nil {
			text += " " + thrown.Description
		}
	case *log.EventEntryAdded:
		text = "log: " + e.Entry.Text + " " + e.Entry.URL
	case *network.EventRequestWillBeSent:
		text = "request: " + e.Request.URL
	}
	if text != "" {
		p.mu.Lock()
		p.noise = append(p.noise, text)
		p.mu.Unlock()
	}
}

// Noise returns what the page wrote to its console and requested from the network since it
// was opened or Noise was called, including the request for the page itself.
func (p *Page) Noise() []string {
	p.t.Helper()
	p.Eval("0", nil) // earlier events arrive before its result
	p.mu.Lock()
	defer p.mu.Unlock()
	said := p.noise
	p.noise = nil
	return said
}

// do carries out an action, with the timeout.
func do[T any](p *Page, action chromedp.Action[T]) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, timeout)
	defer cancel()
	v, err := chromedp.Run(ctx, action)
	if err != nil {
		p.t.Fatal(err)
	}
	return v
}

// call carries out a command of the browser's protocol.
func call[P, R any](p *Page, command cdp.Command[P, R], params P) R {
	p.t.Helper()
	return do(p, func(ctx context.Context, t *chromedp.Target) (R, error) { return cdp.Call(ctx, t, command, params) })
}

// Open goes to a URL and waits until the page is loaded.
func (p *Page) Open(url string, as Look) {
	p.t.Helper()
	height := as.Height
	if height == 0 {
		height = 900
	}
	scheme, media := "light", "screen"
	if as.Dark {
		scheme = "dark"
	}
	if as.Print {
		media = "print"
	}
	call(p, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: int64(as.width()), Height: int64(height), DeviceScaleFactor: 1, Mobile: as.width() < 600,
	})
	call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Media: media, Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	do(p, chromedp.Navigate(url))
}

// Eval evaluates a JavaScript expression and stores its value in into, which may be nil.
func (p *Page) Eval(expression string, into any) {
	p.t.Helper()
	text := do(p, chromedp.Evaluate[string]("JSON.stringify((() => ("+expression+"))() ?? null)"))
	if into == nil {
		return
	}
	if err := json.Unmarshal([]byte(text), into); err != nil {
		p.t.Fatalf("%s is %s: %v", expression, text, err)
	}
}

// Await waits until a JavaScript expression is true.
func (p *Page) Await(expression string) {
	p.t.Helper()
	for deadline := time.Now().Add(timeout); ; time.Sleep(5 * time.Millisecond) {
		var is bool
		if p.Eval("Boolean("+expression+")", &is); is {
			return
		}
		if time.Now().After(deadline) {
			var text string
			p.Eval("document.body.innerText", &text)
			p.t.Fatalf("timed out waiting for %s\nthe page shows:\n%s", expression, text)
		}
	}
}

// Type presses keys; "\r" is Enter.
func (p *Page) Type(keys string) {
	p.t.Helper()
	do(p, chromedp.KeyEvent(keys))
}

// Compose enters a text into the focused element as an input method does: it is underlined,
// and may still change until Commit.
func (p *Page) Compose(text string) {
	p.t.Helper()
	n := int64(len([]rune(text)))
	call(p, input.ImeSetComposition, input.ImeSetCompositionParams{Text: text, SelectionStart: n, SelectionEnd: n})
}

// Commit ends a composition with a text.
func (p *Page) Commit(text string) {
	p.t.Helper()
	call(p, input.InsertText, input.InsertTextParams{Text: text})
}

// Screenshot returns the whole page as a PNG.
func (p *Page) Screenshot() []byte {
	p.t.Helper()
	return do(p, chromedp.FullScreenshot(100))
}

var shots = flag.String("screenshots", "", "write screenshots of the tested pages to this directory")

// Shoot writes a screenshot for a person to look at, if the tests are run with
// -screenshots DIR. Blanks in the name become dashes.
func (p *Page) Shoot(name string) {
	p.t.Helper()
	if *shots == "" {
		return
	}
	name = strings.NewReplacer(", ", "-", " ", "-", "/", "-").Replace(name) + ".png"
	if err := os.WriteFile(filepath.Join(*shots, name), p.Screenshot(), 0o644); err != nil {
		p.t.Fatal(err)
	}
}
