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

// TestRoundsReachEverybody: whatever is said, every writer comes to see it,
// though writers stall, end and begin meanwhile; and rounds do end.
func TestRoundsReachEverybody(t *testing.T) {
	const writers, talkers, words = 24, 3, 500
	r := &rounds{room: core.NewRoom(core.Config{Authenticator: core.OpenDoor{}})}
	s := &server{rounds: r}
	var conductor, group, talk sync.WaitGroup
	conductor.Go(r.conduct)
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
				sleepOn(&r.turns, turn, time.Millisecond) // no reader waits, so nobody wakes us
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
	for deadline := time.Now().Add(10 * time.Second); lowest() < talkers*words; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("somebody has heard %d words of %d, and is not woken", lowest(), talkers*words)
		}
	}
	over.Store(true)
	r.WakeRoom() // so that they look
	group.Wait()
	r.stop()
	conductor.Wait()
	if left, places := r.left.Load(), uint32(r.places.Load()); left != 0 || places != 0 {
		t.Errorf("afterwards a round waits for %d writers, and %d places are held", left, places)
	}
}

// listen is a writer's life, up to some turn or to the end of all.
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

// TestBell: a bell that is rung before its owner sleeps is not lost, and one
// that is not rung is waited for no longer than agreed.
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
	const strokes = 2000
	var back bell
	go func() {
		for range strokes {
			b.wait()
			back.ring()
		}
	}()
	for i := range strokes {
		b.ring()
		if !back.waitUntil(time.Now().Add(10 * time.Second)) {
			t.Fatalf("stroke %d was not heard", i)
		}
	}
}
