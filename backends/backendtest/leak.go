package backendtest

import (
	"fmt"
	"runtime"
	"time"

	"go.uber.org/goleak"

	"chatbench/core/wire"
)

// nothingLeftBehind: connections that end, in every way, leave no descriptor and no
// goroutine behind, and neither does the server; it leaves no process either.
func nothingLeftBehind(h *harness) {
	const cycles = 500
	others := goleak.IgnoreCurrent()
	fdsBefore, treeBefore := descriptors(), len(processTree())
	r := h.open()
	connectAndLeave(r, 5) // what is allocated once, at the first use, is not a leak
	r.waitClients(0)
	fds, goroutines := descriptors(), runtime.NumGoroutine()
	connectAndLeave(r, cycles)
	r.waitClients(0)
	r.eventually(func() bool { return descriptors() <= fds },
		"descriptors are as before: %d, now %d", fds, descriptors)
	r.eventually(func() bool { return runtime.NumGoroutine() <= goroutines },
		"goroutines are as before: %d, now %d", goroutines, runtime.NumGoroutine)
	r.close()
	r.nothingSince(fdsBefore, treeBefore, others)
}

// nothingSince waits until there are no more descriptors and processes than before, and
// checks that there are no new goroutines.
func (h *harness) nothingSince(fds, processes int, others goleak.Option) {
	h.Helper()
	h.eventually(func() bool { return descriptors() <= fds }, "descriptors are as before the start: %d, now %d", fds, descriptors)
	h.eventually(func() bool { return len(processTree()) <= processes }, "no process is left")
	for deadline := time.Now().Add(h.timeout); ; { // Find itself waits for less than half a second
		err := goleak.Find(others)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			h.Fatalf("goroutines are left: %v", err)
		}
	}
}

// connectAndLeave has clients connect and leave, in five ways.
func connectAndLeave(r *rig, cycles int) {
	r.Helper()
	for i := range cycles {
		c, err := r.tryDial(nil)
		if err != nil {
			r.Fatalf("dial %d: %v", i, err)
		}
		if i%5 != 0 {
			c.logIn(fmt.Sprint("c", i))
			c.say("hello")
		}
		switch i % 5 {
		case 0, 1:
			c.hangUp()
		case 2:
			c.reset()
		case 3:
			c.send(wire.AppendClose(nil))
			c.untilEOF()
		case 4:
			c.finish()
			c.untilEOF()
		}
		c.hangUp()
	}
}
