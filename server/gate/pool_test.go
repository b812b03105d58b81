package gate

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// neverGone is the gone function of a client that waits for its answer.
func neverGone() bool { return false }

// A pool whose threads are busy accepts as many jobs as its queue holds, and refuses the rest at
// once. It calls done of each accepted job exactly once.
func TestPoolIsBounded(t *testing.T) {
	const workers, queue = 2, 5
	p := newPool(workers, queue)
	release := make(chan struct{})
	var running, most, answered atomic.Int64
	var started sync.WaitGroup
	started.Add(workers)
	work := func(first bool) job {
		return job{
			gone: neverGone,
			work: func() error {
				if n := running.Add(1); n > most.Load() {
					most.Store(n)
				}
				if first {
					started.Done()
				}
				<-release
				running.Add(-1)
				return nil
			},
			done: func(err error) {
				if err != nil {
					t.Errorf("an accepted job got %v", err)
				}
				answered.Add(1)
			},
		}
	}
	for range workers {
		if err := p.submit(work(true)); err != nil {
			t.Fatal(err)
		}
	}
	started.Wait() // the threads are busy, the queue is empty
	for i := range queue {
		if err := p.submit(work(false)); err != nil {
			t.Fatalf("job %d of %d: %v", i, queue, err)
		}
	}
	for range 3 {
		if err := p.submit(work(false)); !errors.Is(err, errBusy) {
			t.Errorf("a job over the bound: %v, want %v", err, errBusy)
		}
	}
	close(release)
	waitFor(t, func() bool { return answered.Load() == workers+queue })
	p.close()
	if answered.Load() != workers+queue || most.Load() > workers {
		t.Errorf("%d answers to %d jobs, %d at once", answered.Load(), workers+queue, most.Load())
	}
}

// close answers waiting jobs, and later ones are refused.
func TestPoolClose(t *testing.T) {
	p := newPool(1, 100)
	begun, release := make(chan struct{}), make(chan struct{})
	var right, refused atomic.Int64
	count := func(err error) {
		switch {
		case err == nil:
			right.Add(1)
		case errors.Is(err, errStopping):
			refused.Add(1)
		}
	}
	p.submit(job{work: func() error { close(begun); <-release; return nil }, gone: neverGone, done: count})
	<-begun
	var submits sync.WaitGroup
	var taken atomic.Int64
	for range 50 {
		submits.Go(func() {
			if p.submit(job{work: func() error { return nil }, gone: neverGone, done: count}) == nil {
				taken.Add(1)
			}
		})
	}
	submits.Wait()
	var closes sync.WaitGroup
	closes.Go(p.close)
	closes.Go(p.close)
	waitFor(t, p.stopping.Load)
	close(release)
	closes.Wait()
	if right.Load() != 1 || refused.Load() != taken.Load() || taken.Load() != 50 {
		t.Errorf("%d done and %d refused of 1 running and %d waiting", right.Load(), refused.Load(), taken.Load())
	}
	if err := p.submit(job{}); !errors.Is(err, errStopping) {
		t.Errorf("submit after close: %v", err)
	}
}

// The hashing threads have a lower priority, and the one that calls done does not.
func TestPoolPriority(t *testing.T) {
	// The system call returns 20 - nice, so that only errors are negative.
	nice := func() int {
		n, err := unix.Getpriority(unix.PRIO_PROCESS, unix.Gettid())
		if err != nil {
			t.Error(err)
		}
		return 20 - n
	}
	p := newPool(1, 1)
	defer p.close()
	own := nice()
	var working int
	answering := make(chan int)
	j := job{gone: neverGone, work: func() error { working = nice(); return nil }, done: func(error) { answering <- nice() }}
	if err := p.submit(j); err != nil {
		t.Fatal(err)
	}
	if got := <-answering; got != own || working != max(own, niceness) {
		t.Errorf("nice %d at work and %d when answering, want %d and %d", working, got, max(own, niceness), own)
	}
}

// While passwords are hashed the runtime has one more processor for each hashing thread, so that
// the loops keep theirs; afterwards it has as many as before. If they shared one processor, a loop
// would have to wait until Go's scheduler, which knows no priorities, takes it from the hashing
// thread.
func TestPoolHasProcessorsOfItsOwn(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const workers = 2
	p := newPool(workers, 10)
	defer p.close()
	if n := runtime.GOMAXPROCS(0); n != 1 {
		t.Errorf("%d processors while nothing is hashed, want 1", n)
	}
	during := make(chan int)
	for range 5 {
		p.submit(job{gone: neverGone, work: func() error { during <- runtime.GOMAXPROCS(0); return nil }, done: func(error) {}})
		if n := <-during; n != 1+workers {
			t.Errorf("%d processors while passwords are hashed, want %d", n, 1+workers)
		}
	}
	waitFor(t, func() bool { return runtime.GOMAXPROCS(0) == 1 })
	p.submit(job{gone: neverGone, work: func() error { during <- runtime.GOMAXPROCS(0); return nil }, done: func(error) {}})
	if n := <-during; n != 1+workers {
		t.Errorf("%d processors when hashing begins again, want %d", n, 1+workers)
	}
	p.close()
	if n := runtime.GOMAXPROCS(0); n != 1 {
		t.Errorf("%d processors after the end, want 1", n)
	}
}

// With one processor, a goroutine that serves clients runs beside a password that is being hashed
// as if there were none. In 300 ms there are usually 60,000 round trips and more; if Go's scheduler
// shares the processor between both there are 15. The time is that for which the hashing thread
// has run: on a busy machine neither may run for long.
func TestPoolLeavesTheProcessor(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const least, most = 200, 300 * time.Millisecond
	p := newPool(1, 1)
	defer p.close()
	trips := pingPong(t)
	counted := make(chan int64)
	work := func() error {
		before := trips.Load()
		for end := threadTime() + most; threadTime() < end && trips.Load() < before+least; {
			for begun := time.Now(); time.Since(begun) < time.Millisecond; {
			}
		}
		counted <- trips.Load() - before
		return nil
	}
	p.submit(job{gone: neverGone, work: work, done: func(error) {}})
	n := <-counted
	if n < least {
		t.Errorf("%d round trips beside %v of work, want %d", n, most, least)
	}
}

// threadTime is how long this thread has run. It is no system call to Go's scheduler, which could
// take the processor away in one.
func threadTime() time.Duration {
	var at unix.Timespec
	unix.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_THREAD_CPUTIME_ID, uintptr(unsafe.Pointer(&at)), 0)
	return time.Duration(at.Nano())
}

// pingPong sends an octet back and forth between two goroutines that wait in Go's netpoller, and
// counts the trips.
func pingPong(t *testing.T) *atomic.Int64 {
	var trips atomic.Int64
	var ends [2][2]*os.File
	for i := range ends {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		ends[i] = [2]*os.File{r, w}
	}
	var both sync.WaitGroup
	for i := range 2 {
		both.Go(func() {
			for b := make([]byte, 1); ; trips.Add(1) {
				if _, err := ends[i][0].Read(b); err != nil {
					break
				}
				if _, err := ends[1-i][1].Write(b); err != nil {
					break
				}
			}
		})
	}
	ends[0][1].Write([]byte{1})
	t.Cleanup(func() {
		for _, e := range ends {
			e[0].Close()
			e[1].Close()
		}
		both.Wait()
	})
	return &trips
}
