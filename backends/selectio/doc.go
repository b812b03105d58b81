// Package selectio is the transport of one thread and select(2). The backend is called "select", which
// cannot be the name of a Go package.
//
// # Model
//
//	       one goroutine
//	┌───────────────────────────────┐
//	│ select(1024 bits, 1024 bits)  │      clients
//	│   ▲  ─► look through all bits │
//	│   │     read what is ready  ◄─┼──────  ○ ○ ○
//	│   └───── write to each, once ─┼──────► ○ ○ ○
//	└───────────────────────────────┘
//
// The loop is that of the epoll transport. Only the wait differs: bit sets are copied to the kernel and
// back each time, and the loop looks through all bits.
//
// # Who owns what
//
// The loop's goroutine owns the listener, the connections and the bit sets. Other goroutines queue their
// wakes and ring an eventfd, but only if the loop sleeps.
//
// # Known limits
//
//   - Descriptors from 1024 on cannot be watched: such a connection is turned away with a line in the
//     log, and chatd refuses to start with so many clients that it could happen.
//   - It uses one core at most, and the cost of a turn grows with the highest descriptor.
package selectio

import (
	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/backends/internal/readiness"
)

// otherDescriptors is how many descriptors the process may need besides those of clients.
const otherDescriptors = 64

// Backend describes the transport.
var Backend = backends.Backend{
	Name:         "select",
	Model:        "one thread waits for all clients in select",
	Threads:      "1",
	Processes:    "1",
	Limits:       "descriptors below 1024",
	MaxClients:   unix.FD_SETSIZE - otherDescriptors,
	Coalesces:    true,
	FDsPerClient: 1,
	Start: func(cfg backends.Config) (backends.Server, error) {
		return readiness.Start(cfg, 1, newPoller)
	},
}
