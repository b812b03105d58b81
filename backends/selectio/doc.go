// Package selectio is the transport of one thread and select(2). Its name as a
// backend is "select", which is not one Go lets a package have.
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
// The loop is the one of epoll. What differs is the wait: bit sets are copied
// to the kernel and back every time, and all bits are looked through.
//
// # Who owns what
//
// The loop's goroutine owns the listener, the connections and the bit sets.
// Other goroutines leave a note and ring an eventfd, and only if the loop sleeps.
//
// # Known limits
//
// Descriptors from 1024 on cannot be watched: such a connection is turned away
// with a line in the log, and chatd refuses a pool that could come there. One
// core at the most, and a turn grows with the highest descriptor.
package selectio

import (
	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/backends/internal/readiness"
)

// otherDescriptors is how many the process may need for anything but clients.
const otherDescriptors = 64

// Backend is the transport's line in the table.
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
