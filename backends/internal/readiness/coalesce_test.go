package readiness

import (
	"strings"
	"testing"
	"time"

	"chatbench/backends"
	"chatbench/backends/internal/coalesce"
	"chatbench/core/wire"
)

// waitLong makes a loop's output wait for longer than any test takes.
func waitLong(l *loop) {
	l.coalesce = coalesce.New(backends.Coalesce(time.Hour), l.moment())
	l.turnBegan = time.Now()
}

// TestOutputWaits: the output of the room waits, and the loop sleeps meanwhile. Output for one client does
// not wait.
func TestOutputWaits(t *testing.T) {
	l := newTestLoop(t, newTestRoom())
	alice, _ := connect(t, l, "alice")
	connect(t, l, "bob")
	waitLong(l)
	writes := func(want int64, when string) {
		t.Helper()
		before := l.cfg.Counters.Writes.Load()
		l.flushUnlessWaiting()
		if n := l.cfg.Counters.Writes.Load() - before; n != want {
			t.Errorf("%s: %d writes, want %d", when, n, want)
		}
	}
	writes(0, "nothing was said")
	alice.session.Feed(wire.AppendChat(nil, "hello"))
	if !l.hasWork() {
		t.Error("something was said, and the loop would sleep")
	}
	writes(0, "something was said")
	if l.hasWork() {
		t.Error("it waits, and the loop would not sleep")
	}
	arrive(t, l)
	carol := l.live[len(l.live)-1]
	carol.session.Feed(wire.AppendCred(nil, "carol", "x"))
	if !l.hasWork() {
		t.Error("there is an answer to a login, and the loop would sleep")
	}
	writes(1, "a client has logged in")
	for range 1 + backends.FlushAfter/900 {
		alice.session.Feed(wire.AppendChat(nil, strings.Repeat("x", 900)))
	}
	if !l.hasWork() {
		t.Error("much was said, and the loop would sleep")
	}
	writes(3, "much was said")
	if l.coalesce.Waiting() || l.member.Grew() {
		t.Error("it waits, and is written")
	}
	alice.session.Feed(wire.AppendChat(nil, "hello"))
	writes(0, "something was said again")
	before := l.cfg.Counters.Writes.Load()
	if l.flush(); l.cfg.Counters.Writes.Load() != before+3 {
		t.Error("a flush has left out what waits")
	}
}

// recordingPoller records how it is asked to wait, and does not wait.
type recordingPoller struct {
	Poller
	waits []time.Duration
	brief bool
}

func (p *recordingPoller) Wait(_ []Event, timeout time.Duration, brief bool) (int, error) {
	p.waits, p.brief = append(p.waits, timeout), brief
	return 0, nil
}

// TestWaitsOnce: while output waits, the loop sleeps once until it is due. If it keeps its processor it
// sleeps only briefly.
func TestWaitsOnce(t *testing.T) {
	for _, c := range []struct {
		keepsProcessor bool
		least, most    time.Duration
	}{{true, briefWait, briefWait}, {false, 59 * time.Minute, time.Hour}} {
		l := newTestLoop(t, newTestRoom())
		alice, _ := connect(t, l, "alice")
		waitLong(l)
		l.keepsProcessor = c.keepsProcessor
		alice.session.Feed(wire.AppendChat(nil, "hello"))
		l.flushUnlessWaiting()
		p := &recordingPoller{Poller: l.poller}
		l.poller = p
		if _, err := l.wait(); err != nil {
			t.Fatal(err)
		}
		if len(p.waits) != 1 || p.waits[0] < c.least || p.waits[0] > c.most || p.brief != c.keepsProcessor {
			t.Errorf("keeps its processor %v: it waited %v, the last time briefly: %v", c.keepsProcessor, p.waits, p.brief)
		}
	}
}

// TestPaceWakesWhileOutputWaits: a loop that sleeps while its output waits is woken by a loop that waits
// for it.
func TestPaceWakesWhileOutputWaits(t *testing.T) {
	a, b := pair(t)
	waitLong(b)
	b.bell.Sleep()
	if a.member.Pace(a); b.bell.sleep.Load() {
		t.Error("it was not woken")
	}
	if b.flushUnlessWaiting(); b.member.Behind(b.cfg.Room.Said()) {
		t.Error("it was woken, and lets its output wait all the same")
	}
}

// TestEpollPrecise: waits may be shorter than a millisecond.
func TestEpollPrecise(t *testing.T) {
	p, err := OpenEpoll()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.setPrecise(); err != nil {
		t.Skip("epoll_pwait2: ", err)
	}
	const short = 300 * time.Microsecond
	for range 10_000 { // the machine may be busy
		began := time.Now()
		if n, err := p.Wait(make([]Event, 1), short, false); n != 0 || err != nil {
			t.Fatal(n, err)
		}
		// A signal may have ended it early.
		if took := time.Since(began); took >= short && took < time.Millisecond {
			return
		}
	}
	t.Errorf("no wait took from %v to a millisecond", short)
}
