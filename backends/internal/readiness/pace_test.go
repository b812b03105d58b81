package readiness

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"chatbench/backends"
	"chatbench/core/wire"
)

// pair is two loops of one room, each with a client; much has been said.
func pair(t *testing.T) (a, b *loop) {
	room := newTestRoom()
	a, b = newTestLoop(t, room), newTestLoop(t, room)
	a.others, b.others = []*loop{b}, []*loop{a}
	c, _ := connect(t, a, "alice")
	connect(t, b, "bob")
	a.flush()
	b.flush()
	before := room.Said()
	for room.Said()-before <= backends.FlushAfter {
		c.session.Feed(wire.AppendChat(nil, strings.Repeat("x", 900)))
	}
	return a, b
}

// TestPaceWaitsForOneBehind: it waits, but not for ever.
func TestPaceWaitsForOneBehind(t *testing.T) {
	a, b := pair(t)
	if !a.behind(a.cfg.Room.Said()) || !b.behind(a.cfg.Room.Said()) {
		t.Fatal("neither has written, and they are not behind")
	}
	began := time.Now()
	a.pace()
	if took := time.Since(began); took < paceMost || a.givenUp != 1 {
		t.Errorf("waited %v for one that never comes round, and gave up %d times", took, a.givenUp)
	}
	if a.behind(a.cfg.Room.Said()) {
		t.Error("it has not written to its own clients meanwhile")
	}
	if a.pace(); a.givenUp != 1 {
		t.Error("waited again, though nothing more was said")
	}
}

// TestPaceWaitsForNoIdler: a loop without clients, or that has written all, is
// not waited for.
func TestPaceWaitsForNoIdler(t *testing.T) {
	a, b := pair(t)
	idler := newTestLoop(t, a.cfg.Room)
	a.others = append(a.others, idler)
	b.flush()
	a.catchUp()
	if a.givenUp != 0 {
		t.Error("waited for a loop that has nothing to write")
	}
}

// TestPaceInACircle: of loops that all feed, each waits for all others again
// and again. They come round, for they write while they wait.
func TestPaceInACircle(t *testing.T) {
	const loops, steps = 3, 2000
	room := newTestRoom()
	var all []*loop
	var talkers []*conn
	for i := range loops {
		l := newTestLoop(t, room)
		c, peer := connect(t, l, fmt.Sprint("c", i))
		go io.Copy(io.Discard, peer)
		all, talkers = append(all, l), append(talkers, c)
	}
	for i, l := range all {
		l.others = slices.Concat(all[:i], all[i+1:])
	}
	said := bytes.Repeat(wire.AppendChat(nil, strings.Repeat("x", 400)), 10)
	began := time.Now()
	var wg sync.WaitGroup
	for i, l := range all {
		wg.Go(func() {
			for range steps {
				l.feed(talkers[i], said)
				l.flush()
			}
			l.flushed.Store(math.MaxUint64) // as a loop does that ends
		})
	}
	wg.Wait()
	took, givenUp := time.Since(began), 0
	for _, l := range all {
		givenUp += l.givenUp
	}
	t.Logf("%d octets said in %v, %d waits were given up", room.Said(), took, givenUp)
	if took > 20*time.Second {
		t.Errorf("took %v", took)
	}
}
