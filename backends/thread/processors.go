package thread

import (
	"runtime"
	"sync"
)

// processors is how many threads the runtime is to let run Go code at a time. A
// thread that comes back from the kernel needs one of its processors, and those
// that are blocked there keep theirs until the runtime's monitor takes it away,
// 20 µs to 10 ms later: with as many processors as CPUs everybody waits for that.
const processors = 16

// raised counts the servers that need processors, and keeps what there were.
var raised struct {
	sync.Mutex
	servers int
	before  int
}

// raiseProcessors sees to it that there are processors enough until the
// function that it returns is called. It holds for the whole process.
func raiseProcessors() (lower func()) {
	raised.Lock()
	defer raised.Unlock()
	if raised.servers++; raised.servers == 1 {
		raised.before = runtime.GOMAXPROCS(0)
		runtime.GOMAXPROCS(max(raised.before, processors))
	}
	return func() {
		raised.Lock()
		defer raised.Unlock()
		if raised.servers--; raised.servers == 0 {
			runtime.GOMAXPROCS(raised.before)
		}
	}
}
