package server

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// What a pool refuses a job with; the client is told so.
var (
	errBusy     = errors.New("server is busy, try again")
	errStopping = errors.New("server is going down")
)

// queuePerWorker bounds the jobs that wait: at 65 ms a hash, what waits longest
// has its turn before the default login timeout.
const queuePerWorker = 128

// niceness of the hashing threads: the loop that serves the clients goes first.
const niceness = 10

// job is work for a processor, and what is done with its result.
type job struct {
	work func() error
	done func(error)
}

// pool hashes passwords beside the loops that serve clients, without starving
// them: few threads of its own, of low priority, behind a bounded queue.
type pool struct {
	jobs     chan job
	results  chan func()
	stopping atomic.Bool
	workers  sync.WaitGroup
	carrier  sync.WaitGroup

	mu     sync.Mutex
	closed bool // jobs is
}

// hashers is how many threads may hash: one processor stays free of them. There
// may be more processors than CPUs, where threads block.
func hashers() int { return max(min(runtime.GOMAXPROCS(0), runtime.NumCPU())-1, 1) }

func newPool(workers, queue int) *pool {
	p := &pool{jobs: make(chan job, queue), results: make(chan func())}
	for range workers {
		p.workers.Go(p.hash)
	}
	p.carrier.Go(p.carry)
	return p
}

// submit hands a job in, and never blocks. If it returns nil, the job's done is
// called once, later, by another goroutine; otherwise never.
func (p *pool) submit(j job) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errStopping
	}
	select {
	case p.jobs <- j:
		return nil
	default:
		return errBusy
	}
}

// hash is one thread. It stays locked to the end, so that the thread ends with
// it: a raised niceness cannot be taken back without privilege.
func (p *pool) hash() {
	runtime.LockOSThread()
	unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), niceness) // raising it needs no privilege
	for j := range p.jobs {
		err := errStopping
		if !p.stopping.Load() {
			err = j.work()
		}
		p.results <- func() { j.done(err) }
	}
}

// carry calls done on an ordinary thread: done takes the room's lock, and a
// thread of low priority that is descheduled with it would hold up everybody.
func (p *pool) carry() {
	for done := range p.results {
		done()
	}
}

// close answers what waits with errStopping and returns when every thread of
// the pool has ended. It may be called more than once.
func (p *pool) close() {
	p.stopping.Store(true)
	p.mu.Lock()
	first := !p.closed
	if first {
		p.closed = true
		close(p.jobs)
	}
	p.mu.Unlock()
	p.workers.Wait()
	if first {
		close(p.results)
	}
	p.carrier.Wait()
}
