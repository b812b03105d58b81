// Package nbio is the transport of a poller of lesismal/nbio, a library of
// non-blocking connections with the methods of net.Conn.
//
// # Model
//
//	 a goroutine                 nbio's poller, one goroutine
//	┌───────────┐           ┌────────────────────────────────────┐
//	│ accept(2) ├──────────►│ epoll_wait ─► OnRead ─► Read, fed  │     clients
//	└─────▲─────┘           │     ▲                   to core  ◄─┼─────  ○ ○ ○
//	      ○ new             │     │                              │
//	                        │     └─ OnRead of the bell: a turn  │
//	  other goroutines ────►│        writes to each, once, all   ├────►  ○ ○ ○
//	                        │        it is behind                │
//	                        └────────────────────────────────────┘
//
// The poller is nbio's, and so are the connections, every read and every
// write. It has no queue of tasks. So one of its connections is a bell, a pair
// of sockets with ourselves at the other end: whoever writes an octet to it has
// OnRead called on the poller's goroutine, and a turn is run there. It is rung
// for once however much is said, and comes after the input that was ready, so
// that under load one write carries many frames.
//
// # Who owns what
//
// The poller's goroutine owns the clients, and is the only one that writes or
// closes. Other goroutines leave a note and ring. The library has at most one
// piece of a client's output at a time, up to 256 KiB, or 16 KiB of a client
// that lags; whatever else it has not taken stays in the core. The accepting
// goroutine owns the listener, and Shutdown takes it away.
//
// # Known limits
//
// One core at the most. nbio turns the race detector off in its own files: a
// run with -race looks at this package, and not at what the library does. What
// was met in nbio v1.6.7, and how it is lived with:
//
//   - Its buffer for output is unbounded. OnWrittenSize tells of every octet the
//     kernel takes, and more is given when none is left.
//   - A Write that fails closes the connection, with what the client sent
//     before still unread. So a connection is asked for an error before each
//     Write (a getsockopt), and one that is broken is read to its end. What
//     arrives together with the reset in the microsecond between the two is
//     lost, and so is what a client that lags has sent before it resets.
//   - After a FIN it reads three buffers more and then closes, whatever is
//     still there. OnRead replaces that: it reads to the end if there is one.
//     What it has read is fed 16 KiB at a time, so that others have their turn.
//   - It closes on its goroutine and on any that calls Close or Write, and a
//     stale event then closes whoever has the descriptor next. Here all of that,
//     and the adding of connections, happens on the poller's goroutine.
//   - OnClose comes on yet another goroutine, when the descriptor is closed
//     already: it leaves a note.
//   - Its acceptor spins while accept(2) fails, and stops only together with all
//     connections. So connections are accepted here; one costs two duplicated
//     descriptors for a moment.
//   - An engine that is stopped before its poller began never stops: Start
//     waits for the poller's first call.
//   - It cannot be told to stop reading one client. A client whose session is Held
//     and that goes on sending is ended (flood) when 128 KiB wait; with other
//     transports TCP slows it down.
//   - It logs to standard output by default, and has one logger for the process:
//     that of the server started last.
//   - It waits in a system call that gives the runtime's processor away, which
//     at low rates makes it dearer than a loop that keeps it.
package nbio

import "chatbench/backends"

const name = "nbio"

// Backend is the transport's line in the table.
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
