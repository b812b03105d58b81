// Package gnet is the transport that uses an event loop of gnet, the best-known Go library
// for epoll.
//
// # Model
//
//	 a goroutine                 gnet's loop, one goroutine
//	┌───────────┐  Enroll   ┌─────────────────────────────────┐
//	│ accept(2) ├──────────►│ epoll_wait ─► OnTraffic: feed   │     clients
//	└─────▲─────┘           │     ▲         the core       ◄──┼─────  ○ ○ ○
//	      ○ new             │     │                           │
//	                        │     └─ the queue of tasks: a    │
//	   other goroutines ───►│        turn writes to each      ├────►  ○ ○ ○
//	      Execute           │        client, once, all it is  │
//	                        │        behind                   │
//	                        └─────────────────────────────────┘
//
// gnet runs its tasks after it has handled all events of one epoll_wait. So the first
// message posts one task, a turn, which writes to everybody: messages that come before it
// share its writes, and under load one write carries many frames. The turns are those of
// internal/loopadapter.
//
// # Who owns what
//
// gnet's loop owns the connections: every callback and every task runs on its goroutine.
// gnet's own output buffer has one piece of a client's output at a time, of up to 256 KiB;
// the rest stays in the core. Other goroutines queue their wakes and ring, with one Execute for
// all of them. The accepting goroutine owns the listener until Shutdown closes it.
//
// # Known limits
//
// It uses one core at most. Limits of gnet v2.10.0, and what this package does about them:
//
//   - Its acceptor ends the whole engine when accept(2) fails, as it does when descriptors
//     run out, and cannot stop accepting. So connections are accepted here and given to an
//     engine without a listener (gnet.Client; its loop is the same). A connection costs a
//     second descriptor for a moment, and the next one is accepted when the loop has it.
//   - Its output buffer is unbounded, and no event tells that it is empty. It is asked in
//     every turn, and every 5 ms while something is buffered.
//   - A Write that fails closes the connection, though input may be unread. OnClose reads
//     it, and it is fed in the turns that follow.
//   - A Conn must not be used after OnClose, since its descriptor may belong to another
//     connection by then. OnClose forgets it.
//   - Execute after the end writes to a closed descriptor. OnShutdown, which comes before
//     the loop ends, silences the bell.
//   - It puts the zone of an IPv6 address into its pool of buffers, though that string
//     belongs to package net. So zones are removed from the addresses first.
//   - It cannot stop reading one client. A client whose session is Held and that goes on
//     sending is ended (flood) when 128 KiB wait; with other transports TCP slows it down.
//   - It has one logger for the process: that of the server started last.
package gnet

import "chatbench/backends"

const name = "gnet"

// Backend describes the transport.
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
