// Package evio is the transport that uses an event loop of evio, a library whose callbacks
// return what is to be written.
//
// # Model
//
//	             evio's loop, one goroutine
//	┌─────────────────────────────────────────────────────┐
//	│ epoll_wait ─► notes ─► events ─► epoll_wait ─► …    │
//	│                 │         │                         │     clients
//	│                 │         ├─ read  ─► Data(bytes) ◄─┼─────  ○ ○ ○
//	│                 │         └─ write what Data gave ──┼────►  ○ ○ ○
//	│                 └─ Wake ─► Data(nil) ─► all that    │
//	│                            the client is behind     │
//	└─────────────────────────────────────────────────────┘
//
// Output goes out in rounds. The first message rings the bell; its turn wakes every client,
// and each is given, once, everything it is behind. The next round waits until the kernel
// has taken that for all clients that take anything. So under load one write carries many
// frames. Once 256 KiB were said in a round, input waits for the next one, so that clients do
// not fall behind because of the loop; and beyond 16 KiB of one client it waits until others
// have had their turn.
//
// The bell is a connection of the transport to itself: evio runs nothing but Data of a
// connection, and this one is always there. Beside the loop a goroutine waits for
// connections, and lets evio accept them.
//
// # Who owns what
//
// evio's loop owns the connections: every callback runs on its goroutine, and every field of
// a conn belongs to it. evio has one piece of output of each client, and is given the next
// when that one is sent; the rest stays in the core. Other goroutines queue their wakes and
// ring the bell. Connections wait in the kernel until the accepting goroutine makes evio watch its
// listener for one of them.
//
// # Known limits
//
// It uses one core at most. Limits of evio v1.0.8, and what this package does about them:
//
//   - It ends, and closes all clients, when accept(2) fails for any reason. So it may accept
//     only when a connection waits and at least 32 descriptors are free; otherwise the
//     connection is turned away. It still ends if somebody else takes all of those
//     descriptors in between.
//   - What Data(nil) returns replaces output that is not sent yet. Only the connection's own
//     buffer tells whether there is any. Its length is read by reflection, and so are the
//     descriptors of a connection and of the loop's epoll. Start fails if the fields are not
//     as in v1.0.8.
//   - A Wake that comes while its loop is busy has no effect until something else happens, or
//     for 100 ms. So the bell has an eventfd in evio's epoll, for which evio does nothing but
//     go round its loop.
//   - It writes before it reads, and tries both whenever either is possible, so that with a
//     client that talks and does not read it would spin. Such a client is not watched for
//     input, but read here every 5 ms.
//   - A write that fails closes the connection, though input may be unread. So the transport
//     has a duplicate of each descriptor, from which it reads the rest: two descriptors a
//     client.
//   - It closes its listening descriptor twice when it ends. A descriptor that is opened in
//     between would be closed; chatd opens none then.
//   - It makes two system calls for each write to change what is watched.
//   - It cannot stop reading one client. A client whose session is Held and that goes on
//     sending is ended (flood) when 128 KiB wait; with other transports TCP slows it down.
//   - It waits for ever for a loop that ends while Serve is still starting. Start does not
//     wait for it then.
//   - It copies its output into a new slice for each write. At saturation, with 100 clients,
//     that is 10 MB a round, which no cache holds, and twice the CPU of epoll. In the profile
//     the copy is 14 %, page faults 7 %, garbage collection 3 %, and the kernel's own copy,
//     now from memory, 22 %. Rounds of 24 KiB instead of 256 KiB cost half as much again,
//     because of their system calls; fewer collections (GOGC=1000) changed nothing.
package evio

import "chatbench/backends"

const name = "evio"

// Backend describes the transport.
var Backend = backends.Backend{
	Name:         name,
	Model:        "an event loop of evio waits for all clients in epoll",
	Threads:      "1, and 1 that waits to accept",
	Processes:    "1",
	Library:      "github.com/tidwall/evio v1.0.8",
	Limits:       "cannot stop reading a client",
	FDsPerClient: 2,
	Start:        start,
}
