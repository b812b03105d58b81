package thread

import (
	"runtime"
	"sync"
	"time"
)

// spareTime is how long a thread without a client waits for the next one.
const spareTime = time.Second

// crew is the threads of the clients. One whose client has gone waits a while
// for another: to make a thread and to end it takes a tenth of a millisecond.
type crew struct {
	jobs    chan func()
	over    chan struct{}
	threads sync.WaitGroup
}

func newCrew() *crew { return &crew{jobs: make(chan func()), over: make(chan struct{})} }

// run has a thread do a job, and returns when one has taken it: whoever starts
// threads faster than they come to run would only make them wait.
func (c *crew) run(job func()) {
	select {
	case c.jobs <- job:
	default:
		c.threads.Go(c.work)
		c.jobs <- job
	}
}

// work is a thread. It is never unlocked from its goroutine, and so ends with it.
func (c *crew) work() {
	runtime.LockOSThread()
	spare := time.NewTimer(spareTime)
	defer spare.Stop()
	for {
		select {
		case job := <-c.jobs:
			job()
			spare.Reset(spareTime)
		case <-spare.C:
			return
		case <-c.over:
			return
		}
	}
}

// end returns when no thread is left. Nothing is run any more.
func (c *crew) end() {
	close(c.over)
	c.threads.Wait()
}
