// Package netpoll is the transport of a poller of cloudwego/netpoll, the
// library under Kitex and Hertz.
//
// # Model
//
//	 a goroutine                netpoll's poller, one goroutine
//	┌───────────┐           ┌────────────────────────────────────┐
//	│ accept(2) ├──────────►│ epoll_wait ─► readv ─► onRequest,  │     clients
//	└─────▲─────┘           │     ▲                 fed to core ◄┼─────  ○ ○ ○
//	      ○ new             │     │                              │
//	                        │     └─ the gate, an eventfd: a     │
//	  other goroutines ────►│        turn flushes to each, once, ├────►  ○ ○ ○
//	                        │        all it is behind            │
//	                        └────────────────────────────────────┘
//
// The poller is netpoll's, and so are the connections, their buffers, every
// read and every write. What it takes for its listener is a gate of ours: an
// eventfd, which the poller answers by calling Accept on its own goroutine. A
// turn is run there. It is rung for once however much is said, and comes after
// the input that was ready, so that under load one write carries many frames.
//
// # Who owns what
//
// The poller's goroutine owns the clients. Other goroutines leave a note and
// ring. The library has at most one piece of a client's output at a time, up
// to 256 KiB; pieces over 4 KiB it does not copy but sends from the core's
// log. Whatever else a client has not taken stays in the core. The accepting
// goroutine owns the listener, and Shutdown takes it away.
//
// # Known limits
//
// One core at the most. What was met in netpoll v0.7.2, and how it is lived with:
//
//   - Flush blocks until the client has taken everything. With a write deadline
//     that has passed it does not: it writes what it can, leaves the rest to the
//     poller and returns ErrWriteTimeout. Every connection has such a deadline.
//   - Nothing tells when the poller has written the rest, nor how much of it.
//     Flushing again does, which is safe on the poller's own goroutine alone.
//     It is done in every turn, and every millisecond while somebody lags; a
//     client that lags is given 16 KiB at a time, so that it seems no slower
//     than it is.
//   - A client that is cut off while the library has octets of its is closed
//     without FIN and linger: they lie in the log, which goes on without it.
//   - Requests run in a pool of goroutines, and the poller reads on meanwhile
//     into a buffer without bounds. They are run in place.
//   - Run in place, closing a connection within its own request makes the
//     poller wait for itself, and so does a panic. Turns alone close
//     connections, and a panic ends the process.
//   - Its second lack of descriptors makes its accepting spin: the listener is
//     taken off the poller only once. So connections are accepted here.
//   - Its Shutdown closes whoever is idle, with output still in the core: it is
//     called when everybody has left. One that comes before Serve has begun is
//     lost: Start waits for the first call of the gate.
//   - It does not tell a FIN from a reset. The state of the socket does.
//   - It cannot close one direction: FIN is sent by shutdown(2).
//   - An idle client takes 13 KiB, most of it buffers.
//   - It cannot be told to stop reading one client. A client whose session is Held
//     and that goes on sending is ended (flood) when 128 KiB wait; with other
//     transports TCP slows it down. What is read faster than it is fed, 16 KiB of a
//     client in a turn, waits here without a bound of its own.
//   - The poller is one for the process. It is started with the first server and
//     stays: a goroutine and two descriptors. Settings and log are shared too.
package netpoll

import "chatbench/backends"

const name = "netpoll"

// Backend is the transport's line in the table.
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
