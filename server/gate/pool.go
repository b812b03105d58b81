package gate

import (
	"errors"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/internal/processors"
)

// Why a pool refuses a job. The client is told this text.
var (
	errBusy     = errors.New("server is busy, try again")
	errCrowded  = errors.New("too many logins from your address at once, try again")
	errStopping = errors.New("server is going down")
)

// errAbandoned is the result of a job whose client has gone. Nobody sees it.
var errAbandoned = errors.New("nobody waits for the answer")

// queuePerWorker bounds the waiting jobs: at 65 ms a hash, the last one has its turn before the
// default login timeout.
const queuePerWorker = 128

// niceness is the nice value of the hashing threads. On a CPU that they share with a loop the loop
// gets nine tenths if it needs them, and a hash still ends within a second.
const niceness = 10

// raisedFor is how long the extra processors stay after the last hash, so that occasional logins
// do not change GOMAXPROCS all the time.
const raisedFor = time.Second

// job is one password to be hashed.
type job struct {
	from netip.Prefix // the client's address
	gone func() bool  // says whether nobody waits for the result any more
	work func() error // runs on a hashing thread
	done func(error)  // receives the result
}

// pool hashes passwords without starving the loops that serve clients: it has a few threads of low
// priority, and a bounded queue.
//
// Only the kernel knows priorities. Go's scheduler lets a goroutine keep its processor for 10 ms,
// however urgent another one is. So while passwords are hashed the runtime has one more processor
// for each hashing thread: the loops keep theirs, and the kernel decides who runs.
type pool struct {
	workers  int
	jobs     chan job    // for an idle thread; never blocks the sender
	results  chan func() // never blocks the sender
	wake     chan struct{}
	stopping atomic.Bool
	ended    sync.WaitGroup

	mu      sync.Mutex
	waiting *queue
}

// hashingThreads is how many threads may hash: all but one of the CPUs. GOMAXPROCS may
// be greater than the number of CPUs, for transports whose threads block.
//
// It is counted once, like the number of loops, though Go follows a CPU limit that changes at run
// time: if there are too many threads for a new limit, the kernel still puts them behind the
// loops. The same holds for a transport that has a loop for every processor.
func hashingThreads() int { return max(min(runtime.GOMAXPROCS(0), runtime.NumCPU())-1, 1) }

func newPool(workers, most int) *pool {
	p := &pool{
		workers: workers,
		jobs:    make(chan job, workers),
		results: make(chan func(), workers),
		wake:    make(chan struct{}, 1),
		waiting: newQueue(most),
	}
	for range workers {
		p.ended.Go(p.hash)
	}
	p.ended.Go(p.serve)
	return p
}

// submit queues a job, and never blocks. If it returns nil, another goroutine will call the job's
// done, once; otherwise nobody does. It may itself call done of other jobs.
func (p *pool) submit(j job) error {
	p.mu.Lock()
	if p.stopping.Load() {
		p.mu.Unlock()
		return errStopping
	}
	out, err := p.waiting.add(j)
	p.mu.Unlock()
	for _, o := range out {
		o.job.done(o.err)
	}
	if err == nil {
		p.ring()
	}
	return err
}

// queued is how many jobs wait for a thread.
func (p *pool) queued() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waiting.n
}

func (p *pool) ring() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// hash is one hashing thread. It stays locked, so that the thread ends with the goroutine: a
// raised nice value cannot be lowered without privileges.
func (p *pool) hash() {
	runtime.LockOSThread()
	// The system call returns 20 - nice. A process that is nicer already stays so: otherwise, with
	// privileges, the thread would get a higher priority than the loops.
	if own, err := unix.Getpriority(unix.PRIO_PROCESS, unix.Gettid()); err != nil || 20-own < niceness {
		unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), niceness) // raising it needs no privileges
	}
	for j := range p.jobs {
		err := errStopping
		if !p.stopping.Load() {
			err = j.work()
		}
		p.results <- func() { j.done(err) }
	}
}

// serve gives jobs to the threads and calls done. It runs on an ordinary thread, because the queue
// and done take locks, and a thread of low priority that is descheduled while it holds one would
// block everybody.
func (p *pool) serve() {
	defer close(p.jobs)
	var lower func() // nil: no processors were added
	idle := time.NewTimer(raisedFor)
	idle.Stop()
	for hashing := 0; ; {
		select {
		case answer := <-p.results:
			hashing--
			answer()
		case <-p.wake:
		case <-idle.C:
			if hashing == 0 && lower != nil {
				lower()
				lower = nil
			}
		}
		for hashing < p.workers {
			j, ok := p.next()
			if !ok {
				break
			}
			if lower == nil {
				lower = processors.Extra(p.workers)
			}
			hashing++
			p.jobs <- j
		}
		if hashing == 0 && lower != nil {
			idle.Reset(raisedFor)
		}
		if hashing == 0 && p.stopping.Load() {
			if lower != nil {
				lower()
			}
			return
		}
	}
}

// next takes the next job to be hashed from the queue. It calls done of those that need no
// hashing.
func (p *pool) next() (job, bool) {
	for {
		p.mu.Lock()
		j, ok := p.waiting.next()
		p.mu.Unlock()
		switch {
		case !ok:
			return job{}, false
		case p.stopping.Load():
			j.done(errStopping)
		case j.gone():
			j.done(errAbandoned)
		default:
			return j, true
		}
	}
}

// close answers waiting jobs with errStopping, and returns when every thread has ended. It may be
// called more than once.
func (p *pool) close() {
	p.mu.Lock()
	p.stopping.Store(true) // with the lock held: nothing is added after it
	p.mu.Unlock()
	p.ring()
	p.ended.Wait()
}
