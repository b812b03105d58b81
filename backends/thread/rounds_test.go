package thread

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chatbench/core"
)

// TestRoundsReachEverybody: every writer learns of everything that is said, though writers
// stall, end and begin meanwhile; and rounds end.
func TestRoundsReachEverybody(t *testing.T) {
	const writers, talkers, words = 24, 3, 500
	r := &rounds{room: core.NewRoom(core.Config{Authenticator: core.OpenDoor{}})}
	s := &server{rounds: r}
	var coordinator, group, talk sync.WaitGroup
	coordinator.Go(r.run)
	var said atomic.Int64
	var over atomic.Bool
	heard := make([]atomic.Int64, writers)
	for i := range writers {
		group.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 1))
			for !over.Load() { // each time as another connection
				listen(s, rng, &said, &heard[i], &over)
			}
		})
	}
	for range talkers {
		talk.Go(func() {
			for range words {
				turn := r.turns.Load()
				said.Add(1)
				r.WakeRoom()
				sleepOn(&r.turns, turn, time.Millisecond) // it is not counted as a waiting reader, so nobody wakes it
			}
		})
	}
	talk.Wait()
	lowest := func() int64 {
		least := heard[0].Load()
		for i := range heard {
			least = min(least, heard[i].Load())
		}
		return least
	}
	for deadline := time.Now().Add(time.Minute); lowest() < talkers*words; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("a writer has seen %d words of %d, and is not woken", lowest(), talkers*words)
		}
	}
	over.Store(true)
	r.WakeRoom() // wakes the writers, so that they see that it is over
	group.Wait()
	r.stop()
	coordinator.Wait()
	if left, places := r.left.Load(), uint32(r.places.Load()); left != 0 || places != 0 {
		t.Errorf("afterwards a round waits for %d writers, and %d places are held", left, places)
	}
}

// listen is a writer that runs for some turns, or until the test is over.
func listen(s *server, rng *rand.Rand, said, heard *atomic.Int64, over *atomic.Bool) {
	c := &conn{server: s, place: place{rounds: s.rounds}}
	for turns := rng.IntN(50); ; turns-- {
		c.place.take()
		heard.Store(said.Load())
		if rng.IntN(10) == 0 { // a client that takes no more for a while
			c.place.leave()
			runtime.Gosched() // so that the next round may begin, or not
			c.place.give()
			runtime.Gosched()
			c.place.take()
			heard.Store(said.Load())
		}
		c.place.leave()
		if turns == 0 || over.Load() {
			c.place.give()
			return
		}
		c.sleep()
	}
}

// TestBell: a ring before the owner sleeps is not lost, and waitUntil ends at its deadline.
func TestBell(t *testing.T) {
	var b bell
	if b.waitUntil(time.Now().Add(time.Millisecond)) {
		t.Error("rung by nobody")
	}
	b.ring()
	b.ring()
	if !b.waitUntil(time.Now()) {
		t.Error("rung before, and not heard")
	}
	if b.waitUntil(time.Now()) {
		t.Error("heard twice")
	}
	const rings = 2000
	var back bell
	go func() {
		for range rings {
			b.wait()
			back.ring()
		}
	}()
	for i := range rings {
		b.ring()
		if !back.waitUntil(time.Now().Add(time.Minute)) {
			t.Fatalf("ring %d was not heard", i)
		}
	}
}
