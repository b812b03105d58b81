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
// The loop is that of the epoll transport without the wait: it reads every client all the time.
//
// # Who owns what
//
// The loop's goroutine owns the listener and the connections. Other goroutines queue their wakes, which
// the next turn handles.
//
// # Known limits
//
// It uses a whole core all the time, by design, and makes a system call for each connected client in
// each turn.
package spin

import (
	"chatbench/backends"
	"chatbench/backends/internal/readiness"
)

// Backend describes the transport.
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
