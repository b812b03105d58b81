// Package spin is the transport of one thread and non-blocking reads in a busy
// loop: the course report's non-blocking I/O model.
//
// # Model
//
//	       one goroutine, never asleep
//	┌───────────────────────────────┐
//	│ for each client:              │      clients
//	│     read, mostly EAGAIN     ◄─┼──────  ○ ○ ○
//	│ then write to each, once,     │
//	│     all that it is behind   ──┼──────► ○ ○ ○
//	│ and again                     │
//	└───────────────────────────────┘
//
// The loop is the one of epoll without the wait: it asks every client, all the
// time.
//
// # Who owns what
//
// The loop's goroutine owns the listener and the connections. Other goroutines
// leave a note, which the next turn finds.
//
// # Known limits
//
// It burns a core, by design, when nobody speaks as when everybody does, and a
// turn makes a system call for each client that is there.
package spin

import (
	"chatbench/backends"
	"chatbench/backends/internal/readiness"
)

// Backend is the transport's line in the table.
var Backend = backends.Backend{
	Name:         "spin",
	Model:        "one thread asks all clients in turn, without ever waiting",
	Threads:      "1",
	Processes:    "1",
	Limits:       "burns a core even when idle",
	FDsPerClient: 1,
	Start: func(cfg backends.Config) (backends.Server, error) {
		return readiness.Start(cfg, 1, newPoller)
	},
}
