package reactors_test

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"chatbench/backends/backendtest"
	"chatbench/core/wire"
)

// TestConformanceByLoops checks several numbers of loops against the contract.
func TestConformanceByLoops(t *testing.T) {
	for _, loops := range []int{2, 4, 8} {
		if loops == runtime.GOMAXPROCS(0) {
			continue // TestConformance has it
		}
		t.Run(fmt.Sprint(loops), func(t *testing.T) {
			raiseProcs(t, loops)
			backendtest.Run(t, withLoops(loops))
		})
	}
}

// talk lets six clients say 7 MiB together, all at once, and returns how long it takes until all have
// received all of it.
func talk(t *testing.T, loops int) time.Duration {
	const clients, each, length = 6, 1200, 972
	r := serve(t, loops)
	all := r.logins(clients)
	frame := wire.AppendChat(nil, strings.Repeat("x", length))
	said := clients * each * len(wire.AppendSaid(nil, all[0].name, frame[1:len(frame)-1]))
	batch := bytes.Repeat(frame, 12)
	began := time.Now()
	var wg sync.WaitGroup
	for _, c := range all {
		wg.Go(func() {
			for range each / 12 {
				if _, err := c.conn.Write(batch); err != nil {
					t.Errorf("say: %v", err)
					return
				}
			}
		})
		wg.Go(func() {
			if err := c.hear(said); err != nil {
				t.Errorf("hear: %v", err)
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	if t.Failed() {
		t.Logf("left:%s", r.ends())
	}
	t.Logf("%d loops: %d clients heard %.1f MiB in %v", loops, clients, float64(said)/(1<<20), took.Round(time.Millisecond))
	return took
}

// TestTalkByLoops: loops that wait for each other must not wait for a loop that has nothing to do, nor in a
// circle.
func TestTalkByLoops(t *testing.T) {
	one := talk(t, 1)
	for _, loops := range []int{2, 3, 4, 8} {
		t.Run(fmt.Sprint(loops), func(t *testing.T) {
			raiseProcs(t, loops)
			if took, most := talk(t, loops), max(100*one, 10*time.Second); took > most {
				t.Errorf("took %v, %v at most: one loop takes %v", took, most, one)
			}
		})
	}
}

// TestSteadyTalkByLoops: one client says 64 KiB a second, and the others soon receive their own messages. A
// busy machine may make one attempt slow, but not three.
func TestSteadyTalkByLoops(t *testing.T) {
	for _, loops := range []int{1, 2, 8} {
		t.Run(fmt.Sprint(loops), func(t *testing.T) {
			raiseProcs(t, loops)
			for range 3 {
				worst, n := steadyTalk(t, loops, 1500*time.Millisecond)
				t.Logf("%d round trips, the worst took %v", n, worst.Round(10*time.Microsecond))
				if worst <= 5*time.Second {
					return
				}
			}
			t.Errorf("the worst round trip took more than five seconds, three times in turn")
		})
	}
}

// steadyTalk returns the longest of all round trips, including logins, and how many there were without
// logins.
func steadyTalk(t *testing.T, loops int, length time.Duration) (worst time.Duration, n int) {
	const clients = 5
	r := serve(t, loops)
	talker := r.login(clients)
	frame := wire.AppendChat(nil, strings.Repeat("x", 1000))
	go func() { // reads until the connection is closed
		for talker.hear(1<<20) == nil {
		}
	}()
	const before = 512 << 10 // said before the others come
	if _, err := talker.conn.Write(bytes.Repeat(frame, before/len(frame))); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(timeout); r.room.Said() < before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d octets were said of %d", r.room.Said(), before)
		}
	}
	var all []*client
	for i := range clients {
		began := time.Now()
		all = append(all, r.login(i))
		worst = max(worst, time.Since(began))
	}
	end := time.Now().Add(length)
	var wg sync.WaitGroup
	var mu sync.Mutex
	wg.Go(func() {
		for time.Now().Before(end) {
			if _, err := talker.conn.Write(frame); err != nil {
				t.Errorf("say: %v", err)
				return
			}
			time.Sleep(16 * time.Millisecond)
		}
	})
	for _, c := range all {
		wg.Go(func() {
			for i := 0; time.Now().Before(end); i++ {
				began := time.Now()
				if err := c.echo(fmt.Sprint("no ", i)); err != nil {
					t.Error(err)
					return
				}
				took := time.Since(began)
				mu.Lock()
				worst, n = max(worst, took), n+1
				mu.Unlock()
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	wg.Wait()
	return worst, n
}

// echo says something and waits until it comes back.
func (c *client) echo(text string) error {
	if _, err := c.conn.Write(wire.AppendChat(nil, text)); err != nil {
		return err
	}
	want := wire.AppendSaid(nil, c.name, []byte(text))
	for {
		if _, err := c.in.ReadSlice(0); err != nil { // the head of a frame
			return err
		}
		got, err := c.in.ReadSlice(0)
		if err != nil {
			return err
		}
		if bytes.Equal(got, want[1:]) {
			return nil
		}
	}
}
