package report

import (
	"fmt"
	"math"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"chatbench/bench/record"
)

// geometry is what is wrong with the page as it is laid out: it scrolls
// sideways, a label lies over another, or outside its picture.
const geometry = `(() => {
  const wrong = [], slack = 2;
  for (const d of document.querySelectorAll("details")) d.open = true;
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) {
    const wide = [...document.body.querySelectorAll("*")].filter(e => e.getBoundingClientRect().right > root.clientWidth + 1 && !e.closest(".scroll"));
    wrong.push("scrolls sideways: " + root.scrollWidth + " of " + root.clientWidth + " px, " + wide.slice(0, 3).map(e => e.outerHTML.slice(0, 120)).join(" | "));
  }
  for (const svg of document.querySelectorAll("svg")) {
    const frame = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll("text")].map(e => ({e, r: e.getBoundingClientRect(), s: e.lastChild ? e.lastChild.data : ""})).filter(t => t.r.width > 0);
    const what = (svg.getAttribute("aria-label") || "a picture").slice(0, 70);
    texts.forEach((a, i) => {
      if (a.r.left < frame.left - 1 || a.r.right > frame.right + 1 || a.r.top < frame.top - slack || a.r.bottom > frame.bottom + slack)
        wrong.push(what + ": " + a.s + " is outside");
      for (const b of texts.slice(i + 1)) {
        const across = Math.min(a.r.right, b.r.right) - Math.max(a.r.left, b.r.left), down = Math.min(a.r.bottom, b.r.bottom) - Math.max(a.r.top, b.r.top);
        if (across > slack && down > slack) wrong.push(what + ": " + a.s + " over " + b.s);
      }
    });
  }
  return wrong;
})()`

// access finds what a reader who cannot see the page would miss.
const access = `(() => {
  const wrong = [];
  const say = (all, what) => all.forEach(e => wrong.push(what + ": " + e.outerHTML.slice(0, 80)));
  const every = s => [...document.querySelectorAll(s)];
  say(every("svg:not([aria-hidden])").filter(e => e.getAttribute("role") !== "img" || (e.getAttribute("aria-label") || "").length < 20), "a picture without a sentence");
  say(every("th:not([scope])"), "a header without scope");
  say(every("input").filter(e => !e.closest("label").textContent.trim()), "a switch without a name");
  const levels = every("h1, h2, h3, h4").map(e => +e.tagName[1]);
  if (levels.filter(l => l === 1).length !== 1) wrong.push("not one h1");
  levels.forEach((l, i) => { if (i && l > levels[i - 1] + 1) wrong.push("from h" + levels[i - 1] + " to h" + l); });
  return wrong;
})()`

// pages is the pages of runs of every kind. Under the race detector, which does not look into the browser,
// there is one.
func pages(t *testing.T) map[string][]byte {
	t.Helper()
	all := make(map[string][]byte)
	invented := map[string]*record.Run{"sample": sample(t)}
	if !raceEnabled {
		invented["many"], invented["alone"] = manyArms(t), singleArmRun(t)
	}
	for name, run := range invented {
		page, err := Summarize(run, nil).html(run)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = page
	}
	if raceEnabled {
		return all
	}
	for _, dir := range references(t) { // broadcast, relay, idle
		all[filepath.Base(dir)] = measured(t, dir).page
	}
	return all
}

// manyArms is a run of fourteen arms with long names, costs from 0.3 to 40
// times the reference's, and rounds that are void.
func manyArms(t *testing.T) *record.Run {
	t.Helper()
	run := sample(t)
	rounds := run.Rounds
	for i := range 11 {
		name := fmt.Sprintf("process-of-many@spawn-ahead=%d", i)
		run.Manifest.Arms = append(run.Manifest.Arms, record.Arm{Name: name, Backend: "process"})
		factor := []float64{0.3, 0.5, 0.7, 0.9, 0.99, 1, 1.01, 1.1, 1.3, 2, 40}[i]
		for _, r := range rounds {
			if r.Arm != "goroutine" {
				continue
			}
			for _, stream := range []string{record.StreamDue, record.StreamSent, record.StreamLag} {
				key := record.Key{Load: r.Load, Arm: r.Arm, Stream: stream, StartedMs: r.StartedMs}
				h := run.Histograms[key]
				key.Arm = name
				run.Histograms[key] = h
			}
			r.Arm = name
			cpu, rss := int64(float64(*r.Usage.CPU)*factor), int64(float64(*r.Usage.RSS)*factor)
			user, kernel := cpu/5, cpu-cpu/5
			r.Usage.CPU, r.Usage.CPUUser, r.Usage.CPUKernel, r.Usage.RSS, r.Usage.PSS = &cpu, &user, &kernel, &rss, &rss
			if r.Round == i%8+1 {
				r.Void = []record.Reason{record.Disturbed, record.Steal}
			}
			run.Rounds = append(run.Rounds, r)
		}
	}
	return run
}

// singleArmRun is a run of one arm and its A/A arm.
func singleArmRun(t *testing.T) *record.Run {
	t.Helper()
	run := sample(t)
	run.Manifest.Arms = run.Manifest.Arms[1:]
	var rounds []record.Round
	for _, r := range run.Rounds {
		if r.Arm != "epoll" {
			rounds = append(rounds, r)
		}
	}
	run.Rounds = rounds
	return run
}

// TestPage looks at the page of every kind of run, on a phone and on a desk, in
// light and in dark and on paper.
func TestPage(t *testing.T) {
	b := startBrowser(t)
	for name, page := range pages(t) {
		for _, as := range []seen{{390, false, false}, {390, true, false}, {1280, false, false}, {1280, true, false}, {800, true, true}} {
			b.open(page, as)
			b.Shoot(name + "-" + as.String())
			for _, script := range []string{geometry, access} {
				var wrong []string
				b.Eval(script, &wrong)
				for _, w := range wrong[:min(len(wrong), 8)] {
					t.Errorf("%s, %v: %s", name, as, w)
				}
			}
			for _, line := range b.noise() {
				t.Errorf("%s, %v: %s", name, as, line)
			}
		}
	}
}

// TestPrinted: paper is white, and shows what is folded on a screen.
func TestPrinted(t *testing.T) {
	b := startBrowser(t)
	run := sample(t)
	page, err := Summarize(run, nil).html(run)
	if err != nil {
		t.Fatal(err)
	}
	b.open(page, seen{800, true, true})
	var paper string
	b.Eval(`getComputedStyle(document.body).backgroundColor`, &paper)
	if paper != "rgb(255, 255, 255)" {
		t.Errorf("paper is %s", paper)
	}
	const folded = `[...document.querySelectorAll("details:not([open]) table")].filter(e => !e.checkVisibility({contentVisibilityAuto: true}) || e.getBoundingClientRect().height < 20).length`
	var hidden int
	if b.Eval(folded, &hidden); hidden != 0 {
		t.Errorf("%d tables are folded on paper", hidden)
	}
	b.open(page, seen{800, false, false})
	if b.Eval(folded, &hidden); hidden == 0 {
		t.Error("nothing is folded on a screen")
	}
}

// TestSwitches: a switch removes its arm from the plots below it, and nothing
// else.
func TestSwitches(t *testing.T) {
	b := startBrowser(t)
	run := sample(t)
	page, err := Summarize(run, nil).html(run)
	if err != nil {
		t.Fatal(err)
	}
	b.open(page, seen{1280, false, false})
	const lines = `[...document.querySelector(".curves").querySelectorAll("g.arm")].filter(e => getComputedStyle(e).display !== "none").length`
	var n int
	if b.Eval(lines, &n); n != 3 {
		t.Fatalf("%d lines of three arms", n)
	}
	for _, step := range []struct {
		click string
		left  int
	}{{"input.s0", 2}, {"input.s1", 1}, {"input.s1", 2}, {"button:nth-of-type(2)", 0}, {"button:nth-of-type(1)", 3}} {
		b.Eval(fmt.Sprintf(`document.querySelector(".curves .switches").querySelector("%s").click()`, step.click), nil)
		if b.Eval(lines, &n); n != step.left {
			t.Errorf("after %s %d lines, want %d", step.click, n, step.left)
		}
	}
}

// TestContrast: text on paper and on shaded rows has a contrast of 4.5 at least,
// lines one of 3 (WCAG 2.2, 1.4.3 and 1.4.11), in light and in dark.
func TestContrast(t *testing.T) {
	css := asset("style.css")
	blocks := regexp.MustCompile(`(?s):root \{(.*?)\}`).FindAllStringSubmatch(css, -1)
	if len(blocks) != 2 {
		t.Fatalf("%d sets of colours, want light and dark", len(blocks))
	}
	for i, block := range blocks {
		colours := make(map[string]float64)
		for _, m := range regexp.MustCompile(`--(\w+): (#\w+)`).FindAllStringSubmatch(block[1], -1) {
			colours[m[1]] = luminance(t, m[2])
		}
		least := map[string]float64{"ink": 4.5, "soft": 4.5, "link": 4.5, "good": 4.5, "bad": 4.5, "yes": 4.5, "no": 4.5}
		for c := range 7 {
			least[fmt.Sprintf("c%d", c)] = 3
		}
		for name, want := range least {
			for _, under := range []string{"paper", "shade"} {
				a, b := colours[name]+0.05, colours[under]+0.05
				if got := max(a, b) / min(a, b); got < want || colours[name] == 0 && name != "ink" {
					t.Errorf("set %d: %s on %s has a contrast of %.2f, want %g", i, name, under, got, want)
				}
			}
		}
	}
}

// luminance is the relative luminance of a colour as WCAG defines it.
func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	hex = strings.TrimPrefix(hex, "#")
	if len(hex) == 3 {
		hex = string([]byte{hex[0], hex[0], hex[1], hex[1], hex[2], hex[2]})
	}
	v, err := strconv.ParseUint(hex, 16, 24)
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for i, weight := range []float64{0.0722, 0.7152, 0.2126} {
		c := float64(v>>(8*i)&0xff) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}

// TestRatioAxis: every figure has the scale that it needs: one that is far off does
// not compress the others, and ratios within twice the reference are never cut.
func TestRatioAxis(t *testing.T) {
	made := func(ratios ...float64) (vs []*Versus) {
		for _, r := range ratios {
			vs = append(vs, &Versus{Ratio: r, Low: 0.95 * r, High: 1.05 * r})
		}
		return vs
	}
	for _, c := range []struct {
		ratios    []float64
		low, high float64 // about
		log       bool
	}{
		{[]float64{1, 1.01}, 0.94, 1.07, false},
		{[]float64{0.9, 1, 1.1, 1.2, 71}, 0.85, 1.27, false},
		{[]float64{1, 1, 1, 1, 1.7}, 0.94, 1.81, false},
		{[]float64{1.1, 71}, 0.84, 85, true},
		{[]float64{0.3, 0.5, 2, 4, 9}, 0.25, 10.5, true},
	} {
		a := ratioAxis(made(c.ratios...), 0, 100)
		if a.Log != c.log || math.Abs(a.Low/c.low-1) > 0.06 || math.Abs(a.High/c.high-1) > 0.06 {
			t.Errorf("%v: %+v, want %+v", c.ratios, a, c)
		}
	}
	if got := barEnd([]float64{1, 2, 2, 2, 100}); got != 6 {
		t.Errorf("bars end at %g, want 6", got)
	}
	if got := barEnd([]float64{1, 100}); got != 100 {
		t.Errorf("two bars end at %g, want 100", got)
	}
}
