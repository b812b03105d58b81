package process

import (
	"time"

	"chatbench/backends/internal/tasks"
)

const (
	childTasks   = 6                     // threads of a child, at most; mostly 4, but 5 or 6 if it had to wait for a processor
	startedTasks = 4                     // threads of a child that has started
	spareTasks   = 32                    // left for this process, which ends if the runtime cannot start a thread, and for others
	startTime    = 10 * time.Second      // after which a child counts as started in any case
	startingAge  = 50 * time.Millisecond // how long a list of the children that start is used
	checkedMost  = 64                    // children whose threads are counted for one such list
)

// takeTasks checks that the limits allow one more child. Children that are requested, or have not
// all their threads yet, do not count against the limits yet, and neither do those of clients that
// are promised one and for which none waits: takeTasks adds all of them.
func (l *loop) takeTasks() error {
	pending := l.requested + l.requestedAhead + max(l.promised-len(l.waiting), 0) + l.countStarting(time.Now())
	return l.tasks.Take(childTasks, childTasks*pending)
}

// countStarting returns how many children may not have all their threads yet. Where processors are
// scarce a child needs a second and more for that, and if it cannot start one it dies.
func (l *loop) countStarting(now time.Time) int {
	if now.Sub(l.startingAt) < startingAge {
		return len(l.starting)
	}
	l.startingAt = now
	left := l.starting[:0]
	for i, k := range l.starting {
		started := k.reaped || now.Sub(k.forked) > startTime
		if !started && i < checkedMost {
			started = tasks.Threads(k.pid) >= startedTasks
		}
		if !started {
			left = append(left, k)
		}
	}
	clear(l.starting[len(left):])
	l.starting = left
	return len(left)
}

// hasTasks is takeTasks for a client, which has to be turned away if it returns false.
func (l *loop) hasTasks() bool {
	if l.promised < len(l.waiting) {
		return true
	}
	err := l.takeTasks()
	if err != nil {
		l.cfg.Counters.NoDescriptors.Add(1)
		l.logLimit.Warn(l.cfg.Log, "a connection is turned away", "err", err)
	}
	return err == nil
}
