// Package gnet is the transport of an event loop of gnet, the library Go
// people choose when they want epoll without writing it.
//
// # Model
//
//	 a goroutine                 gnet's loop, one goroutine
//	┌───────────┐  enroll   ┌─────────────────────────────────┐
//	│ accept(2) ├──────────►│ epoll_wait ─► OnTraffic, each   │     clients
//	└─────▲─────┘           │     ▲         fed to core    ◄──┼─────  ○ ○ ○
//	      ○ new             │     │                           │
//	                        │     └─ the queue of tasks: one  │
//	   other goroutines ───►│        Execute flushes to each, ├────►  ○ ○ ○
//	      Execute           │        once, all it is behind   │
//	                        └─────────────────────────────────┘
//
// gnet runs its tasks when it has handed out all events of a turn. So the first
// message of a turn posts one task, and that task writes to everybody: what is
// said in between travels with it, and under load one write carries many frames.
//
// # Who owns what
//
// gnet's loop owns the connections: every callback, every task and every field
// of a conn. Whatever a client cannot take yet stays in the core; gnet's own
// buffer gets one piece of 256 KiB at the most, and nothing is added to it
// until it is empty. Room and other goroutines leave a note and ring with one
// Execute, however many notes there are. The accepting goroutine owns the
// listener, and Shutdown takes it away.
//
// # Known limits
//
// One core at the most. What was met in gnet v2.10.0, and how it is lived with:
//
//   - Its acceptor ends the whole engine when accept(2) fails, as it does when
//     descriptors run out, and cannot be told to stop accepting. So connections
//     are accepted here, and enrolled with an engine that has no listener
//     (gnet.Client; the loop is the same). A connection costs a second
//     descriptor for a moment, and waits for the loop before the next is taken.
//   - Its outbound buffer is unbounded, and there is no event when it is empty
//     again: a clock of 5 ms looks, and runs only while somebody lags.
//   - A failed Write closes the connection within Write, with what the client
//     sent before still unread: OnClose reads that first, and it is fed in the
//     turns that follow.
//   - A Conn is not to be touched after OnClose, for its descriptor may be
//     somebody else's: it is forgotten there.
//   - Execute after the end writes to a descriptor that is closed: the bell is
//     taken away in OnShutdown, before the loop ends.
//   - It gives the zone of an IPv6 address to its pool of buffers, though that
//     string belongs to package net: zones are taken off the addresses first.
//   - It cannot be told to stop reading one client. A client whose session is Held
//     and that goes on sending is ended (flood) when 128 KiB wait; with other
//     transports TCP slows it down.
//   - Its logger is one for the whole process: that of the server started last.
package gnet

import "chatbench/backends"

const name = "gnet"

// Backend is the transport's line in the table.
var Backend = backends.Backend{
	Name:         name,
	Model:        "an event loop of gnet waits for all clients in epoll",
	Threads:      "1, and 1 that accepts",
	Processes:    "1",
	Library:      "github.com/panjf2000/gnet/v2 v2.10.0",
	Limits:       "cannot stop reading a client",
	FDsPerClient: 1,
	Start:        start,
}
