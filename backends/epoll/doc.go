// Package epoll is the transport of one thread and epoll(7), the last model of the course report.
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
// A turn reads all input that is ready before it writes anything. So the busier the server is, the more
// messages share a write.
//
// # Who owns what
//
// The loop's goroutine owns the listener, the connections and the epoll descriptor. Other goroutines (one
// that answers a login, the room's clock) queue their wakes and ring an eventfd, but only if the loop
// sleeps.
//
// # Known limits
//
// It uses one core at most. No other limit is known.
package epoll

import (
	"chatbench/backends"
	"chatbench/backends/internal/readiness"
)

// Backend describes the transport.
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
