package goroutine

import (
	"runtime"
	"time"

	"chatbench/backends"
	"chatbench/backends/internal/coalesce"
)

// coalescing is what rounds needs to let output wait (Config.Coalesce), with one timer for the
// whole room. It belongs to the goroutine of rounds.run.
type coalescing struct {
	controller *coalesce.Controller
	alarm      *alarm
	clock      coalesce.CPUClock
}

// newCoalescing makes a coalescing for rounds that do not run yet. It is nil if nothing has to wait.
func newCoalescing(setting backends.Coalesce, r *rounds) (*coalescing, error) {
	if setting == backends.CoalesceOff {
		return nil, nil
	}
	w := &coalescing{clock: coalesce.ProcessClock(time.Now())}
	w.controller = coalesce.New(setting, w.moment(time.Now(), r.room.Said()))
	var err error
	w.alarm, err = newAlarm(r.ring)
	return w, err
}

// moment is what the controller has to know.
func (w *coalescing) moment(now time.Time, said uint64) coalesce.Moment {
	m := coalesce.Moment{Time: now, Said: said}
	if w.controller == nil || w.controller.Auto() {
		// GOMAXPROCS may be more than the number of CPUs.
		m.Idle = w.clock.Idle(now, min(runtime.GOMAXPROCS(0), runtime.NumCPU()))
	}
	return m
}

// outputWaits decides whether the output of the room waits. If not, the caller writes it now. It
// does not wait if a reader may be waiting in pace.
func (r *rounds) outputWaits(now time.Time, said uint64) bool {
	w := r.coalescing
	at := w.moment(now, said)
	if said >= r.roundStart.Load()+paceOctets || !w.controller.Waits(now, at) {
		w.controller.Writes(at)
		return false
	}
	w.alarm.set(w.controller.Left(now))
	return true
}
