package core

import (
	"bytes"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"chatbench/core/wire"
)

var from = netip.MustParseAddrPort("192.0.2.1:40000")

// earlier logs a client in, and returns the history that it is sent, without times.
func earlier(r *Room, t *testing.T, name string) (lines []string) {
	t.Helper()
	s := r.Join(from, quiet{}, nil)
	s.Feed(wire.AppendCred(nil, name, "x"))
	frames := bytes.Split(take(s), []byte{0})
	if !bytes.Equal(frames[0], []byte("\x01granted")) {
		t.Fatalf("first comes %q", frames[0])
	}
	for _, f := range frames[1:] {
		if text, found := bytes.CutPrefix(f, []byte("server: earlier, ")); found {
			_, said, _ := strings.Cut(string(text), "UTC, ")
			lines = append(lines, said)
		}
	}
	s.Leave(ReasonEOF)
	return lines
}

// A new client is sent the last lines, in order, in whatever pieces they were said, and
// without notices.
func TestHistory(t *testing.T) {
	for _, batch := range []int{1, 3, 40} {
		r := testRoom(64<<10, Config{History: 10, Announce: true})
		ann := enter(t, r, "ann")
		if got := earlier(r, t, "first"); len(got) != 0 {
			t.Errorf("before anything is said: %q", got)
		}
		var want []string
		for i := 0; i < 60; i += batch {
			var in []byte
			for j := range batch {
				in = wire.AppendChat(in, fmt.Sprint("line\n", i+j))
				want = append(want, fmt.Sprint("ann: line\u2424", i+j))
			}
			ann.Feed(in)
			take(ann)
			if got := earlier(r, t, "bob"); fmt.Sprint(got) != fmt.Sprint(want[max(0, len(want)-10):]) {
				t.Fatalf("batches of %d: told %q after %d", batch, got, len(want))
			}
		}
	}
	r := testRoom(64<<10, Config{})
	enter(t, r, "ann").Feed(wire.AppendChat(nil, "hello"))
	if got := earlier(r, t, "bob"); len(got) != 0 {
		t.Errorf("without a history: %q", got)
	}
}

// The history that a client is sent is bounded in octets, and has the newest lines.
func TestHistoryIsBounded(t *testing.T) {
	r := testRoom(256<<10, Config{History: 1000})
	ann := enter(t, r, "ann")
	for i := range 200 {
		ann.Feed(wire.AppendChat(nil, fmt.Sprint(i, strings.Repeat("x", 1000))))
		take(ann)
	}
	got := earlier(r, t, "bob")
	if n := len(strings.Join(got, "")); n > historyOctets || n < historyOctets/2 || !strings.HasPrefix(got[len(got)-1], "ann: 199x") {
		t.Errorf("%d lines, %d octets, the last %.12q", len(got), n, got[len(got)-1])
	}
}

// The cost of a login depends on the lines that are sent, not on those that are kept, because
// it is done under the room's lock.
func TestHistoryCostsWhatIsTold(t *testing.T) {
	const kept, length = 2000, 4000
	before := make([]Line, kept)
	for i := range before {
		before[i] = Line{start, fmt.Appendf(nil, "zoe: %0*d", length-len("zoe: "), i)}
	}
	r := testRoom(64<<10, Config{History: kept, Before: before})
	s := r.Join(from, quiet{}, nil)
	login := wire.AppendCred(nil, "ann", "x")
	var was, is runtime.MemStats
	runtime.ReadMemStats(&was)
	s.Feed(login)
	runtime.ReadMemStats(&is)
	if n := is.TotalAlloc - was.TotalAlloc; n > 16*historyOctets && !racing {
		t.Errorf("%d octets allocated for a login that is told %d at most", n, historyOctets)
	}
	lines := earlier(r, t, "bob")
	if want := historyOctets / (lineOverhead + length); len(lines) != want {
		t.Errorf("told %d lines, %d fit", len(lines), want)
	}
	for i, line := range lines {
		if want := string(before[kept-len(lines)+i].Text); line != want {
			t.Errorf("line %d of %d is %.20q…, want %.20q…", i, len(lines), line, want)
		}
	}
}

// A line that is at least a day old is sent with its date, and so is one from the future,
// after the clock was wrong.
func TestHistoryHasDates(t *testing.T) {
	r := testRoom(64<<10, Config{History: 10, Before: []Line{
		{start.Add(-7 * 24 * time.Hour), []byte("zoe: 1")}, {start.Add(-24 * time.Hour), []byte("zoe: 2")},
		{start.Add(time.Second - 24*time.Hour), []byte("zoe: 3")}, {start.Add(time.Second), []byte("zoe: 4")},
		{start.Add(48 * time.Hour), []byte("zoe: 5")},
	}})
	told := func(name string) string {
		s := r.Join(from, quiet{}, nil)
		s.Feed(wire.AppendCred(nil, name, "x"))
		got := strings.ReplaceAll(string(take(s)), "\x00", "")
		s.Leave(ReasonEOF)
		return strings.TrimPrefix(got, "\x01granted")
	}
	want := "server: earlier, 2001-09-02 01:46 UTC, zoe: 1" + "server: earlier, 2001-09-08 01:46 UTC, zoe: 2" +
		"server: earlier, 01:46 UTC, zoe: 3" + "server: earlier, 01:46 UTC, zoe: 4" + "server: earlier, 2001-09-11 01:46 UTC, zoe: 5"
	if got := told("ann"); got != want {
		t.Errorf("told %q, want %q", got, want)
	}
	pass(r, time.Second)
	if got := told("bob"); !strings.Contains(got, "2001-09-08 01:46 UTC, zoe: 3") {
		t.Errorf("a second later, a day after it was said: told %q", got)
	}
}

// A room begins with the lines of Config.Before, with their times. HistorySince returns each
// line once.
func TestHistoryGoesOn(t *testing.T) {
	at := time.Date(2026, 5, 4, 13, 37, 0, 0, time.FixedZone("", 9*3600))
	r := testRoom(64<<10, Config{History: 3, Before: []Line{{at, []byte("zoe: 1")}, {at, []byte("zoe: 2")}, {at, []byte("zoe: 3")}, {at, []byte("zoe: 4")}}})
	s := r.Join(from, quiet{}, nil)
	s.Feed(wire.AppendCred(nil, "ann", "x"))
	if got := take(s); !bytes.Contains(got, []byte("\x00server: earlier, 2026-05-04 04:37 UTC, zoe: 2\x00\x00server: earlier, 2026-05-04 04:37 UTC, zoe: 3\x00")) {
		t.Errorf("told %q", got)
	}
	lines, n := r.HistorySince(0)
	if len(lines) != 3 || n != 3 || string(lines[2].Text) != "zoe: 4" || !lines[2].At.Equal(at) {
		t.Errorf("before: %d lines of %d", len(lines), n)
	}
	pass(r, time.Hour)
	s.Feed(wire.AppendChat(wire.AppendChat(nil, "5"), "6"))
	if lines, n = r.HistorySince(n); len(lines) != 2 || n != 5 || string(lines[0].Text) != "ann: 5" || !lines[1].At.Equal(start.Add(time.Hour)) {
		t.Errorf("then: %v of %d", lines, n)
	}
	if lines, n = r.HistorySince(n); len(lines) != 0 || n != 5 {
		t.Errorf("nothing new: %v of %d", lines, n)
	}
	var many []byte
	for i := range 50 {
		many = wire.AppendChat(many, fmt.Sprint(i))
	}
	s.Feed(many)
	if lines, n = r.HistorySince(n); len(lines) != 3 || n != 55 || string(lines[0].Text) != "ann: 47" {
		t.Errorf("more than are kept: %v of %d", lines, n)
	}
}
