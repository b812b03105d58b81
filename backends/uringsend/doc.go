// Package uringsend is the transport of epoll(7) for input and io_uring(7) for output: the
// kernel says who is ready, and is handed all that is to be written at once.
//
// # Model
//
//	       one goroutine
//	┌───────────────────────────────┐
//	│ epoll_wait ─► read what is    │      clients
//	│     ▲          ready, each ◄──┼──────  ○ ○ ○
//	│     │          fed to core    │
//	│     └───── one send for each, │
//	│            all submitted by ──┼──────► ○ ○ ○
//	│            one io_uring_enter │
//	└───────────────────────────────┘
//
// The loop is the one of epoll, with the writes of a flush in one system call for 128 clients in
// place of one for each client. A send takes what the socket has room for and does not wait: all
// sends are complete when the call returns, and the loop then looks at what came of each as it
// would after send(2). A client that takes no more is watched by epoll, and when it takes more
// again the first write is a send(2) of its own.
//
// # What the kernel reads
//
// The octets of a send, straight from the broadcast log, while it is inside io_uring_enter(2) and
// at no other time. Nothing is in flight when the loop goes on.
//
// # Who owns what
//
// The loop's goroutine owns the listener, the connections, the epoll descriptor and the ring.
// It is not locked to a thread: the ring belongs to none. Other goroutines leave a note and
// ring an eventfd, and only if the loop sleeps.
//
// # Known limits
//
// One core at the most. It needs Linux 6.1, and a system that allows io_uring: the default
// profile of Docker does not.
package uringsend

import (
	"chatbench/backends"
	"chatbench/backends/internal/readiness"
	"chatbench/backends/internal/ring"
)

// Backend is the transport's line in the table.
var Backend = backends.Backend{
	Name:         "uring-send",
	Model:        "one thread waits for all clients in epoll and hands all writes to io_uring",
	Threads:      "1",
	Processes:    "1",
	Coalesces:    true,
	FDsPerClient: 1,
	Limits:       "needs Linux 6.1 and a system that allows io_uring",
	Unavailable:  ring.Available,
	Start: func(cfg backends.Config) (backends.Server, error) {
		return readiness.Start(cfg, 1, newPoller)
	},
}
