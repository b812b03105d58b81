package report

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// browser is a headless Chromium, spoken to in its own protocol over two pipes:
// JSON, each message ended by a zero octet. One goroutine at a time.
type browser struct {
	t       *testing.T
	in      *os.File
	out     *bufio.Reader
	pipe    *os.File // below out
	next    int
	session string
	events  []message
}

type message struct {
	ID        int             `json:"id"`
	Method    string          `json:"method"`
	Params    json.RawMessage `json:"params"`
	Result    json.RawMessage `json:"result"`
	Error     *struct{ Message string }
	SessionID string `json:"sessionId"`
}

// patience is for a machine that is busy, not for what a page may take.
const patience = 2 * time.Minute

// startBrowser skips the test where there is no Chromium.
func startBrowser(t *testing.T) *browser {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("no Chromium: the page is not looked at; make browser installs one")
	}
	hear, in := pipe(t)
	out, say := pipe(t)
	cmd := exec.Command(path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--hide-scrollbars", "--disable-dev-shm-usage", "--remote-debugging-pipe", "--user-data-dir="+t.TempDir())
	cmd.ExtraFiles = []*os.File{hear, say} // 3 and 4, as the protocol has it
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	hear.Close()
	say.Close()
	b := &browser{t: t, in: in, out: bufio.NewReader(out), pipe: out}
	t.Cleanup(func() {
		b.session = ""
		b.call("Browser.close", nil, nil) // it still writes to its directory until it ends
		cmd.Wait()
		in.Close()
		out.Close()
	})
	var target struct{ TargetID string }
	b.call("Target.createTarget", args{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.call("Target.attachToTarget", args{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		b.call(domain+".enable", nil, nil)
	}
	return b
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	return r, w
}

type args map[string]any

// call asks the browser for something and waits for the answer; what it says of
// its own accord meanwhile is kept.
func (b *browser) call(method string, params args, result any) {
	b.t.Helper()
	b.next++
	request := args{"id": b.next, "method": method}
	if params != nil {
		request["params"] = params
	}
	if b.session != "" {
		request["sessionId"] = b.session
	}
	text, err := json.Marshal(request)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.in.Write(append(text, 0)); err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	for {
		m := b.read(method)
		if m.ID != b.next {
			b.events = append(b.events, m)
			continue
		}
		if m.Error != nil {
			b.t.Fatalf("%s: %s", method, m.Error.Message)
		}
		if result != nil {
			if err := json.Unmarshal(m.Result, result); err != nil {
				b.t.Fatalf("%s: %v", method, err)
			}
		}
		return
	}
}

func (b *browser) read(waits string) (m message) {
	b.t.Helper()
	b.pipe.SetReadDeadline(time.Now().Add(patience))
	text, err := b.out.ReadBytes(0)
	if err == nil {
		err = json.Unmarshal(bytes.TrimSuffix(text, []byte{0}), &m)
	}
	if err != nil {
		b.t.Fatalf("waiting for %s: %v", waits, err)
	}
	return m
}

// seen is how a page is looked at.
type seen struct {
	width int
	dark  bool
	print bool
}

func (s seen) String() string {
	text := fmt.Sprintf("%d px, light", s.width)
	if s.dark {
		text = fmt.Sprintf("%d px, dark", s.width)
	}
	if s.print {
		text += ", print"
	}
	return text
}

// open shows a page and waits until all of it is there.
func (b *browser) open(page []byte, as seen) {
	b.t.Helper()
	path := filepath.Join(b.t.TempDir(), "page.html")
	if err := os.WriteFile(path, page, 0o644); err != nil {
		b.t.Fatal(err)
	}
	scheme, media := "light", "screen"
	if as.dark {
		scheme = "dark"
	}
	if as.print {
		media = "print"
	}
	b.call("Emulation.setDeviceMetricsOverride", args{"width": as.width, "height": 900, "deviceScaleFactor": 1, "mobile": as.width < 600}, nil)
	b.call("Emulation.setEmulatedMedia", args{"media": media, "features": []args{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
	b.events = nil
	b.call("Page.navigate", args{"url": "file://" + path}, nil)
	for !b.happened("Page.loadEventFired") {
		b.events = append(b.events, b.read("the page"))
	}
}

func (b *browser) happened(method string) bool {
	for _, e := range b.events {
		if e.Method == method {
			return true
		}
	}
	return false
}

// noise is what a page said on the console and asked of the network since it
// was opened, itself left out.
func (b *browser) noise() (lines []string) {
	b.eval("0", nil) // so that all is here that was said before
	for _, e := range b.events {
		switch e.Method {
		case "Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded":
			lines = append(lines, e.Method+": "+string(e.Params))
		case "Network.requestWillBeSent":
			var p struct {
				Type    string
				Request struct{ URL string }
			}
			if json.Unmarshal(e.Params, &p); p.Type != "Document" || !strings.HasPrefix(p.Request.URL, "file://") {
				lines = append(lines, "request: "+p.Request.URL)
			}
		}
	}
	return lines
}

// eval works out an expression in the page.
func (b *browser) eval(expression string, into any) {
	b.t.Helper()
	var out struct {
		Result struct{ Value json.RawMessage }
		Thrown *json.RawMessage `json:"exceptionDetails"`
	}
	b.call("Runtime.evaluate", args{"expression": expression, "returnByValue": true}, &out)
	if out.Thrown != nil {
		b.t.Fatalf("%s: %s", expression, *out.Thrown)
	}
	if into != nil {
		if err := json.Unmarshal(out.Result.Value, into); err != nil {
			b.t.Fatalf("%s: %v", expression, err)
		}
	}
}

// shoot writes a picture of the whole page.
func (b *browser) shoot(path string) {
	b.t.Helper()
	var shot struct{ Data string }
	b.call("Page.captureScreenshot", args{"format": "png", "captureBeyondViewport": true}, &shot)
	data, err := base64.StdEncoding.DecodeString(shot.Data)
	if err == nil {
		err = os.WriteFile(path, data, 0o644)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}
