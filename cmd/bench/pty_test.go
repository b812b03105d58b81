package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/testscript"

	"chatbench/bench"
	"chatbench/bench/live"
	"chatbench/bench/record"
	"chatbench/bench/report"
	"chatbench/cmd/internal/ptytest"
	"chatbench/loadgen/null"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"bench": main, "chatd": fakeChatd, "view": scripted})
}

// fakeChatd is the null server, said to be a chatd with the backend good.
func fakeChatd() {
	if slices.Contains(os.Args, "-list") {
		fmt.Print(`[{"name":"good"}]`)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	s, err := null.Listen("127.0.0.1:0")
	if err == nil {
		fmt.Printf(`{"event":"listening","addr":%q}`+"\n", s.Addr())
		err = s.Serve(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(`{"event":"stopped"}`)
}

// standing is a run of three backends and their reference after so many rounds.
func standing(rounds int) bench.Look {
	one := func(ratio, interval, word string) report.FigureStanding {
		return report.FigureStanding{Ratio: ratio, Interval: interval, Word: word}
	}
	look := bench.Look{Round: rounds, Looks: []int{8, 12}, Left: 95 * time.Second, Loads: []report.Standing{
		{Load: "fixed1000", Reference: "goroutine", Titles: []string{"CPU per delivery", "p50"}, Arms: []report.ArmStanding{
			{Name: "epoll", Rounds: rounds, Figures: []report.FigureStanding{one("0.72", "0.70–0.74", ""), one("0.95", "0.90–1.01", "")}},
			{Name: "gnet", Rounds: rounds, Figures: []report.FigureStanding{one("1.02", "0.98–1.08", ""), one("1.01", "0.97–1.06", "")}},
			{Name: "goroutine.aa", Again: true, Rounds: rounds, Figures: []report.FigureStanding{one("1.00", "0.99–1.01", ""), one("1.00", "0.97–1.03", "")}},
		}},
		{Load: "window128", Reference: "goroutine", Titles: []string{"CPU per delivery"}, Arms: []report.ArmStanding{
			{Name: "epoll", Rounds: rounds, Figures: []report.FigureStanding{one("0.81", "0.80–0.82", "")}},
			{Name: "gnet", Rounds: rounds, Figures: []report.FigureStanding{one("0.91", "0.84–0.99", "")}},
			{Name: "goroutine.aa", Again: true, Rounds: rounds, Figures: []report.FigureStanding{one("1.00", "0.99–1.01", "")}},
		}},
	}}
	if rounds >= 8 {
		epoll := &look.Loads[0].Arms[0]
		epoll.Decided, epoll.Rounds = true, 8
		epoll.Figures[0].Word, epoll.Figures[1].Word = "less", "tie"
		epoll = &look.Loads[1].Arms[0]
		epoll.Decided, epoll.Rounds, epoll.Figures[0].Word = true, 8, "less"
	}
	return look
}

// scripted shows a run that there was not: view COLUMNS waits until the terminal
// has so many, shows it, and if more are given shows on after the resize.
func scripted() {
	size := terminal().Size
	await := func(text string) {
		columns, _ := strconv.Atoi(text)
		for has := -1; has != columns; has, _ = size() {
			time.Sleep(time.Millisecond)
		}
	}
	v := live.New(os.Stderr, terminal())
	say := func(round int, arm string, rate float64) {
		v.Progress(bench.Progress{Cell: record.Cell{Round: round, Arm: arm, Load: "fixed1000"}, Rate: rate, Left: 95 * time.Second})
	}
	if await(os.Args[1]); len(os.Args) > 2 && os.Args[2] == "low" {
		terminal := terminal()
		terminal.Size = func() (int, int) { columns, _ := size(); return columns, 7 }
		v = live.New(os.Stderr, terminal)
	}
	say(1, "epoll", 1.2e6)
	v.Look(standing(7))
	say(8, "gnet", 0.1e6)
	v.Void(record.Round{Round: 8, Arm: "gnet", Load: "fixed1000", Void: []record.Reason{record.Lost}})
	v.Void(record.Round{Round: 8, Arm: "epoll", Load: "fixed1000", Void: []record.Reason{record.Disturbed}})
	for _, columns := range os.Args[2:] {
		if columns != "low" {
			fmt.Fprint(os.Stderr, "\a") // who types waits for it
			await(columns)
		}
	}
	v.Look(standing(9))
	say(9, "epoll", 1.3e6)
}

// What stands on the screen at the end of what scripted shows.
var (
	void = "bench: round 8 of gnet under fixed1000 is void: lost"
	head = "1 round void: 1 disturbed (epoll 1)"
	wide = []string{
		void,
		head,
		"fixed1000     CPU per delivery       p50                   against goroutine",
		"epoll         0.72 (0.70–0.74) less  0.95 (0.90–1.01) tie  decided after 8",
		"gnet          1.02 (0.98–1.08)       1.01 (0.97–1.06)      9 rounds",
		"goroutine.aa  1.00 (0.99–1.01)       1.00 (0.97–1.03)",
		"window128     CPU per delivery",
		"epoll         0.81 (0.80–0.82) less  decided after 8",
		"gnet          0.91 (0.84–0.99)       9 rounds",
		"goroutine.aa  1.00 (0.99–1.01)",
		"round 9  epoll  fixed1000  1.3 M deliveries/s  1m35s left",
	}
	narrow = []string{
		void,
		head,
		"fixed1000     CPU             p50            to goroutine",
		"epoll         0.70–0.74 less  0.90–1.01 tie  after 8",
		"gnet          0.98–1.08       0.97–1.06      9 rounds",
		"goroutine.aa  0.99–1.01       0.97–1.03",
		"window128     CPU",
		"epoll         0.80–0.82 less  after 8",
		"gnet          0.84–0.99       9 rounds",
		"goroutine.aa  0.99–1.01",
		"round 9  epoll  fixed1000  1.3 M deliveries/s  1m35s left",
	}
	low = []string{
		void,
		head,
		wide[2],
		wide[4],
		wide[5],
		"… 5 more rows",
		wide[10],
	}
)

// TestView: wide, narrow, low, and after the terminal has become narrower.
func TestView(t *testing.T) {
	for _, c := range []struct {
		name    string
		columns int
		args    []string
		env     string
		want    []string
	}{
		{"80 columns", 80, nil, "", wide},
		{"60 columns", 60, nil, "", narrow},
		{"7 rows", 80, []string{"low"}, "", low},
		{"resized", 80, []string{"60"}, "", narrow},
		{"no colour", 80, nil, "NO_COLOR=1", wide},
		{"dumb", 80, nil, "TERM=dumb", []string{
			void,
			"bench: 1 more round is void: 1 disturbed (epoll 1)",
			"bench: look after 8 rounds: decided epoll under fixed1000 (CPU per delivery 0.72",
			" (0.70–0.74) less, p50 0.95 (0.90–1.01) tie), epoll under window128 (CPU per del",
			"ivery 0.81 (0.80–0.82) less); open gnet under fixed1000, gnet under window128; 1",
			"m35s left at most",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := ptytest.Start(t, []string{c.env}, "view", append([]string{strconv.Itoa(c.columns)}, c.args...)...)
			if c.columns != 80 {
				p.Resize(c.columns)
			}
			if c.name == "resized" {
				p.Await("\a")
				p.Resize(60)
			}
			code := p.Exit()
			p.AwaitLast(c.want[len(c.want)-1])
			rows := p.Rows()
			if code != 0 || !slices.Equal(rows, c.want) {
				t.Errorf("status %d, the screen shows\n%s\nwant\n%s", code, strings.Join(rows, "\n"), strings.Join(c.want, "\n"))
			}
			if colour := strings.Contains(p.Seen(), "\x1b[2m"); colour != (c.env == "") {
				t.Errorf("colour: %v in %q", colour, p.Seen())
			}
			if c.name == "dumb" && strings.Contains(p.Seen(), "\x1b") {
				t.Errorf("a dumb terminal was sent %q", p.Seen())
			}
		})
	}
}

// behind says whether the worst that happened in a run is that a server did not keep up.
func behind(t *testing.T, dir string) (is bool) {
	t.Helper()
	run, _, err := record.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range run.Rounds {
		for _, reason := range r.Void {
			if reason.Violation() && reason != record.TargetMissed {
				return false
			}
			is = is || reason == record.TargetMissed
		}
	}
	return is
}

// TestRunOnATerminal: the table of a run is there while it goes on, and gone when
// it has ended, or was interrupted.
func TestRunOnATerminal(t *testing.T) {
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	chatd := filepath.Join(dir, "chatd")
	if err := os.Symlink(self, chatd); err != nil {
		t.Fatal(err)
	}
	start := func(out string, more ...string) *ptytest.Terminal {
		return ptytest.Start(t, nil, "bench", append([]string{"run", "-backends", "good,good@backlog=7", "-chatd", chatd, "-loadgen", chatd, "-o", filepath.Join(dir, out),
			"-duration", "40ms", "-slice", "20ms", "-lead-in", "5ms", "-clients", "4", "-senders", "2", "-rate", "400/s", "-window", "none", "-foreign-max", "1"}, more...)...)
	}
	p := start("whole", "-rounds", "2")
	p.Await("against good")
	p.Await("M deliveries/s")
	// A machine at work can void rounds, or keep the server from its CPU until it is blamed for that.
	if code := p.Exit(); code != 0 && code != 4 && (code != 3 || !behind(t, filepath.Join(dir, "whole"))) {
		t.Errorf("status %d", code)
	}
	p.Await("Check them with")
	screen := strings.Join(p.Rows(), "\n")
	if strings.Contains(screen, "against good\n") || strings.Contains(screen, " left\n") || !strings.Contains(screen, "Check them with: bench verify") {
		t.Errorf("left on the screen:\n%s", screen)
	}
	p = start("cut", "-rounds", "1000")
	p.Await("2 rounds")
	p.Type("\x03")
	if code := p.Exit(); code != 1 || !p.Echoes() {
		t.Errorf("status %d, terminal as before: %v", code, p.Echoes())
	}
	p.AwaitLast("bench: interrupted; nothing was written")
	rows := p.Rows()
	for i, row := range rows { // a line of a void round may go on in the next row
		if row != "" && !strings.HasPrefix(row, "bench: ") && (i == 0 || utf8.RuneCountInString(rows[i-1]) < 80) {
			t.Errorf("left on the screen: %q", row)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "cut*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
