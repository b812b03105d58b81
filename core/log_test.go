package core

import (
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// TestLogUnderReaders: one appender, and readers that come and go, all at full speed and
// without a lock, with chunks of a few numbers. Every reader reads all numbers in order,
// and chunks are reused meanwhile. The appender is slowed down so that the readers stay
// close behind it, where races are likely.
func TestLogUnderReaders(t *testing.T) {
	const octets, numbers, fit, ahead = 8, 80_000, 2, 10
	l := newBroadcastLog(fit * octets)
	var mu sync.Mutex // the appender's
	var over atomic.Bool
	made := map[*chunk]bool{}

	// read reads the log from now on until the end, or some numbers of it; at is its
	// position.
	read := func(most int, at *atomic.Uint64) bool {
		mu.Lock()
		c := l.openCursor()
		next := c.position() / octets
		mu.Unlock()
		defer c.close()
		for n := 0; n < most; {
			last := over.Load() // before looking: then nothing came after
			p := c.pending(forever)
			if p == nil && last {
				return next == numbers
			} else if p == nil {
				runtime.Gosched()
			}
			if !counts(t, p, next) {
				return false
			}
			next, n, c.off = next+uint64(len(p)/octets), n+len(p)/octets, c.off+len(p)
			at.Store(next)
		}
		return true
	}

	var readers sync.WaitGroup
	var at [2]atomic.Uint64
	for i := range at {
		readers.Go(func() {
			if !read(2*numbers, &at[i]) && !t.Failed() {
				t.Error("a reader missed the end")
			}
		})
		readers.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			for !over.Load() && !t.Failed() {
				read(1+random.IntN(100), new(atomic.Uint64))
			}
		})
	}
	for i := range uint64(numbers) {
		mu.Lock()
		l.commit(binary.LittleEndian.AppendUint64(l.reserve(octets), i))
		mu.Unlock()
		made[l.last] = true
		for (at[0].Load()+ahead < i || at[1].Load()+ahead < i) && !t.Failed() {
			runtime.Gosched()
		}
	}
	over.Store(true)
	readers.Wait()
	l.reclaim()
	if l.first != l.last || l.last.readers.Load() != 0 {
		t.Error("the log has readers when all are gone")
	}
	if fills := numbers / fit; len(made) >= fills-1 {
		t.Errorf("%d chunks were made for %d fills: none was used again", len(made), fills)
	}
}

// counts says whether p holds the numbers from next on.
func counts(t *testing.T, p []byte, next uint64) bool {
	for ; len(p) > 0; p, next = p[8:], next+1 {
		if got := binary.LittleEndian.Uint64(p); got != next {
			t.Errorf("read %d, want %d", got, next)
			return false
		}
	}
	return true
}

// TestCursorLimit: a limit is exact, also between chunks, and for a cursor that is beyond it
// already.
func TestCursorLimit(t *testing.T) {
	l := newBroadcastLog(10)
	ahead := l.openCursor()
	say := func(text string) {
		l.commit(append(l.reserve(len(text)), text...))
	}
	say("0123")
	say("456789") // fills the chunk to the octet
	say("abcdefgh")
	say("ijk") // two octets stay empty before it
	all := "0123456789abcdefghijk"
	if third := l.first.next.Load().next.Load(); third != l.last {
		t.Fatal("want three chunks")
	}
	for limit := range len(all) + 1 {
		c := l.first
		c.readers.Add(1)
		cur, got := cursor{chunk: c}, ""
		for p := cur.pending(uint64(limit)); p != nil; p = cur.pending(uint64(limit)) {
			got += string(p)
			cur.off += len(p)
		}
		if got != all[:limit] {
			t.Errorf("up to %d: got %q", limit, got)
		}
		if where := cur.position(); where != uint64(limit) {
			t.Errorf("up to %d: the cursor stands at %d", limit, where)
		}
		cur.close()
	}
	for p := ahead.pending(forever); p != nil; p = ahead.pending(forever) {
		ahead.off += len(p)
	}
	for limit := range len(all) + 1 {
		if p := ahead.pending(uint64(limit)); p != nil {
			t.Errorf("a cursor at the end, given the limit %d, gives %q", limit, p)
		}
	}
}
