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
// The loop is the one of epoll. What differs is the wait: the list of all
// descriptors is handed to the kernel every time, and all of it is looked
// through, so an idle client costs something in every turn.
//
// # Who owns what
//
// The loop's goroutine owns the listener, the connections and the list. Other
// goroutines leave a note and ring an eventfd, and only if the loop sleeps.
//
// # Known limits
//
// One core at the most, and a turn grows with the clients that are there, not
// with those that speak. The kernel takes no list that is longer than
// RLIMIT_NOFILE: when the limit is lowered below what is open already, the list
// goes in pieces, and what happens beyond the first piece is noticed up to 5 ms
// later.
package poll

import (
	"chatbench/backends"
	"chatbench/backends/internal/readiness"
)

// Backend is the transport's line in the table.
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
