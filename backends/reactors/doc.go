// Package reactors is the transport of several epoll loops, one for each processor, that read the same
// broadcast log.
//
// # Model
//
//	   loop 1           loop 2      … one goroutine each
//	┌───────────┐    ┌───────────┐
//	│ epoll_wait│    │ epoll_wait│     the kernel spreads connections
//	│ accept    │◄──►│ accept    │ ◄── over the listeners (SO_REUSEPORT),
//	│ read      │    │ read      │     the loops even them out
//	│ write own │    │ write own │
//	│ clients   │    │ clients   │
//	└─────┬─────┘    └─────┬─────┘
//	      └───► one log ◄──┘
//
// A message is appended once, under the room's lock; each loop is woken and writes to its own clients. A
// loop that feeds the room wakes the sleeping loops once, when it has stopped feeding and before it
// writes, however much was said. A loop that feeds waits while another is more than 256 KiB behind with
// its writing, 100 ms at most, but never for a loop with nothing to write. All of that is in
// backends/internal/loopgroup.
//
// # Who owns what
//
// Each loop's goroutine owns a listener, an epoll descriptor and its connections. The loop that accepts a
// socket gives it to the loop with the fewest connections, before anything is read from it. After that
// the connection never changes its loop.
//
// The kernel spreads connections by a hash of their addresses. If it alone decided, the most and the
// fewest connections of a loop would be, over 5 rounds:
//
//	connections      2 loops      4 loops      8 loops
//	         10          6 4          5 1          4 0
//	        100        57 43        38 18         20 5
//	      1,000      531 469      281 223       149 99
//
// With this transport all loops have the same number, give or take one.
//
// # Known limits
//
//   - The loops have the same number of connections, but not the same load: clients that talk much may be
//     on the same loop, and connections do not move when others end.
//   - With one loop it is the epoll transport.
//   - Unless Config.Loops is set, the number of loops is GOMAXPROCS at the start. Go adapts GOMAXPROCS
//     to the CPU quota of a cgroup at run time; the number of loops does not change.
package reactors

import (
	"cmp"
	"runtime"

	"chatbench/backends"
	"chatbench/backends/internal/readiness"
)

// Backend describes the transport.
var Backend = backends.Backend{
	Name:         "reactors",
	Model:        "an epoll loop for each processor, all on one broadcast log",
	Threads:      "GOMAXPROCS or -loops",
	Processes:    "1",
	Coalesces:    true,
	FDsPerClient: 1,
	Loops:        processors,
	Start: func(cfg backends.Config) (backends.Server, error) {
		return readiness.Start(cfg, cmp.Or(cfg.Loops, processors()), readiness.NewEpoll)
	},
}

func processors() int { return runtime.GOMAXPROCS(0) }
