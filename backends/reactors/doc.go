// Package reactors is the transport of several epoll loops, one for each
// processor, that all read the one broadcast log.
//
// # Model
//
//	   loop 1           loop 2      … one goroutine each
//	┌───────────┐    ┌───────────┐
//	│ epoll_wait│    │ epoll_wait│     the kernel spreads
//	│ read      │    │ read      │ ◄── connections over them
//	│ write own │    │ write own │     (SO_REUSEPORT)
//	│ clients   │    │ clients   │
//	└─────┬─────┘    └─────┬─────┘
//	      └───► one log ◄──┘
//
// A message is appended once, under the room's lock; each loop is woken and
// writes to its own clients. Nothing else is shared.
//
// # Who owns what
//
// Each loop's goroutine owns a listener, an epoll descriptor and the
// connections it accepted. A connection never changes its loop.
//
// # Known limits
//
// The kernel spreads connections by a hash of their addresses: with few of them
// the loops may be loaded unevenly. With one processor it is the epoll transport.
// There are as many loops as GOMAXPROCS says when it starts: Go follows the CPU
// quota of a cgroup while it runs, the number of loops does not.
package reactors

import (
	"runtime"

	"chatbench/backends"
	"chatbench/backends/internal/readiness"
)

// Backend is the transport's line in the table.
var Backend = backends.Backend{
	Name:         "reactors",
	Model:        "an epoll loop for each processor, all on one broadcast log",
	Threads:      "GOMAXPROCS",
	Processes:    "1",
	FDsPerClient: 1,
	Start: func(cfg backends.Config) (backends.Server, error) {
		return readiness.Start(cfg, runtime.GOMAXPROCS(0), readiness.NewEpoll)
	},
}
