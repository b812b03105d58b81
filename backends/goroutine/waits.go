package goroutine

import (
	"runtime"
	"time"

	"chatbench/backends"
	"chatbench/backends/internal/coalesce"
)

// waits is what rounds needs to let output wait (Config.Coalesce): one timer for the
// room. It belongs to the goroutine of rounds.run.
type waits struct {
	control *coalesce.Controller
	alarm   *alarm
	clock   coalesce.CPUClock
}

// newWaits makes it for rounds that have not begun; nil: nothing waits.
func newWaits(setting backends.Coalesce, r *rounds) (*waits, error) {
	if setting == backends.CoalesceOff {
		return nil, nil
	}
	w := &waits{clock: coalesce.ProcessClock(time.Now())}
	w.control = coalesce.New(setting, w.moment(time.Now(), r.room.Said()))
	var err error
	w.alarm, err = newAlarm(r.ring)
	return w, err
}

// moment is what the controller is told.
func (w *waits) moment(now time.Time, said uint64) coalesce.Moment {
	m := coalesce.Moment{Time: now, Said: said}
	if w.control == nil || w.control.Auto() {
		// GOMAXPROCS is no number of CPUs: it also counts goroutines that hold a thread.
		m.Idle = w.clock.Idle(now, min(runtime.GOMAXPROCS(0), runtime.NumCPU()))
	}
	return m
}

// outputWaits decides whether what the room has said is to wait. If it is not, it is
// written now. No reader waits for what waits: see pace.
func (r *rounds) outputWaits(now time.Time, said uint64) bool {
	w, at := r.waits, r.waits.moment(now, said)
	if said >= r.begun.Load()+paceOctets || !w.control.Waits(now, at) {
		w.control.Writes(at)
		return false
	}
	w.alarm.set(w.control.Left(now))
	return true
}
