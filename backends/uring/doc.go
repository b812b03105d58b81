// Package uring is the transport of io_uring(7): the kernel is not asked who is
// ready, it is handed what is to be done, and says what is done. There is one loop, or
// as many as Config.Loops says.
//
// # Model
//
//	   each loop: one goroutine, on a thread of its own
//	┌───────────────────────────────────────────┐
//	│ enter ─► completions: what has come, each │      clients
//	│   ▲      piece in a buffer that the ◄─────┼──────  ○ ○ ○
//	│   │      kernel took, is fed to the core  │
//	│   └───── one send for each client, all ───┼──────► ○ ○ ○
//	│          submitted by one enter           │
//	└───────────────────────────────────────────┘
//
// Each client has one receive that stays (multishot) and at most one send. A turn
// feeds all that has come, then fills in a send for each client that is behind, straight
// from the broadcast log, and enters the kernel once for up to a thousand of them. A
// send that the socket takes is complete when that returns; one that is not is in
// the hands of the kernel, which goes on with it when the client has taken something: that
// is how the loop learns that a client takes no more for now.
//
// # What the kernel reads
//
// The octets of a send must not change before its completion. What Session.Next gives
// stays as it is until Wrote has said that it is written, or until the session gives it
// up in Next, WriteFailed or Leave. While a send is in flight, none of these is
// called but Wrote(0), with one exception: a connection that is dropped is first shut
// down in both directions. After that the kernel sends nothing of it any more, whatever
// the memory holds; and it works on sends only while the loop's thread is inside Submit
// or Wait, so none is halfway. A connection keeps a Go pointer to what is sent, so that the
// collector does not free it.
//
// # What waits for readiness all the same
//
// The listener and the doorbell are polled through the ring. Connections are accepted
// by accept4(2), as the other loops do: a multishot accept keeps the file limit of the
// time it was submitted, so it goes on accepting when that is lowered, and when it fails
// for lack of descriptors it does so whether or not anybody is there.
//
// # Several loops
//
// They share the port with SO_REUSEPORT and read the one broadcast log; what they know
// of one another is in backends/internal/loopgroup. A loop gives a socket that it has
// accepted to the loop with the fewest connections, where it stays. A loop that feeds
// the room wakes those that sleep once, when it is done feeding and before it
// writes, however much was said. It waits while another is more than 256 KiB behind with
// its writing, 100 ms at most; while it waits, its sends in flight wait too.
//
// # Who owns what
//
// A loop's goroutine owns a listener, its connections and its ring, and is locked
// to the thread that made the ring. It keeps its processor (the runtime's P) while it
// waits for up to 20 ms; GOMAXPROCS is one higher for each loop. Other goroutines leave a
// note and ring an eventfd, and only if the loop sleeps.
//
// A descriptor is closed when neither a receive nor a send is in flight on it: while one
// is, close(2) would not end the connection.
//
// # Known limits
//
// One core for each loop at the most, and one loop unless more are asked for: each has
// 1 MiB of buffers and a ring of its own. It needs Linux 6.1, and a system that
// allows io_uring: the default profile of Docker does not. Of clients that are not read,
// because their sessions are Held, the kernel may have handed over something already: in one
// turn 1 MiB at most, of all those of a loop. That waits in their connections.
//
// What is even among loops is the number of connections, not what they do.
package uring

import (
	"chatbench/backends"
	"chatbench/backends/internal/ring"
)

// Backend is the transport's line in the table.
var Backend = backends.Backend{
	Name:         "uring",
	Model:        "one thread hands all that is to be done to io_uring and takes what is done",
	Threads:      "1 or -loops",
	Processes:    "1",
	Coalesces:    true,
	FDsPerClient: 1,
	Loops:        func() int { return 1 },
	Limits:       "needs Linux 6.1 and a system that allows io_uring",
	Unavailable:  ring.Available,
	Start:        start,
}
