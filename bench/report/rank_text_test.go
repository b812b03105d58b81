package report

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"chatbench/bench/record"
)

// text is the output on a terminal of that many columns.
func text(s *Summary, style Style) string {
	var out bytes.Buffer
	s.Text(&out, style, "")
	return out.String()
}

// rankedName finds a name behind its rank.
var rankedName = regexp.MustCompile(`(?m)^ (?: [0-9–]|[0-9]{2}) (\S+) `)

// TestRankingFits: whatever the width, no line of the rankings is wider, every
// arm of the committed runs has its line, with a name that no other has, and all of it
// stands in 30 lines of 80 columns before the details begin, if there are three loads.
func TestRankingFits(t *testing.T) {
	dirs := references(t)
	for _, dir := range dirs {
		s := measured(t, dir).summary
		for _, width := range []int{60, 80, 120} {
			head, _, _ := strings.Cut(text(s, Style{Width: width}), "\n"+s.Loads[0].Name+": ")
			lines := strings.Split(head, "\n")
			if len(lines) > 30+6*max(0, len(s.Loads)-3) && width >= 80 {
				t.Errorf("%s: %d lines before the details on %d columns\n%s", dir, len(lines), width, head)
			}
			for _, line := range lines {
				if columns(line) > width {
					t.Errorf("%s: %d columns, there are %d: %q", dir, columns(line), width, line)
				}
			}
			rows := make(map[string]int) // lines by the name that stands behind the rank
			for _, m := range rankedName.FindAllStringSubmatch(head, -1) {
				rows[m[1]]++
			}
			if want := len(s.Loads[0].Ranking.Rows); len(rows) != want {
				t.Errorf("%s, %d columns: %d names, %d arms\n%s", dir, width, len(rows), want, head)
			}
			intervals, known, whys := strings.Contains(head, "–1."), false, false
			for _, row := range s.Loads[0].Ranking.Rows {
				known = known || row.Why != ""
				whys = whys || row.Why != "" && strings.Contains(head, row.Why)
			}
			if intervals != (width == 120) || width == 120 && whys != known {
				t.Errorf("%s, %d columns: intervals %v, reasons %v where there are some: %v\n%s", dir, width, intervals, whys, known, head)
			}
		}
	}
}

// TestRankingColour: arms of one letter have one colour, others another, and a
// terminal without colours gets none.
func TestRankingColour(t *testing.T) {
	s := Summarize(sample(t), nil)
	for i := range s.Loads {
		s.Loads[i].Ranking.Rows[0].Letters, s.Loads[i].Ranking.Rows[1].Letters = "a", "b"
	}
	coloured := text(s, Style{Color: true})
	for _, want := range []string{colours[0] + "epoll ", colours[1] + "goroutine" + reset} {
		if !strings.Contains(coloured, want) {
			t.Errorf("no %q in %q", want, coloured)
		}
	}
	if strings.Contains(text(s, Style{}), "\x1b") {
		t.Error("colours where there are none")
	}
}

// TestLongNames: names are cut to the columns they may take, also those whose
// characters take two.
func TestLongNames(t *testing.T) {
	run := sample(t)
	name := "服务器服务器服务器服务器-one"
	run.Manifest.Arms[0].Name = name
	for i := range run.Rounds {
		if r := &run.Rounds[i]; r.Arm == "epoll" {
			r.Arm = name
		}
	}
	head, _, _ := strings.Cut(text(Summarize(run, nil), Style{}), "\nfixed1000: ")
	var at []int
	for line := range strings.Lines(head[strings.Index(head, "the least first"):]) {
		if strings.Contains(line, "服务器服务器服…") || strings.HasPrefix(line, "  2 goroutine") {
			at = append(at, columns(line[:regexp.MustCompile(`[0-9]{4}`).FindStringIndex(line)[0]]))
		}
	}
	if len(at) != 2 || at[0] != at[1] {
		t.Errorf("figures begin in columns %v of\n%s", at, head)
	}
	for text, want := range map[string]int{"": 0, "a–b": 3, "服务": 4, "é": 1} {
		if got := columns(text); got != want {
			t.Errorf("%q takes %d columns, want %d", text, got, want)
		}
	}
	for most, want := range map[int]string{5: "abcde", 4: "abc…", 1: "…"} {
		if got := cut("abcde", most); got != want {
			t.Errorf("cut to %d: %q", most, got)
		}
	}
	if got := wrapped("one two three", 7, 0); got != "one two\nthree" {
		t.Errorf("%q", got)
	}
	for letters, want := range map[string]string{"": "", "abc": "abc", "abcd": "a–d", "abce": "abce"} {
		if got := compact(letters); got != want {
			t.Errorf("%q: %q", letters, got)
		}
	}
}

// TestAlone: of a backend beside itself there is no ranking, but what was
// measured and what the run would find.
func TestAlone(t *testing.T) {
	run := sample(t)
	run.Manifest.Arms = run.Manifest.Arms[1:]
	got := text(Summarize(run, nil), Style{})
	if strings.Contains(got, "the least first") || strings.Count(strings.Join(strings.Fields(got), " "), "Four times in five") != 2 {
		t.Error(got)
	}
	head := strings.Join(strings.Fields(got), " ")
	for _, want := range []string{"goroutine, at 1000 messages/s: CPU per delivery 6943 µs/1000, p50", "this run finds a difference of: CPU per delivery 2."} {
		if !strings.Contains(head, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// TestMarkdown: tables have as many cells in each row, no name becomes markup,
// and what failed is said.
func TestMarkdown(t *testing.T) {
	run := sample(t)
	run.Manifest.Name = "a|b <script> [x](y) *z*"
	run.Rounds[1].Traffic.Lost, run.Rounds[1].Void = 3, []record.Reason{record.Lost}
	var out bytes.Buffer
	Summarize(run, nil).Markdown(&out, run)
	bars := regexp.MustCompile(`(^|[^\\])\|`)
	rows := 0
	for line := range strings.Lines(out.String()) {
		if !strings.HasPrefix(line, "|") {
			continue
		}
		if rows++; len(bars.FindAllString(line, -1)) != 8 {
			t.Errorf("not 7 cells: %q", line)
		}
	}
	if rows != 2*4 {
		t.Errorf("%d rows of tables in\n%s", rows, &out)
	}
	for _, want := range []string{
		`a\|b \<script\> \[x\](y) \*z\*`, "**NOT CORRECT: ", "\n- At 1000 messages/s: epoll has the least CPU per delivery, ",
		"\n| 2 | goroutine | 6943 | 1.2", "What to keep in mind\n\n- the check \"every round counts\" failed: 1 of 48 void: 1 lost",
		"checks hold. Measured 2026-03-04 05:06 UTC on Some CPU (2 CPUs), Linux 6.0, go1.26, bbr; server on CPU 0, generator on CPU 1; commit 0123456789ab; reference goroutine, seed 7.",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}
