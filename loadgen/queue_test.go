package loadgen

import (
	"net"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sampledPair is both ends of a TCP connection; the second as a plain descriptor that is
// sampled or not. If it is, the kernel stamps all packets until the test ends.
func sampledPair(t *testing.T, sampled bool) (*net.TCPConn, *generator) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialed := make(chan net.Conn)
	go func() {
		c, _ := net.Dial("tcp", l.Addr().String())
		dialed <- c
	}()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	near := <-dialed
	file, err := c.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); c.Close(); file.Close() })
	cfg := Config{Clients: 1, Senders: 1, Window: 1, Size: 64, Threads: 1}
	g := newGenerator(cfg, newCommon(&cfg, 0), 0, 0)
	g.fds[0] = int(file.Fd())
	if g.queue.sampled[0] = sampled; sampled {
		g.queue.enable(0, g.fds[0])
		if !g.queue.sampled[0] {
			t.Skip("this kernel stamps nothing")
		}
	}
	g.origin = 1                                                                                  // the load has begun, long ago
	for end := time.Now().Add(10 * time.Second); sampled && g.queue.waits.Summary().Count == 0; { // the kernel takes its time to begin
		near.Write([]byte("a"))
		waitForData(t, g.fds[0], 1)
		if g.read(0); time.Now().After(end) {
			t.Fatal("nothing is stamped")
		}
	}
	g.queue.waits.Reset()
	return near.(*net.TCPConn), g
}

// waitForData waits until that many octets can be read.
func waitForData(t *testing.T, fd, octets int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; {
		n, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
		if err != nil || time.Now().After(end) {
			t.Fatalf("%d octets of %d arrived: %v", n, octets, err)
		}
		if n >= octets {
			return
		}
	}
}

// TestQueueWait: data in the socket waits from its arrival to the read;
// of several segments the newest counts.
func TestQueueWait(t *testing.T) {
	const lay = 30 * time.Millisecond
	near, g := sampledPair(t, true)
	near.Write([]byte("a"))
	waitForData(t, g.fds[0], 1)
	time.Sleep(lay)
	if n, _, err := g.read(0); n != 1 || err != nil {
		t.Fatalf("%d octets, %v", n, err)
	}
	if s := g.queue.waits.Summary(); s.Count != 1 || s.MinNS < int64(lay)*999/1000 {
		t.Errorf("lay for at least %v, but: %+v", lay, s)
	}
	g.queue.waits.Reset()
	near.Write([]byte("a"))
	time.Sleep(lay)
	before := time.Now()
	near.Write([]byte("b"))
	waitForData(t, g.fds[0], 2)
	if n, _, err := g.read(0); n != 2 || err != nil {
		t.Fatalf("%d octets, %v", n, err)
	}
	if s, most := g.queue.waits.Summary(), time.Since(before); s.Count != 1 || s.MaxNS > int64(most)*1001/1000 {
		t.Errorf("the newest lay for at most %v, but: %+v", most, s)
	}
}

// TestQueueSection: a read before the timed section is in no figure.
func TestQueueSection(t *testing.T) {
	near, g := sampledPair(t, true)
	g.from = int64(time.Hour)
	near.Write([]byte("a"))
	waitForData(t, g.fds[0], 1)
	g.read(0)
	if n := g.queue.waits.Summary().Count; n != 0 {
		t.Errorf("%d waits before the timed section", n)
	}
}

// TestReadAllocates: a read allocates nothing, sampled or not.
func TestReadAllocates(t *testing.T) {
	for _, sampled := range []bool{false, true} {
		near, g := sampledPair(t, sampled)
		one := []byte("a")
		allocated := testing.AllocsPerRun(50, func() {
			near.Write(one)
			waitForData(t, g.fds[0], 1)
			if n, _, err := g.read(0); n != 1 || err != nil {
				t.Fatalf("%d octets, %v", n, err)
			}
		})
		if n := g.queue.waits.Summary().Count; allocated != 0 || (n > 0) != sampled {
			t.Errorf("sampled %v: %v objects a read, %d waits", sampled, allocated, n)
		}
	}
}

// TestSampled: one client in sixteen is sampled, within bounds, evenly spread.
func TestSampled(t *testing.T) {
	for clients, want := range map[int]int{1: 1, 2: 1, 31: 1, 32: 2, 100: 6, 1000: 62, 8000: 64} {
		var at []int
		all := make([]int, clients)
		for i := range all {
			all[i] = i
		}
		for i, sampled := range newQueueSampler(clients, all).sampled {
			if sampled {
				at = append(at, i)
			}
		}
		if len(at) != want {
			t.Errorf("%d of %d clients are sampled, want %d", len(at), clients, want)
		}
		for k := 1; k < len(at); k++ {
			if gap := at[k] - at[k-1]; gap < clients/want || gap > clients/want+1 {
				t.Errorf("of %d clients those at %v are sampled", clients, at)
			}
		}
		if slices.Contains(at, 0) && clients > 1 {
			t.Errorf("of %d clients the first is sampled", clients)
		}
	}
}

// TestQueueInLatency: the wait is part of the latency, so for a single client the
// longest wait is at most the slowest delivery.
func TestQueueInLatency(t *testing.T) {
	sampledPair(t, true)
	address := startNull(t)
	r := run(t, Config{Server: address, Clients: 1, Rate: 2000, Duration: 200 * time.Millisecond})
	q, l := r.Generator.Queue, r.FromSend
	if q.Count == 0 || q.Count > int64(r.Deliveries.InAll) || q.MaxNS > l.MaxNS*1001/1000+1000 {
		t.Errorf("waits %+v, latencies %+v", q.Summary, l.Summary)
	}
	if r := run(t, Config{Server: address, Scenario: Idle, Clients: 2, Duration: 50 * time.Millisecond}); r.Generator.Queue.Count != 0 {
		t.Errorf("nothing is said, but %d reads waited", r.Generator.Queue.Count)
	}
}

// TestQueueOfSlice: a slice has the waits of its counted part, and neither those of
// its lead-in nor those of the slice before.
func TestQueueOfSlice(t *testing.T) {
	sampledPair(t, true)
	cfg := Config{Clients: 1, Rate: 1000, Warmup: 60 * time.Millisecond, Duration: 10 * time.Millisecond, Seed: 1}
	fleet := newStage(t, cfg, newRoom(t, 1, func(r *room) { r.script.Seed, r.script.Size, r.messages = 1, 64, 1<<40 }))[0]
	for slice := range 3 {
		r, e, err := fleet.Slice()
		if err != nil {
			t.Fatal(err)
		}
		if n := r.Generator.Queue.Count; n == 0 || n > int64(e.Deliveries) {
			t.Errorf("slice %d: %d waits, %d deliveries", slice, n, e.Deliveries)
		}
	}
}
