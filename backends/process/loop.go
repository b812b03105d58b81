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
	"chatbench/backends/internal/tasks"
	"chatbench/backends/process/child"
	"chatbench/core"
	"chatbench/internal/loglimit"
)

// turnSteps is how often a client is read before others have their turn.
const turnSteps = child.FromClient / backends.FeedStep

// How long the loop waits with its processor in hand when it has nothing to do;
// in between others may have it.
const (
	briefTime  = 2 * time.Millisecond
	briefTimes = 10
)

// loop is the parent's one event loop.
type loop struct {
	cfg      backends.Config
	poller   *poller // of all that is no input, and of inputs
	inputs   *poller // of the pipes that bring what clients sent
	bell     *readiness.Doorbell
	listener *listener
	forker   *forker
	tasks    tasks.Budget
	lines    loglimit.Limit // of clients who cannot be served
	deaths   loglimit.Limit // of children

	// Work noted by any goroutine.
	roomGrew   atomic.Bool
	mu         sync.Mutex
	mail       []*client // sessions with output of their own, or that must close
	mailClosed bool      // nobody reads the mail any more
	forked     []result
	stopping   atomic.Bool
	cutting    atomic.Bool

	// The loop's own.
	live        []*client
	kids        []*kid    // not reaped yet
	waiting     []*kid    // of them, without a client
	due         []*client // for whom no child is ordered yet; some may be gone
	promised    int       // clients that are deciding or due
	ordered     int       // children ordered for a client
	orderedMore int       // and to wait for one
	joinedAt    time.Time // when the newest client came, if children are spawned ahead
	quietAt     time.Time // when to look again whether to; zero: when something happens
	lingering   lingerers
	hold        hold
	spareMail   []*client
	spareForked []result
	buf         []byte
	flushedAt   uint64 // Room.Said at the last flush of the room
	read        int    // octets since the last flush
	timer       backends.TurnTimer
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
	l.forker = newForker(cfg, l.took)
	return l, nil
}

// open makes what the loop waits with and for.
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
	if l.listener, err = listen(l.cfg); err != nil {
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

// close gives up what open made, as far as it came.
func (l *loop) close() {
	if l.listener != nil && l.listener.fd >= 0 {
		l.listener.close()
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
	if c.mailed.Load() || c.mailed.Swap(true) {
		return
	}
	l.mu.Lock()
	if !l.mailClosed {
		l.mail = append(l.mail, c)
	}
	l.mu.Unlock()
	l.bell.Ring()
}

// took notes what came of an order. The forking goroutine calls it.
func (l *loop) took(r result) {
	l.mu.Lock()
	l.forked = append(l.forked, r)
	l.mu.Unlock()
	l.bell.Ring()
}

// stop tells the loop to end when its connections have, or to cut them.
func (l *loop) stop(cut bool) {
	if cut {
		l.cutting.Store(true)
	}
	l.stopping.Store(true)
	l.bell.Ring()
}

// run turns until the loop is told to stop and its last child is reaped.
func (l *loop) run() error {
	defer l.close()
	defer l.forker.end()
	defer l.closeMail()
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
		if l.hold.active() {
			l.lookAtAwaited(time.Now())
		}
		if l.lingering.len() > 0 {
			l.killLingering(time.Now())
		}
		if l.listener.resting() {
			l.endRest(time.Now())
		}
		l.timer.Over()
	}
}

// closeMail has what is noted from here on forgotten.
func (l *loop) closeMail() {
	l.mu.Lock()
	l.mail, l.mailClosed = nil, true
	l.mu.Unlock()
}

// abandon ends everything when the loop cannot be told of its ends any more.
func (l *loop) abandon() {
	l.stopListening()
	l.due = nil
	l.forker.end()
	l.takeForked()
	l.cutAll()
	l.dismiss()
	for len(l.kids) > 0 {
		l.reap(l.kids[len(l.kids)-1])
	}
}

// stopped says whether a loop that is to stop has come to its end.
func (l *loop) stopped() bool {
	l.stopListening()
	l.dismiss()
	if l.cutting.Load() {
		l.cutAll()
	}
	return len(l.live)+len(l.kids)+l.ordered+l.orderedMore == 0
}

// wait sleeps until there is work, without losing any noted meanwhile: the loop
// says that it sleeps before it looks for the last time.
func (l *loop) wait() (n int, err error) {
	timeout := l.patience()
	l.bell.Sleep()
	if l.hasWork() {
		timeout = 0
	}
	if l.ordered+l.orderedMore == 0 || timeout == 0 { // the forker may be in need of the processor
		n, err = l.waitBriefly(timeout)
	}
	if n == 0 && err == nil && timeout != 0 {
		n, err = l.poller.wait(timeout, false)
	}
	l.bell.Awake()
	return n, err
}

// waitBriefly waits with the processor in hand; readiness.Call tells why.
func (l *loop) waitBriefly(timeout time.Duration) (n int, err error) {
	brief, times := timeout, 1
	if timeout < 0 || timeout > briefTime {
		brief, times = briefTime, briefTimes
	}
	for range times {
		runtime.Gosched() // whoever else is ready goes first
		if n, err = l.poller.wait(brief, true); n > 0 || err != nil {
			break
		}
	}
	return n, err
}

// patience is how long the loop may sleep if nothing happens; negative: for ever.
func (l *loop) patience() time.Duration {
	var next time.Time
	sooner := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	if l.lingering.len() > 0 {
		sooner(l.lingering.next)
	}
	if l.listener.resting() {
		sooner(l.listener.until)
	}
	if l.hold.active() {
		sooner(l.hold.look)
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
	if l.roomGrew.Load() || l.cutting.Load() && len(l.live) > 0 || l.stopping.Load() && l.listener.fd >= 0 {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.mail)+len(l.forked) > 0
}

// flushIfMuch flushes in the middle of a turn if much was read or said.
func (l *loop) flushIfMuch() {
	if l.read > backends.FlushAfter || l.cfg.Room.Said()-l.flushedAt > backends.FlushAfter {
		l.flush()
	}
}

// flush writes to every client all that it is behind, once.
func (l *loop) flush() {
	l.read = 0
	if l.roomGrew.Load() {
		l.roomGrew.Store(false) // before the log is read: what comes later wakes again
		l.flushedAt = l.cfg.Room.Said()
		for _, c := range l.live { // write ends no client
			if !c.blocked {
				l.write(c)
			}
		}
	}
	l.mu.Lock()
	mail := l.mail
	l.mail = l.spareMail
	l.mu.Unlock()
	for i, c := range mail {
		c.mailed.Store(false)
		mail[i] = nil
		l.attend(c)
	}
	l.spareMail = mail[:0]
}
