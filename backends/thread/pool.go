package thread

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// idleTimeout is how long a thread without a client waits for the next one.
const idleTimeout = time.Second

// threadPool runs the clients' threads. A thread whose client has left waits a while for
// another one, because starting and ending a thread takes a tenth of a millisecond.
type threadPool struct {
	jobs    chan func()
	over    chan struct{}
	threads sync.WaitGroup
	waiting atomic.Int32 // threads without a client
}

func newThreadPool() *threadPool {
	return &threadPool{jobs: make(chan func()), over: make(chan struct{})}
}

// idle is how many threads have no client. They stay for a moment.
func (p *threadPool) idle() int { return int(p.waiting.Load()) }

// run runs a job on a thread, and returns when a thread has taken it. Starting threads
// faster than they are scheduled would only make them wait.
func (p *threadPool) run(job func()) {
	select {
	case p.jobs <- job:
	default:
		p.threads.Go(p.work)
		p.jobs <- job
	}
}

// work is one thread. Its goroutine never unlocks it, so the thread ends with the goroutine.
func (p *threadPool) work() {
	runtime.LockOSThread()
	spare := time.NewTimer(idleTimeout)
	defer spare.Stop()
	for {
		p.waiting.Add(1)
		select {
		case job := <-p.jobs:
			p.waiting.Add(-1)
			job()
			spare.Reset(idleTimeout)
			continue
		case <-spare.C:
		case <-p.over:
		}
		p.waiting.Add(-1)
		return
	}
}

// end waits until all threads have ended. run must not be called any more.
func (p *threadPool) end() {
	close(p.over)
	p.threads.Wait()
}
