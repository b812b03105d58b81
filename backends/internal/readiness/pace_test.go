package readiness

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"chatbench/backends"
	"chatbench/core/wire"
)

// pair returns two loops of one room, each with a client, after much was said.
func pair(t *testing.T) (a, b *loop) {
	room := newTestRoom()
	a, b = newTestLoop(t, room), newTestLoop(t, room)
	joinGroup([]*loop{a, b})
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

// TestPaceWrites: while a loop waits for another, it writes to its own clients.
func TestPaceWrites(t *testing.T) {
	a, b := pair(t)
	if !a.member.Behind(a.cfg.Room.Said()) || !b.member.Behind(a.cfg.Room.Said()) {
		t.Fatal("neither has written, and they are not behind")
	}
	before := a.cfg.Counters.Writes.Load()
	a.catchUp()
	if a.member.Behind(a.cfg.Room.Said()) || a.cfg.Counters.Writes.Load() == before {
		t.Error("it has not written to its own clients while it waited")
	}
	if !b.member.Behind(b.cfg.Room.Said()) {
		t.Error("one loop has written for the other")
	}
}

// TestPaceInACircle: if all loops feed, each waits for the others again and again. They make progress,
// because they write while they wait.
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
	joinGroup(all)
	said := bytes.Repeat(wire.AppendChat(nil, strings.Repeat("x", 400)), 10)
	began := time.Now()
	var wg sync.WaitGroup
	for i, l := range all {
		wg.Go(func() {
			for range steps {
				l.feed(talkers[i], said)
				l.flush()
			}
			l.member.End()
		})
	}
	wg.Wait()
	took := time.Since(began)
	t.Logf("%d octets said in %v", room.Said(), took)
	if took > 20*time.Second {
		t.Errorf("took %v", took)
	}
}
