// Package reactors is the transport of several epoll loops, one for each
// processor, that all read the one broadcast log.
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
// A message is appended once, under the room's lock; each loop is woken and
// writes to its own clients. A loop that feeds the room wakes those that sleep
// once, when it is done feeding and before it writes, however much was said. A
// loop that reads waits while another is more than 256 KiB behind with its
// writing, 100 ms at most. A loop with nothing to write is never waited for. All
// of that is in backends/internal/loopgroup.
//
// # Who owns what
//
// Each loop's goroutine owns a listener, an epoll descriptor and its
// connections. The loop that accepts a socket gives it to the loop that has the
// fewest connections, before anything is read from it; from then on the
// connection never changes its loop.
//
// The kernel spreads connections by a hash of their addresses. Left to it, the
// most that a loop had and the least were, over 5 rounds:
//
//	connections      2 loops      4 loops      8 loops
//	         10          6 4          5 1          4 0
//	        100        57 43        38 18         20 5
//	      1,000      531 469      281 223       149 99
//
// Handed over, all loops have the same number, give or take one.
//
// # Known limits
//
// What is even is the number of connections, not what they do: clients that talk
// much may meet on one loop, and those that leave are not replaced by others.
// With one loop it is the epoll transport. Unless Config.Loops says how many there are,
// it is as many as GOMAXPROCS says at the start: Go follows the CPU quota of a cgroup
// while it runs, the number of loops does not.
package reactors

import (
	"cmp"
	"runtime"

	"chatbench/backends"
	"chatbench/backends/internal/readiness"
)

// Backend is the transport's line in the table.
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
