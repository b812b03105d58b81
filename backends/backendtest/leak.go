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
	r.nothingSince(fdsBefore, treeBefore, others)
}

// nothingSince waits until there are no more descriptors and processes than
// before, and looks whether there are other goroutines.
func (l *lab) nothingSince(fds, processes int, others goleak.Option) {
	l.Helper()
	l.eventually(func() bool { return descriptors() <= fds }, "descriptors are as before the start: %d, now %d", fds, descriptors)
	l.eventually(func() bool { return len(processTree()) <= processes }, "no process is left")
	if err := goleak.Find(others); err != nil {
		l.Errorf("goroutines are left: %v", err)
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
