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

// What a pool refuses a job with; the client is told so.
var (
	errBusy     = errors.New("server is busy, try again")
	errCrowded  = errors.New("too many logins from your address at once, try again")
	errStopping = errors.New("server is going down")
)

// errAbandoned is the answer to a job whose client has gone. Nobody sees it.
var errAbandoned = errors.New("nobody waits for the answer")

// queuePerWorker bounds the jobs that wait: at 65 ms a hash, what waits longest
// has its turn before the default login timeout.
const queuePerWorker = 128

// niceness of the hashing threads. On a CPU that they share with a loop, the loop
// has nine tenths of it if it needs them, and a hash still ends in a second.
const niceness = 10

// raisedFor is how long the extra processors stay after the last hash, so that a
// client now and then does not change their number all the time.
const raisedFor = time.Second

// job is work for a processor, and what is done with its result.
type job struct {
	from netip.Prefix // who asked
	gone func() bool  // nobody waits for the result any more
	work func() error
	done func(error)
}

// pool hashes passwords beside the loops that serve clients, without starving
// them: few threads of its own, of low priority, behind a bounded queue.
//
// Low priority means something to the kernel only. Go's scheduler lets a
// goroutine keep its processor for 10 ms, however urgent another is. So while
// passwords are hashed the runtime has one processor more for each hashing
// thread: the loops keep as many as they had, and the kernel decides who runs.
type pool struct {
	workers  int
	jobs     chan job    // for a thread that is free; never blocks the sender
	results  chan func() // never blocks the sender
	wake     chan struct{}
	stopping atomic.Bool
	ended    sync.WaitGroup

	mu      sync.Mutex
	waiting *queue
}

// hashers is how many threads may hash: all but one of the CPUs. GOMAXPROCS may
// be over the number of CPUs, where threads block.
//
// It is counted once, as the number of loops is, though Go follows a CPU limit
// that changes at run time: with too many threads for a new limit the kernel
// still puts them behind the loops. That also serves a transport which has a loop
// for each processor, and leaves none of them to others.
func hashers() int { return max(min(runtime.GOMAXPROCS(0), runtime.NumCPU())-1, 1) }

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

// submit hands a job in, and never blocks. If it returns nil, the job's done is
// called once, later, by another goroutine; otherwise never. It may call done of
// other jobs.
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

// hash is one thread. It stays locked to the end, so that the thread ends with
// it: a raised niceness cannot be taken back without privilege.
func (p *pool) hash() {
	runtime.LockOSThread()
	// The system call gives 20 - nice. A process that is nicer already stays so: with
	// privilege this would put the thread before the loops.
	if own, err := unix.Getpriority(unix.PRIO_PROCESS, unix.Gettid()); err != nil || 20-own < niceness {
		unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), niceness) // raising it needs no privilege
	}
	for j := range p.jobs {
		err := errStopping
		if !p.stopping.Load() {
			err = j.work()
		}
		p.results <- func() { j.done(err) }
	}
}

// serve hands jobs to the threads and answers them. It does so on an ordinary
// thread: the queue and done take locks, and a thread of low priority that is
// descheduled with one would hold up everybody.
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

// next takes a job to be worked on out of the queue. It answers those that need
// no work.
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

// close answers what waits with errStopping and returns when every thread of
// the pool has ended. It may be called more than once.
func (p *pool) close() {
	p.mu.Lock()
	p.stopping.Store(true) // with the lock held: nothing is added after it
	p.mu.Unlock()
	p.ring()
	p.ended.Wait()
}
