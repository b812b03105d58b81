package uring

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"testing"
	"time"

	"chatbench/core"
)

// TestDroppedHearsOnlyWhatWasSaid: a client that reads nothing sends FIN while a send to it is in flight,
// and then the chunk of the log that is being sent is used again. What the client reads after that was
// said before it left.
func TestDroppedHearsOnlyWhatWasSaid(t *testing.T) {
	r := serve(t, core.Config{LagLimit: 64 << 20, LagTime: time.Hour}, 4<<10)
	alice := r.login("alice", 0)
	stuck := r.login("stuck", 4<<10)
	var before []byte
	for i := range 300 { // more than the kernel takes
		before = append(before, r.say(alice, "alice", numbered("before", i))...)
	}
	r.eventually(func() bool { return r.counters.Stalls.Load() >= 2 }, "a send of many messages is in flight")
	if err := stuck.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	r.eventually(func() bool { return r.room.Snapshot().Ends[core.ReasonEOF] == 1 }, "the client is dropped")
	for i := range 5 << 10 { // 5 MiB: chunks have 1, and two are kept for use again
		r.say(alice, "alice", numbered("after", i))
		if i%1000 == 0 {
			runtime.GC()
		}
	}
	got, err := io.ReadAll(stuck)
	t.Logf("the client was sent %d octets of %d, and then: %v", len(got), len(before), err)
	if !bytes.HasPrefix(before, got) || len(got) == len(before) {
		t.Errorf("of %d octets that the client was sent, some were not said before it left, or it was sent all", len(got))
	}
}

// TestSlowHearsOnlyWhatWasSaid: the same for a client that is ended as slow, whose session then has no
// more output.
func TestSlowHearsOnlyWhatWasSaid(t *testing.T) {
	r := serve(t, core.Config{LagLimit: 4 << 10, LagTime: time.Millisecond}, 4<<10)
	alice := r.login("alice", 0)
	stuck := r.login("stuck", 4<<10)
	var said []byte
	for i := range 300 { // more than the kernel takes
		said = append(said, r.say(alice, "alice", numbered("before", i))...)
	}
	r.eventually(func() bool { return r.counters.Stalls.Load() >= 2 }, "a send of many messages is in flight")
	r.eventually(func() bool {
		r.room.Tick(time.Now())
		return r.room.Snapshot().Ends[core.ReasonSlow] == 1
	}, "the client is slow")
	for i := range 5 << 10 {
		said = append(said, r.say(alice, "alice", numbered("after", i))...)
	}
	r.eventually(func() bool { return r.room.Snapshot().Clients == 1 }, "the client is gone")
	got, err := io.ReadAll(stuck)
	t.Logf("the client was sent %d octets, and then: %v", len(got), err)
	if !bytes.HasPrefix(said, got) {
		t.Errorf("of %d octets that the client was sent, some were not said", len(got))
	}
}

// TestStalledSendKeepsItsOctets: while a send is in flight its session keeps the octets, however much is
// said meanwhile, and a client that reads again receives all of them.
func TestStalledSendKeepsItsOctets(t *testing.T) {
	r := serve(t, core.Config{LagLimit: 64 << 20, LagTime: time.Hour}, 64<<10)
	alice := r.login("alice", 0)
	late := r.login("late", 0)
	var said []byte
	for i := range 6 << 10 {
		said = append(said, r.say(alice, "alice", numbered("no", i))...)
		if i%1000 == 0 {
			runtime.GC()
		}
	}
	if r.counters.Stalls.Load() == 0 {
		t.Fatal("the client was never behind")
	}
	got := make([]byte, len(said))
	if _, err := io.ReadFull(late, got); err != nil || !bytes.Equal(got, said) {
		t.Errorf("what was said and what was heard differ, or: %v", err)
	}
}

// TestTurnAllocatesNothing: neither a message nor its delivery allocates.
func TestTurnAllocatesNothing(t *testing.T) {
	const clients, messages = 20, 500
	r := serve(t, core.Config{}, 0)
	alice := r.login("alice", 0)
	var others []io.Reader
	for i := range clients {
		others = append(others, r.login(fmt.Sprint("c", i), 0))
	}
	buf := make([]byte, 64)
	want := len("\x00alice: hello\x00")
	talk := func() {
		for range messages {
			alice.Write([]byte("\x00hello\x00"))
			for _, c := range append(others, alice) {
				if _, err := io.ReadFull(c, buf[:want]); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	talk() // first, for what is allocated only once
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	talk()
	runtime.ReadMemStats(&after)
	// The test itself allocates with each message, and the runtime now and then.
	if n := after.Mallocs - before.Mallocs; n > 3*messages {
		t.Errorf("%d allocations for %d deliveries of %d messages", n, clients*messages, messages)
	}
}
