package thread

import (
	"runtime"
	"sync"
	"sync/atomic"
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
	waiting atomic.Int32 // threads without a client
}

func newCrew() *crew { return &crew{jobs: make(chan func()), over: make(chan struct{})} }

// idle is how many threads there are without a client. They stay for a moment.
func (c *crew) idle() int { return int(c.waiting.Load()) }

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
		c.waiting.Add(1)
		select {
		case job := <-c.jobs:
			c.waiting.Add(-1)
			job()
			spare.Reset(spareTime)
			continue
		case <-spare.C:
		case <-c.over:
		}
		c.waiting.Add(-1)
		return
	}
}

// end returns when no thread is left. Nothing is run any more.
func (c *crew) end() {
	close(c.over)
	c.threads.Wait()
}
