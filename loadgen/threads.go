package loadgen

import (
	"errors"
	"fmt"
	"runtime"

	"chatbench/internal/processors"
	"chatbench/loadgen/pin"
)

// threads are OS threads that are locked, pinned on request, and do one job after the
// other. The first of them also tells the others what to do: a job for the first alone
// costs no switch to another thread.
type threads struct {
	jobs  []chan func()
	lower func() // gives GOMAXPROCS back
}

// startThreads starts n threads. A single thread runs on any of the given CPUs; of several
// each has one CPU. Without CPUs they run anywhere.
func startThreads(n int, cpus []int) (*threads, error) {
	t := &threads{lower: func() {}}
	if n > 1 { // the threads spin, and other goroutines need a processor too
		t.lower = processors.Extra(n - 1)
	}
	for i := range n {
		on := cpus
		if n > 1 && len(cpus) > 0 {
			on = cpus[i : i+1]
		}
		jobs := make(chan func())
		t.jobs = append(t.jobs, jobs)
		pinned := make(chan error)
		go func() {
			runtime.LockOSThread() // for good: the thread ends with its goroutine, CPU mask and all
			pinned <- pin.Thread(on)
			for job := range jobs {
				job()
			}
		}()
		if err := <-pinned; err != nil {
			t.close()
			return nil, fmt.Errorf("%w: %w", ErrConfig, err)
		}
	}
	return t, nil
}

// close ends the threads.
func (t *threads) close() {
	for _, jobs := range t.jobs {
		close(jobs)
	}
	t.lower()
}

// first does a job on the first thread and waits for it.
func (t *threads) first(job func() error) error {
	done := make(chan error)
	t.jobs[0] <- func() { done <- job() }
	return <-done
}

// each does a job on every thread at the same time, and waits for all of them. It must
// be called on the first thread. Of several errors it returns the one that caused
// the others.
func (t *threads) each(job func(i int) error) error {
	others := make(chan error, len(t.jobs))
	for i, jobs := range t.jobs[1:] {
		jobs <- func() { others <- job(i + 1) }
	}
	err := job(0)
	for range t.jobs[1:] {
		if other := <-others; err == nil || other != nil && errors.Is(err, ErrInterrupted) {
			err = other
		}
	}
	return err
}
