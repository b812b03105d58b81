package report

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"chatbench/bench/record"
	"chatbench/bench/stats"
)

// rankedRun is a load of which nobody measured anything but CPU per delivery: of each
// arm in each round, the reference and itself again first.
func rankedRun(looks bool, rounds int, names []string, cpu func(arm, round int) float64) (*record.Run, *LoadSummary) {
	load := record.Load{Name: "window1", Scenario: record.Broadcast, Window: 1}
	run := &record.Run{Manifest: record.Manifest{Reference: names[0], Loads: []record.Load{load}, Rules: record.DefaultRules()}}
	l := &LoadSummary{Load: load, Finds: make(map[string]Finds), looks: looks}
	for i, name := range names {
		values := make(series)
		for round := 1; round <= rounds; round++ {
			values[round] = cpu(i, round)
		}
		a := record.Arm{Name: name, Again: strings.HasSuffix(name, record.AgainSuffix)}
		l.Arms = append(l.Arms, ArmSummary{Arm: a, Rounds: rounds, lastRound: rounds,
			series: map[string]series{keyCPU: values}, Figures: map[string]Figure{keyCPU: figure(values)}})
	}
	l.judge(names[0])
	return run, l
}

func armNames(n int) []string {
	names := []string{"ref", "ref" + record.AgainSuffix}
	for i := range n {
		names = append(names, fmt.Sprintf("arm%02d", i))
	}
	return names
}

// agrees fails where letters say something else than the verdicts against the reference.
func agrees(t *testing.T, l *LoadSummary, reference string) {
	t.Helper()
	ref := l.Ranking.row(reference)
	for _, row := range l.Ranking.Rows {
		if row.Arm == reference || row.Rank == 0 {
			continue
		}
		if m := find(l.Ranking.Figure); stats.Share(row.Letters, ref.Letters) == l.arm(row.Arm).Figures[m.key].Versus.differs() {
			t.Errorf("%s, %s: letters %q, of the reference %q, verdict %+v", l.Name, row.Arm, row.Letters, ref.Letters, l.arm(row.Arm).Figures[m.key].Versus)
		}
	}
}

// row finds an arm's row; a test's arms are all there.
func (r *Ranking) row(arm string) RankRow {
	return r.Rows[slices.IndexFunc(r.Rows, func(row RankRow) bool { return row.Arm == arm })]
}

// TestRankingError: of 12 equal arms after 8 rounds, letters tell any two apart
// in one run of twenty at most, verdicts against the reference and all; and they
// find most differences of 10 %.
func TestRankingError(t *testing.T) {
	runs := fewRuns(150)
	for _, looks := range []bool{false, true} {
		source := rand.New(rand.NewPCG(21, 22))
		alarms, found, all := 0, 0, 0
		for range runs {
			run, l := rankedRun(looks, 8, armNames(11), func(int, int) float64 { return math.Exp(0.02 * source.NormFloat64()) })
			for _, row := range l.rank(run).Rows {
				if row.Letters != "a" {
					alarms++
					break
				}
			}
			run, l = rankedRun(looks, 8, armNames(11), func(arm, _ int) float64 {
				dearer := 1.0
				if arm > 6 {
					dearer = 1.1
				}
				return dearer * math.Exp(0.02*source.NormFloat64())
			})
			l.Ranking = l.rank(run)
			agrees(t, l, "ref")
			for i := range 5 {
				for j := range 5 {
					all++
					if a, b := l.Ranking.row(armNames(11)[2+i]), l.Ranking.row(armNames(11)[8+j]); !stats.Share(a.Letters, b.Letters) {
						found++
					}
				}
			}
		}
		share, power := float64(alarms)/float64(runs), float64(found)/float64(all)
		t.Logf("looks %v: wrong in %.1f %% of runs, %.1f %% found", looks, 100*share, 100*power)
		if share > 0.06 || power < 0.85 {
			t.Errorf("looks %v: wrong in %.1f %% of runs, %.1f %% found", looks, 100*share, 100*power)
		}
	}
}

// TestRankingReference: in the committed runs letters agree with verdicts, ranks
// are in order, and what a thread or a process for each client costs is said.
func TestRankingReference(t *testing.T) {
	dirs := references(t)
	for _, dir := range dirs {
		s := measured(t, dir).summary
		for i := range s.Loads {
			l := &s.Loads[i]
			agrees(t, l, s.Reference)
			for k, row := range l.Ranking.Rows {
				if row.Rank != k+1 || row.Letters == "" || (row.ToBest == nil) != (k == 0) {
					t.Errorf("%s: row %d is %+v", l.Name, k, row)
				}
				best := l.Ranking.Rows[0]
				if r := row.ToBest; r != nil && !stats.Share(row.Letters, best.Letters) && !(r.Low > 1 && r.Low <= r.Ratio && r.Ratio <= r.High) {
					t.Errorf("%s: %s is told apart from %s at %+v", l.Name, row.Arm, best.Arm, *r)
				}
				if row.AtMost && (row.Note != "server full" || row.Why != "" || !strings.HasPrefix(row.Text, "≤ ")) {
					t.Errorf("%s: an upper bound: %+v", l.Name, row)
				}
			}
			if l.Scenario != record.Idle {
				continue
			}
			for arm, want := range map[string]string{"thread": "2 threads for each client", "process": "a process for each client", "goroutine": ""} {
				if got := l.Ranking.row(arm).Why; got != want {
					t.Errorf("%s: %q, want %q", arm, got, want)
				}
			}
		}
	}
}

// TestRankingRows: order is by the rounds arms share, and those without one come
// last, with the reason.
func TestRankingRows(t *testing.T) {
	run, l := rankedRun(false, 12, armNames(4), func(arm, round int) float64 {
		return float64(1+round%3) * []float64{10, 10, 9, 20, 9.9, 15}[arm] // rounds differ threefold
	})
	early, never, none := l.arm("arm01"), l.arm("arm02"), l.arm("arm03")
	for round := range 12 { // arm01 left early, in cheap rounds; arm02 never counted; arm03 has rounds of its own
		if round++; round > 6 {
			delete(early.series[keyCPU], round)
		}
		delete(never.series[keyCPU], round)
		delete(none.series[keyCPU], round)
	}
	none.series[keyCPU][13] = 1
	never.Figures, never.Rounds, never.Void = map[string]Figure{}, 0, 12
	early.Void = 2
	r := l.rank(run)
	var got []string
	for _, row := range r.Rows {
		got = append(got, fmt.Sprintf("%d %s %s: %s", row.Rank, row.Arm, row.Letters, row.Note))
	}
	want := []string{"1 arm00 a: ", "2 ref b: ", "3 arm01 c: ", "0 arm02 : none of 12 rounds counts", "0 arm03 : no round in common with ref"}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
	if r.Best != "arm00" || math.Abs(r.row("arm01").ToBest.Ratio-20.0/9) > 1e-9 {
		t.Errorf("%+v", r)
	}
	if _, alone := rankedRun(false, 8, armNames(0), func(int, int) float64 { return 1 }); alone.rank(run) != nil {
		t.Error("an arm alone is ranked")
	}
}

// TestRankingFloor: what the reference shows against itself is told of nobody.
func TestRankingFloor(t *testing.T) {
	cost := []float64{10, 10, 12, 15}
	at := func(again float64) []string {
		run, l := rankedRun(false, 8, armNames(2), func(arm, round int) float64 {
			v := cost[arm] * (1 + float64(round)/1e4)
			if arm == 1 {
				v *= again
			}
			return v
		})
		l.Ranking = l.rank(run)
		agrees(t, l, "ref")
		return []string{l.Ranking.row("ref").Letters, l.Ranking.row("arm00").Letters, l.Ranking.row("arm01").Letters}
	}
	if got := at(1); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("a quiet machine: %q", got)
	}
	if got := at(1.3); !slices.Equal(got, []string{"a", "ab", "b"}) {
		t.Errorf("the reference is 30 %% off itself: %q", got)
	}
}

// TestWhyOfCommonRounds: what an arm used is set beside what the best used in the
// same rounds, not in those that were dear for others.
func TestWhyOfCommonRounds(t *testing.T) {
	run, l := rankedRun(false, 12, armNames(2), func(arm, round int) float64 {
		return []float64{10, 10, 9, 20}[arm] * (1 + 9*float64(round/7)) * (1 + float64(round)/1e4) // tenfold from round 7 on
	})
	early := l.arm("arm01")
	for round := 7; round <= 12; round++ {
		delete(early.series[keyCPU], round)
	}
	own, best := l.uses(run, keyCPU, early, l.arm("arm00"))
	if math.Abs(own.cpu/best.cpu-20.0/9) > 1e-3 {
		t.Errorf("%v against %v of the best", own.cpu, best.cpu)
	}
	if !math.IsNaN(own.syscalls) || !math.IsNaN(own.clients) {
		t.Errorf("what was not taken: %+v", own)
	}
}

// TestRankingSentence: the first sentence claims no more than letters and marks allow.
func TestRankingSentence(t *testing.T) {
	row := func(rank int, arm, letters string, ratio float64) RankRow {
		r := RankRow{Rank: rank, Arm: arm, Letters: letters, Text: "3000"}
		if rank > 1 {
			r.ToBest = &Ratio{Ratio: ratio}
		}
		return r
	}
	most := func(r RankRow) RankRow {
		r.AtMost = true
		return r
	}
	none := RankRow{Arm: "gnet", Text: "–", Note: "none of 8 rounds counts"}
	for name, c := range map[string]struct {
		rows []RankRow
		note string
		want string
	}{
		"one alone":     {[]RankRow{row(1, "epoll", "a", 1), none}, "", "nothing can be compared: gnet (none of 8 rounds counts)."},
		"nobody":        {[]RankRow{none, {Arm: "evio", Note: "no round"}}, "", "nothing can be compared: gnet (none of 8 rounds counts) and evio (no round)."},
		"a larger one":  {[]RankRow{row(1, "epoll", "a", 1), row(2, "gnet", "b", 1.2), row(3, "evio", "ab", 1.5)}, "", "epoll has the least CPU per delivery, 3000 µs/1000; evio cannot be told apart from it; gnet is dearer for sure, 1.20 times as much."},
		"two are sure":  {[]RankRow{row(1, "epoll", "a", 1), row(2, "gnet", "b", 1.2), row(3, "evio", "b", 1.5)}, "", "epoll has the least CPU per delivery, 3000 µs/1000; gnet and evio are dearer for sure, evio the most, 1.50 times as much."},
		"many are sure": {[]RankRow{row(1, "a", "a", 1), row(2, "b", "b", 3), row(3, "c", "b", 2), row(4, "d", "b", 2), row(5, "e", "b", 2)}, "", "a has the least CPU per delivery, 3000 µs/1000; 4 others are dearer for sure, b the most, 3.00 times as much."},
		"one is full":   {[]RankRow{row(1, "epoll", "a", 1), most(row(2, "spin", "a", 3))}, "", "epoll has the least CPU per delivery, 3000 µs/1000; of spin only an upper bound is known."},
		"all are full":  {[]RankRow{most(row(1, "epoll", "a", 1)), most(row(2, "spin", "a", 3))}, "", "who has the least CPU per delivery is not known; of epoll and spin only an upper bound is."},
		"no floor":      {[]RankRow{row(1, "epoll", "a", 1), row(2, "gnet", "a", 3)}, "No two can be told apart", "epoll has the least CPU per delivery, 3000 µs/1000. No two can be told apart."},
	} {
		l := &LoadSummary{Load: record.Load{Name: "fixed1000", Rate: 1000}, Ranking: &Ranking{Figure: keyCPU, Title: "CPU per delivery", Unit: "µs/1000", Rows: c.rows, Note: c.note}}
		if got := l.sentence(); got != "At 1000 messages/s: "+c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestRankingOfFullReference: where the reference is full, what it shows against
// itself is no error of the machine: nobody is told apart, and it is said why.
func TestRankingOfFullReference(t *testing.T) {
	run := manyArms(t)
	if rows := Summarize(run, nil).Loads[0].Ranking.Rows; !slices.ContainsFunc(rows, func(row RankRow) bool { return !stats.Share(row.Letters, "a") }) {
		t.Fatalf("nobody is told apart beside a reference that is not full: %+v", rows)
	}
	setUse(run, "goroutine", 0.99)
	setUse(run, "goroutine.aa", 0.99)
	s := Summarize(run, nil)
	r := s.Loads[0].Ranking
	for _, row := range r.Rows {
		if row.Letters != "a" {
			t.Errorf("%s has the letters %q", row.Arm, row.Letters)
		}
	}
	const says = "No two can be told apart: the error of the machine is not known, for the reference, goroutine, used 99 %"
	if !strings.HasPrefix(r.Note, says) || !strings.Contains(strings.Join(strings.Fields(text(s, Style{})), " "), says) {
		t.Errorf("it is not said: %q in\n%s", r.Note, text(s, Style{}))
	}
}

func TestWhy(t *testing.T) {
	best := use{cpu: 3000, user: 200, kernel: 2800, syscalls: 1.02, switches: 0.01, writes: 0.002, processes: 1, threads: 6, clients: 100}
	open := &LoadSummary{Load: record.Load{Scenario: record.Broadcast, Rate: 1000}}
	closed := &LoadSummary{Load: record.Load{Scenario: record.Broadcast, Window: 1}}
	frames := &LoadSummary{Load: record.Load{Scenario: record.Relay, Rate: 1}}
	sure := &Ratio{2, 1.9, 2.1}
	with := func(change func(*use)) use {
		u := best
		u.cpu, u.kernel = 6000, 5800
		change(&u)
		return u
	}
	for _, c := range []struct {
		l     *LoadSummary
		a     use
		ratio *Ratio
		want  string
	}{
		{open, with(func(u *use) { u.user, u.kernel = 2000, 4000 }), sure, "spends 33 % in user code"},
		{open, with(func(u *use) { u.syscalls, u.switches = 2.05, 1.06 }), sure, "a switch for each delivery"},
		{open, with(func(u *use) { u.syscalls, u.switches, u.threads = 2.05, 1.06, 206 }), sure, "a switch for each delivery, 2 threads for each client"},
		{open, with(func(u *use) { u.syscalls = 4.2 }), sure, "4.20 system calls a delivery"},
		{frames, with(func(u *use) { u.syscalls = 4.2 }), sure, "4.20 system calls a frame"},
		{open, with(func(u *use) { u.syscalls = 1.3 }), sure, ""}, // too few to pay for it
		{open, with(func(*use) {}), sure, "each system call 2.07× longer"},
		{open, with(func(u *use) { u.processes = 101 }), sure, "each system call 2.07× longer, a process for each client"},
		{closed, with(func(u *use) { u.syscalls, u.writes = 4.2, 1 }), sure, "one write a delivery"},
		{open, with(func(u *use) { u.syscalls = math.NaN() }), sure, ""},
		{open, with(func(u *use) { u.cpu, u.user = 2990, 300 }), sure, ""}, // by their medians it costs no more
		{open, with(func(u *use) { u.cpu, u.user = math.NaN(), 300 }), sure, ""},
		{open, with(func(u *use) { u.syscalls = 4.2 }), &Ratio{1.04, 1.03, 1.05}, ""},
		{open, with(func(u *use) { u.syscalls = 4.2 }), &Ratio{2, 0.9, 3}, ""},
		{open, with(func(u *use) { u.syscalls = 4.2 }), &Ratio{Ratio: 2}, ""},
		{open, with(func(u *use) { u.syscalls = 4.2 }), nil, ""},
	} {
		if got := c.l.why(keyCPU, c.a, best, c.ratio); got != c.want {
			t.Errorf("%+v: %q, want %q", c.a, got, c.want)
		}
	}
	if got := open.why(keyPSSEach, with(func(u *use) { u.threads, u.syscalls = 106, 9 }), best, sure); got != "a thread for each client" {
		t.Errorf("of memory: %q", got)
	}
}
