// Package evio is the transport of an event loop of evio, the library whose
// callbacks return what is to be written.
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
// Output goes out in rounds. The first message said rings the bell; the bell's
// turn wakes every client, each is handed once all that it is behind, and the
// next round waits until the kernel has taken that from all who take anything.
// So under load one write carries many frames. Once 256 KiB are said in a round
// what is read waits, so that nobody falls behind for the loop's own fault; and
// beyond 16 KiB of one client it waits until others have had their turn.
//
// The bell is a connection of the transport to itself: evio runs nothing for
// others but Data for a connection, and this one is always there. Beside the
// loop a goroutine waits for connections, and lets evio accept them.
//
// # Who owns what
//
// evio's loop owns the connections: every callback and every field of a conn.
// Whatever a client cannot take yet stays in the core; evio has one piece of
// output of each, and is handed the next when that one is gone. Room and other
// goroutines leave a note and ring the bell. Connections wait in the kernel
// until the accepting goroutine has evio watch its listener for one of them.
//
// # Known limits
//
// One core at the most. What was met in evio v1.0.8, and how it is lived with:
//
//   - It ends, and closes all clients, when accept(2) fails for whatever
//     reason. So it is let accept only when a connection waits and at least 32
//     descriptors are free; else the connection is turned away. What remains
//     is that somebody else takes all of those in the moment between.
//   - What Data(nil) gives replaces output that is not sent yet. Whether there
//     is any is known from the connection's own buffer alone. Its length is
//     read by reflection, as are the descriptors of a connection and of the
//     loop's epoll. Start checks that the fields are as in v1.0.8, and fails
//     if they are not.
//   - A wake-up is forgotten, until something else happens or for 100 ms, if
//     it comes while a turn is under way. So the bell has an eventfd in evio's
//     epoll: evio does nothing for it, but turns.
//   - It writes before it reads, and tries both whenever either is possible:
//     with a client that talks and does not read it would spin. Such a client
//     is no longer watched for input, which is read here every 5 ms.
//   - A write that fails closes the connection with the client's last words
//     unread. So the transport has a duplicate of each descriptor, reads the
//     rest from it, and costs two descriptors a client.
//   - It closes its listening descriptor twice when it ends. Whoever opens one
//     in between would lose it; chatd opens none then.
//   - It asks the kernel twice a write to change what is watched.
//   - It cannot be told to stop reading one client. A client whose session is Held
//     and that goes on sending is ended (flood) when 128 KiB wait; with other
//     transports TCP slows it down.
//   - It waits in vain for a loop that ends while Serve still begins: Start
//     does not wait for it then.
//   - It copies whatever it is handed into a slice of its own, a new one for each
//     write. At saturation, with 100 clients, that is 10 MB a round that no cache
//     holds, and twice the CPU of epoll. In the profile the copy is 14 %, the pages it
//     touches for the first time 7 %, collecting them 3 %, and the kernel's own
//     copy, now from memory, 22 %. Rounds of 24 KiB in place of 256 cost half as
//     much again, for each then is a system call; fewer collections (GOGC=1000)
//     changed nothing.
package evio

import "chatbench/backends"

const name = "evio"

// Backend is the transport's line in the table.
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
