package backendtest

import (
	"fmt"
	"runtime"

	"go.uber.org/goleak"

	"chatbench/core/wire"
)

// nothingLeftBehind: connections that come and go, in every way, leave no
// descriptor and no goroutine behind, and the server itself leaves none, nor a
// process.
func nothingLeftBehind(l *lab) {
	const cycles = 500
	others := goleak.IgnoreCurrent()
	fdsBefore, treeBefore := descriptors(), len(processTree())
	r := l.open()
	comeAndGo(r, 5) // what is made once, at the first use, is no leak
	r.waitClients(0)
	fds, goroutines := descriptors(), runtime.NumGoroutine()
	comeAndGo(r, cycles)
	r.waitClients(0)
	r.eventually(func() bool { return descriptors() <= fds },
		"descriptors are as before: %d, now %d", fds, descriptors)
	r.eventually(func() bool { return runtime.NumGoroutine() <= goroutines },
		"goroutines are as before: %d, now %d", goroutines, runtime.NumGoroutine)
	r.close()
	r.eventually(func() bool { return descriptors() <= fdsBefore },
		"descriptors are as before the start: %d, now %d", fdsBefore, descriptors)
	r.eventually(func() bool { return len(processTree()) <= treeBefore }, "no process is left")
	if err := goleak.Find(others); err != nil {
		r.Errorf("goroutines are left: %v", err)
	}
}

// comeAndGo has clients connect and leave, each time in another way.
func comeAndGo(r *rig, cycles int) {
	r.Helper()
	for i := range cycles {
		c, err := r.tryDial(nil)
		if err != nil {
			r.Fatalf("dial %d: %v", i, err)
		}
		if i%5 != 0 {
			c.enter(fmt.Sprint("c", i))
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
