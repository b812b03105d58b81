package process

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/backends/internal/readiness"
	"chatbench/backends/internal/socket"
	"chatbench/backends/internal/tasks"
	"chatbench/backends/process/child"
	"chatbench/core"
	"chatbench/internal/loglimit"
)

// turnSteps is how often a client is read in a turn.
const turnSteps = child.FromClient / backends.FeedStep

// A loop that has nothing to do first waits briefTimes times for briefTime without giving its
// processor away (see readiness.Call). Between these waits other goroutines may run.
const (
	briefTime  = 2 * time.Millisecond
	briefTimes = 10
)

// loop is the parent's one event loop.
type loop struct {
	cfg           backends.Config
	poller        *poller // everything but inputs; inputs is in it
	inputs        *poller // the pipes and sockets from which clients are read
	bell          *readiness.Doorbell
	listener      *socket.Listener
	forker        *forker
	tasks         tasks.Budget
	logLimit      loglimit.Limit // for clients that cannot be served
	childLogLimit loglimit.Limit // for children that have died

	// Set by any goroutine.
	roomGrew    atomic.Bool
	mu          sync.Mutex
	wakes       []*client // sessions that the room has woken: they have output of their own, or must close
	wakesClosed bool      // run has ended: wakes are discarded
	forked      []forkResult
	stopping    atomic.Bool
	cutting     atomic.Bool

	// Used only by the loop's goroutine.
	live           []*client
	children       []*childProc // not reaped yet
	starting       []*childProc // those that may not have all their threads yet, and maybe some that were reaped
	startingAt     time.Time    // when starting was last checked
	waiting        []*childProc // those that wait for a client
	queue          []*client    // those for which no child is requested yet; some may be gone
	promised       int          // clients that are deciding or queued
	requested      int          // children requested for clients
	requestedAhead int          // children requested ahead
	joinedAt       time.Time    // when the newest client came, if children are forked ahead
	quietAt        time.Time    // when spawnAhead has to be called again; zero: at the next event
	lingering      lingerers
	inputPause     inputPause
	spareWakes     []*client
	spareForked    []forkResult
	buf            []byte
	flushedAt      uint64 // Room.Said at the last flush of the room
	read           int    // octets since the last flush
	timer          backends.TurnTimer
}

func newLoop(cfg backends.Config) (*loop, error) {
	l := &loop{
		cfg: cfg, buf: make([]byte, backends.FeedStep), tasks: tasks.Budget{Margin: spareTasks},
		timer: cfg.Counters.TurnTimer(),
	}
	if err := l.open(); err != nil {
		l.close()
		return nil, err
	}
	l.forker = newForker(cfg, l.noteForked)
	return l, nil
}

// open makes the pollers, the doorbell and the listener.
func (l *loop) open() (err error) {
	if l.poller, err = newPoller(); err != nil {
		return err
	}
	if l.inputs, err = newPoller(); err != nil {
		return err
	}
	if l.bell, err = readiness.NewDoorbell(); err != nil {
		return fmt.Errorf("process: %w", err)
	}
	if l.listener, err = socket.ListenLoop(l.cfg, false); err != nil {
		return err
	}
	err = errors.Join(
		l.poller.add(l.bell.FD, unix.EPOLLIN, l.bell.Clear),
		l.poller.add(l.inputs.fd, unix.EPOLLIN, l.takeInput),
		l.watchListener())
	if err != nil {
		return fmt.Errorf("process: watching the listener: %w", err)
	}
	return nil
}

// close closes what open has made, even if open failed.
func (l *loop) close() {
	if l.listener != nil {
		l.listener.Close()
	}
	if l.bell != nil {
		l.bell.Close()
	}
	for _, p := range []*poller{l.inputs, l.poller} {
		if p != nil {
			_ = unix.Close(p.fd)
		}
	}
}

// WakeRoom notes that the log has grown.
func (l *loop) WakeRoom() {
	if !l.roomGrew.Load() && !l.roomGrew.Swap(true) {
		l.bell.Ring()
	}
}

// Wake notes that a session has output of its own, or must close.
func (l *loop) Wake(s *core.Session) {
	c := s.Tag().(*client)
	if c.inWakes.Load() || c.inWakes.Swap(true) {
		return
	}
	l.mu.Lock()
	if !l.wakesClosed {
		l.wakes = append(l.wakes, c)
	}
	l.mu.Unlock()
	l.bell.Ring()
}

// noteForked notes a result of the forker, whose goroutine calls it.
func (l *loop) noteForked(r forkResult) {
	l.mu.Lock()
	l.forked = append(l.forked, r)
	l.mu.Unlock()
	l.bell.Ring()
}

// stop makes the loop end when its connections have ended, or cuts them.
func (l *loop) stop(cut bool) {
	if cut {
		l.cutting.Store(true)
	}
	l.stopping.Store(true)
	l.bell.Ring()
}

// run runs turns until the loop is stopped and its last child is reaped.
func (l *loop) run() error {
	defer l.close()
	defer l.forker.end()
	defer l.closeWakes()
	for {
		l.spawnAhead()
		if l.stopping.Load() && l.stopped() {
			return nil
		}
		n, err := l.wait()
		if err != nil {
			l.abandon()
			return fmt.Errorf("process: waiting: %w", err)
		}
		l.timer.Begin()
		for i := range n {
			l.poller.handle(i)
		}
		l.takeForked()
		l.flush()
		if l.inputPause.active() {
			l.checkAwaited(time.Now())
		}
		if l.lingering.len() > 0 {
			l.killLingering(time.Now())
		}
		if l.listener.Paused() {
			l.resumeAccepting(time.Now())
		}
		l.timer.Over()
	}
}

// closeWakes discards wakes, these and later ones.
func (l *loop) closeWakes() {
	l.mu.Lock()
	l.wakes, l.wakesClosed = nil, true
	l.mu.Unlock()
}

// abandon ends everything when the loop cannot wait for events any more.
func (l *loop) abandon() {
	l.stopListening()
	l.queue = nil
	l.forker.end()
	l.takeForked()
	l.cutAll()
	l.endWaiting()
	for len(l.children) > 0 {
		l.reap(l.children[len(l.children)-1])
	}
}

// stopped says whether a loop that was stopped has ended everything.
func (l *loop) stopped() bool {
	l.stopListening()
	l.endWaiting()
	if l.cutting.Load() {
		l.cutAll()
	}
	return len(l.live)+len(l.children)+l.requested+l.requestedAhead == 0
}

// wait sleeps until there is work. The loop marks itself as sleeping before it checks for work
// for the last time, so no wake is lost.
func (l *loop) wait() (n int, err error) {
	timeout := l.maxSleep()
	l.bell.Sleep()
	if l.hasWork() {
		timeout = 0
	}
	if l.requested+l.requestedAhead == 0 || timeout == 0 { // otherwise the forker needs the processor
		n, err = l.waitBriefly(timeout)
	}
	if n == 0 && err == nil && timeout != 0 {
		n, err = l.poller.wait(timeout, false)
	}
	l.bell.Awake()
	return n, err
}

// waitBriefly waits without giving the processor away; see readiness.Call.
func (l *loop) waitBriefly(timeout time.Duration) (n int, err error) {
	brief, times := timeout, 1
	if timeout < 0 || timeout > briefTime {
		brief, times = briefTime, briefTimes
	}
	for range times {
		runtime.Gosched() // let other goroutines run first
		if n, err = l.poller.wait(brief, true); n > 0 || err != nil {
			break
		}
	}
	return n, err
}

// maxSleep is how long the loop may sleep if nothing happens; negative means for ever.
func (l *loop) maxSleep() time.Duration {
	var next time.Time
	sooner := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	if l.lingering.len() > 0 {
		sooner(l.lingering.next)
	}
	if l.listener.Paused() {
		sooner(l.listener.PausedUntil)
	}
	if l.inputPause.active() {
		sooner(l.inputPause.nextCheck)
	}
	if !l.quietAt.IsZero() {
		sooner(l.quietAt)
	}
	if next.IsZero() {
		return -1
	}
	return max(time.Until(next), 0)
}

func (l *loop) hasWork() bool {
	if l.roomGrew.Load() || l.cutting.Load() && len(l.live) > 0 || l.stopping.Load() && l.listener.FD >= 0 {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.wakes)+len(l.forked) > 0
}

// flushIfMuch flushes in the middle of a turn if much was read or said.
func (l *loop) flushIfMuch() {
	if l.read > backends.FlushAfter || l.cfg.Room.Said()-l.flushedAt > backends.FlushAfter {
		l.flush()
	}
}

// flush writes to each client, once, everything it is behind, and handles the sessions that were
// woken.
func (l *loop) flush() {
	l.read = 0
	if l.roomGrew.Load() {
		l.roomGrew.Store(false) // before the log is read: later messages wake again
		l.flushedAt = l.cfg.Room.Said()
		for _, c := range l.live { // write removes no client from the list
			if !c.blocked {
				l.write(c)
			}
		}
	}
	l.mu.Lock()
	wakes := l.wakes
	l.wakes = l.spareWakes
	l.mu.Unlock()
	for i, c := range wakes {
		c.inWakes.Store(false)
		wakes[i] = nil
		l.handleWoken(c)
	}
	l.spareWakes = wakes[:0]
}
