// Package poll is the transport of one thread and poll(2).
//
// # Model
//
//	       one goroutine
//	┌───────────────────────────────┐
//	│ poll(all descriptors) ─► look │      clients
//	│   ▲      through all answers, │
//	│   │      read what is ready ◄─┼──────  ○ ○ ○
//	│   └───── write to each, once ─┼──────► ○ ○ ○
//	└───────────────────────────────┘
//
// The loop is that of the epoll transport. Only the wait differs: the list of all descriptors is passed
// to the kernel each time, and the loop looks through all of it. So an idle client costs something in
// every turn.
//
// # Who owns what
//
// The loop's goroutine owns the listener, the connections and the list. Other goroutines queue their wakes
// and ring an eventfd, but only if the loop sleeps.
//
// # Known limits
//
//   - It uses one core at most, and the cost of a turn grows with the number of connected clients, not
//     with those that talk.
//   - The kernel accepts no list that is longer than RLIMIT_NOFILE. If the limit is lowered below the
//     number of open descriptors, the list is polled in pieces, and events beyond the first piece are
//     noticed up to 5 ms later.
package poll

import (
	"chatbench/backends"
	"chatbench/backends/internal/readiness"
)

// Backend describes the transport.
var Backend = backends.Backend{
	Name:         "poll",
	Model:        "one thread waits for all clients in poll",
	Threads:      "1",
	Processes:    "1",
	Coalesces:    true,
	FDsPerClient: 1,
	Start: func(cfg backends.Config) (backends.Server, error) {
		return readiness.Start(cfg, 1, newPoller)
	},
}
