// Package uringsend is the transport of epoll(7) for input and io_uring(7) for output: a turn's writes
// to all clients are one submission.
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
// The loop is that of package epoll, but a flush needs one system call for 128 clients instead of one
// for each client. A send does not wait: the socket takes what it has room for. So all sends are
// complete when the call returns, and the loop handles the result of each as it would after send(2).
// If a client takes no more, epoll watches for room, and the first write after that is a send(2).
//
// # What the kernel reads
//
// The octets of a send, straight from the broadcast log, but only within io_uring_enter(2). No send is
// in flight when the call returns.
//
// # Who owns what
//
// The loop's goroutine owns the listener, the connections, the epoll descriptor and the ring. It is not
// locked to a thread, because the ring belongs to none. Other goroutines queue their wakes and ring an
// eventfd, but only if the loop sleeps.
//
// # Known limits
//
// It uses one core at most. It needs Linux 6.1, and a system that allows io_uring: Docker's default
// profile does not.
package uringsend

import (
	"chatbench/backends"
	"chatbench/backends/internal/readiness"
	"chatbench/backends/internal/ring"
)

// Backend describes the transport.
var Backend = backends.Backend{
	Name:         "uring-send",
	Model:        "one thread waits for all clients in epoll and submits all writes to io_uring",
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
