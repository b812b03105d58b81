// Package netpoll is the transport that uses a poller of cloudwego/netpoll, the library
// under Kitex and Hertz.
//
// # Model
//
//	 a goroutine                netpoll's poller, one goroutine
//	┌───────────┐           ┌────────────────────────────────────┐
//	│ accept(2) ├──────────►│ epoll_wait ─► readv ─► onRequest,  │     clients
//	└─────▲─────┘           │     ▲              feed the core ◄─┼─────  ○ ○ ○
//	      ○ new             │     │                              │
//	                        │     └─ eventfd ─► Accept: a turn   │
//	  other goroutines ────►│        writes to each client, once,├────►  ○ ○ ○
//	                        │        all it is behind            │
//	                        └────────────────────────────────────┘
//
// netpoll owns the poller, the connections, their buffers, every read and every write. The
// listener that the transport gives it is an eventfd: when it is rung the poller calls
// Accept on its own goroutine, which runs a turn. It is rung once, however much is said,
// and its turn comes after the input that was ready, so that under load one write carries
// many frames.
//
// # Who owns what
//
// The poller's goroutine owns the clients. Other goroutines queue their wakes and ring. The
// library has at most one piece of a client's output at a time, of up to 256 KiB; it does
// not copy pieces of 4 KiB and more, but sends them from the core's log. The rest stays in
// the core. The accepting goroutine owns the listening socket until Shutdown closes it.
//
// # Known limits
//
// It uses one core at most. Limits of netpoll v0.7.2, and what this package does about
// them:
//
//   - Flush blocks until the client has taken everything. With a write deadline in the past
//     it writes what it can, leaves the rest to the poller and returns ErrWriteTimeout. So
//     every connection has such a deadline.
//   - It does not report when the poller has written the rest. Another Flush does, but is
//     safe only on the poller's own goroutine. It is called in every turn, and every
//     millisecond while something is buffered. A slow client is given 16 KiB at a time, so
//     that its progress is noticed.
//   - A client that is cut off while the library has octets of the core's log is closed
//     without FIN and linger, because the core reuses them.
//   - Requests run in a pool of goroutines, while the poller goes on reading into an
//     unbounded buffer. Here they run on the poller's goroutine.
//   - Closing a connection there within its own request makes the poller wait for itself,
//     and so does a panic. So only turns close connections, and a panic ends the process.
//   - When descriptors run out a second time it spins in accept(2). So connections are
//     accepted here.
//   - Its Shutdown closes idle connections, even if the core has output for them, so it is
//     called when no client is left. A Shutdown before Serve has begun is lost, so Start
//     waits for the first call of Accept.
//   - It does not distinguish a FIN from a reset. The state of the socket does.
//   - It cannot close one direction: FIN is sent by shutdown(2).
//   - An idle client takes 13 KiB, most of it buffers.
//   - It cannot stop reading one client. A client whose session is Held and that goes on
//     sending is ended (flood) when 128 KiB wait; with other transports TCP slows it down.
//     Input that is read faster than it is fed, 16 KiB of a client in a turn, waits in the
//     adapter without a bound of its own.
//   - There is one poller for the process. It starts with the first server and stays: a
//     goroutine and two descriptors. Settings and log are shared too.
package netpoll

import "chatbench/backends"

const name = "netpoll"

// Backend describes the transport.
var Backend = backends.Backend{
	Name:         name,
	Model:        "a poller of cloudwego/netpoll waits for all clients in epoll",
	Threads:      "1, and 1 that accepts",
	Processes:    "1",
	Library:      "github.com/cloudwego/netpoll v0.7.2",
	Limits:       "cannot stop reading a client; its poller stays until the process ends",
	FDsPerClient: 1,
	Start:        start,
}
