// Package nbio is the transport that uses a poller of lesismal/nbio, a library of
// non-blocking connections with the methods of net.Conn.
//
// # Model
//
//	 a goroutine                 nbio's poller, one goroutine
//	┌───────────┐           ┌────────────────────────────────────┐
//	│ accept(2) ├──────────►│ epoll_wait ─► OnRead ─► Read, feed │     clients
//	└─────▲─────┘           │     ▲                   the core ◄─┼─────  ○ ○ ○
//	      ○ new             │     │                              │
//	                        │     └─ OnRead of the bell: a turn  │
//	  other goroutines ────►│        writes to each client, once,├────►  ○ ○ ○
//	                        │        all it is behind            │
//	                        └────────────────────────────────────┘
//
// nbio owns the poller, the connections, every read and every write. It has no queue of
// tasks. So one of its connections is a bell, one of a pair of sockets whose other end
// the transport has. Writing an octet there makes nbio call OnRead on the poller's
// goroutine, which runs a turn. The bell is rung once, however much is said, and its turn
// comes after the input that was ready, so that under load one write carries many frames.
//
// # Who owns what
//
// The poller's goroutine owns the clients, and is the only one that writes or closes.
// Other goroutines queue their wakes and ring. The library has at most one piece of a client's
// output at a time, of up to 256 KiB, or 16 KiB if the client is slow; the rest stays in
// the core. The accepting goroutine owns the listener until Shutdown closes it.
//
// # Known limits
//
// It uses one core at most. nbio disables the race detector in its own files, so a run
// with -race checks this package and not the library. Limits of nbio v1.6.7, and what
// this package does about them:
//
//   - Its output buffer is unbounded. OnWrittenSize reports every octet that the kernel
//     takes, and the library is given more only when its buffer is empty.
//   - A Write that fails closes the connection, though input may be unread. So the
//     socket's error is read before each Write (a getsockopt), and a broken connection is
//     read to its end. Input that arrives together with a reset between the two is lost,
//     and so is what a slow client has sent before it resets.
//   - After a FIN it reads three more buffers and then closes, even if there is more to
//     read. The transport's OnRead reads to the end instead. Input is fed 16 KiB at a
//     time, so that others have their turn.
//   - It closes connections on its own goroutine and on any that calls Close or Write; an
//     old event may then close the connection that gets the descriptor next. Here
//     connections are added, written and closed only on the poller's goroutine.
//   - It calls OnClose on another goroutine, after the descriptor is closed. OnClose only
//     queues a wake.
//   - Its acceptor spins while accept(2) fails, and stops only together with all
//     connections. So connections are accepted here, at the cost of two more descriptors
//     for a moment.
//   - An engine that is stopped before its poller has begun never ends, so Start waits for
//     the poller's first call.
//   - It cannot stop reading one client. A client whose session is Held and that goes on
//     sending is ended (flood) when 128 KiB wait; with other transports TCP slows it down.
//   - It logs to standard output by default, and has one logger for the process: that of
//     the server started last.
//   - It waits in a system call that gives up the runtime's processor, which at low rates
//     costs more than a loop that keeps it.
package nbio

import "chatbench/backends"

const name = "nbio"

// Backend describes the transport.
var Backend = backends.Backend{
	Name:         name,
	Model:        "a poller of lesismal/nbio waits for all clients in epoll",
	Threads:      "1, and 1 that accepts",
	Processes:    "1",
	Library:      "github.com/lesismal/nbio v1.6.7",
	Limits:       "cannot stop reading a client",
	FDsPerClient: 1,
	Start:        start,
}
