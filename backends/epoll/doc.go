// Package epoll is the transport of one thread and epoll(7): the model the
// course report ends with.
//
// # Model
//
//	       one goroutine
//	┌───────────────────────────────┐
//	│ epoll_wait ─► read what is    │      clients
//	│     ▲          ready, each ◄──┼──────  ○ ○ ○
//	│     │          fed to core    │
//	│     └───── write to each, ────┼──────► ○ ○ ○
//	│            once, all that it  │
//	│            is behind          │
//	└───────────────────────────────┘
//
// A turn takes all input that is ready before it writes anything, so that the
// busier the server is, the more messages share a write.
//
// # Who owns what
//
// The loop's goroutine owns the listener, the connections and the epoll
// descriptor. Other goroutines (a login that is answered, the room's clock)
// leave a note and ring an eventfd, and only if the loop sleeps.
//
// # Known limits
//
// One core at the most. Nothing else is known.
package epoll

import (
	"chatbench/backends"
	"chatbench/backends/internal/readiness"
)

// Backend is the transport's line in the table.
var Backend = backends.Backend{
	Name:         "epoll",
	Model:        "one thread waits for all clients in epoll",
	Threads:      "1",
	Processes:    "1",
	Coalesces:    true,
	FDsPerClient: 1,
	Start: func(cfg backends.Config) (backends.Server, error) {
		return readiness.Start(cfg, 1, readiness.NewEpoll)
	},
}
