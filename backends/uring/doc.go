// Package uring is the transport of io_uring(7): the loop does not ask the kernel which sockets are
// ready, but submits operations and takes their completions. There is one loop, or as many as
// Config.Loops says.
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
// Each client has one receive, which stays (multishot), and at most one send. A turn feeds all input,
// then fills in a send for each client that is behind, straight from the broadcast log, and enters the
// kernel once for up to a thousand of them. A send that the socket takes is complete when that call
// returns. The kernel keeps one that is not, and goes on with it when the client has taken something:
// that is how the loop learns that a client takes no more for now.
//
// # What the kernel reads
//
// The octets of a send must not change before its completion. What Session.Next returns stays as it
// is until Wrote has reported all of it, or until the session gives it up in Next, WriteFailed or
// Leave. While a send is in flight, only Wrote(0) is called, with one exception: a connection that is
// dropped is first shut down in both directions. After that the kernel sends nothing of it any more,
// whatever the memory holds. And the kernel works on sends only while the loop's thread is inside
// Submit or Wait, so none is halfway. A connection keeps a Go pointer to what is sent, so that the
// collector does not free it.
//
// # What a receive can miss
//
// If input and the end of a connection are both there when the kernel begins to wait for a socket, a
// multishot receive may report only the input, and never the end. Linux 6.18 misses a reset behind
// more than 128 KiB; kernels without "io_uring/poll: fix multishot recv missing EOF on wakeup race"
// (2026) may miss more. So the loop checks each client that has sent something, once, a second later at
// most, and repeats the receive of one that has left. After the server's FIN it does not: a client that
// is reset then may keep its connection for Config.Linger. The receive of a connection that is dropped
// is cancelled.
//
// # When the buffers run out
//
// A receive that finds no buffer ends, and is submitted again when the input of the turn is handled and
// its buffers are given back. Submitted earlier, it would take the few that are free for the clients
// that send most, again and again: the turn would not end, and quiet clients would not be heard.
//
// # What still waits for readiness
//
// The listener and the doorbell are polled through the ring. Connections are accepted by accept4(2),
// as in the other loops. A multishot accept keeps the file limit of the time at which it was
// submitted: it goes on accepting when the limit is lowered, and when it fails for lack of
// descriptors it does so whether or not a connection waits.
//
// # Several loops
//
// The loops share the port with SO_REUSEPORT and read the same broadcast log; the rest of their shared
// state is in backends/internal/loopgroup. A loop gives an accepted socket to the loop with the fewest
// connections, where it stays. A loop that feeds the room wakes the sleeping loops once, when it has
// stopped feeding and before it writes, however much was said. It waits while another loop is more
// than 256 KiB behind with its writing, 100 ms at most; meanwhile its own sends in flight wait too.
//
// # Who owns what
//
// A loop's goroutine owns a listener, its connections and its ring, and is locked to the thread that
// made the ring. It keeps its processor (the runtime's P) while it waits for up to 20 ms; GOMAXPROCS is
// raised by one for each loop. Other goroutines queue their wakes and ring an eventfd, but only if the
// loop sleeps.
//
// A descriptor is closed when neither a receive nor a send is in flight on it: otherwise close(2)
// would not end the connection.
//
// # Known limits
//
//   - Each loop uses one core at most. There is one loop unless Config.Loops asks for more: each has
//     1 MiB of buffers and a ring of its own.
//   - It needs Linux 6.1, and a system that allows io_uring: Docker's default profile does not.
//   - The kernel may have returned input already of clients that are not read because their sessions
//     are Held: at most 1 MiB for all clients of a loop, in one turn. It waits in their connections.
//   - The loops have the same number of connections, but not the same load.
package uring

import (
	"chatbench/backends"
	"chatbench/backends/internal/ring"
)

// Backend describes the transport.
var Backend = backends.Backend{
	Name:         "uring",
	Model:        "one thread submits all operations to io_uring and takes their completions",
	Threads:      "1 or -loops",
	Processes:    "1",
	Coalesces:    true,
	FDsPerClient: 1,
	Loops:        func() int { return 1 },
	Limits:       "needs Linux 6.1 and a system that allows io_uring",
	Unavailable:  ring.Available,
	Start:        start,
}
