// Package thread is the transport of blocking I/O on threads of the operating
// system: the multi-thread model of the course report, to the letter. No event
// loop, and no netpoller of Go's, stands between a client and its threads.
//
// # Model
//
//	 for each client                                      one for all
//	┌──────────────────────────────────┐               ┌──────────────┐
//	│ a thread in recv(2)      ◄───────┼─── ○          │ the          │
//	│      └─► fed to core             │    client     │ conductor    │
//	│                                  │    │          │ wakes all    │
//	│ a thread in send(2), or waiting ─┼────►          │ writers at   │
//	│      ▲   in futex_waitv(2)       │               │ once         │
//	└──────┼───────────────────────────┘               └──────┬───────┘
//	       └─────────────── rounds ◄──────────────────────────┘
//
// When something was said, the conductor opens a round: one futex(2) call wakes
// every writer that waits. Each writes, once, all its client is behind, and the
// round ends when the last has; one whose client takes no more leaves the round
// and stays in send(2). What is said meanwhile waits for the next round, so
// that under load one write carries many frames. A session's own output wakes
// its writer alone, through a second word in the same wait.
//
// # Who owns what
//
// A connection's reader owns what it reads into, its writer everything else of
// it: the writer outlives the reader, lingers, closes the descriptor and
// leaves the room. Others only interrupt, by shutdown(2), a thread that is
// blocked. A reader whose session is Held waits in futex(2), until the writer,
// which works through the input that waits, wakes it. Every thread is locked to its goroutine and ends with it, a second
// after its last client has gone: whoever comes in that time has it.
//
// # Known limits
//
//   - 4,000 clients: they have 8,000 threads, and Go's runtime ends a process at
//     10,000. Start refuses if fewer threads are left than the clients may take.
//   - Others may take threads later, so what is left is counted again while
//     clients come, at most every 50 ms: ulimit -u against the threads of the user
//     (not for root), pids.max of the cgroup and of those above it, threads-max
//     and pid_max. Who finds fewer than 2, beside 32 for the runtime, is turned
//     away. Not seen are the same user's threads in other containers and the
//     cgroups outside of the container; and whoever takes the last threads within
//     those 50 ms can still make the runtime end the process.
//   - Every write costs a switch of threads, 4 to 6 µs beside the 3 to 9 of the
//     write itself: at saturation twice the CPU of epoll. That is what is
//     left after trying: for a write of 75 octets to 100 clients, one loop took
//     3.4 µs, writers woken by one futex for all 6 to 8, by a channel or a
//     sync.Cond 10, each by a futex or an eventfd of its own 10 to 13.
//   - A thread that returns from the kernel needs one of the runtime's processors
//     (GOMAXPROCS), which one that is blocked gives back only when the runtime's
//     monitor takes it. So Start raises GOMAXPROCS to 16, for the whole process,
//     and the last server's end restores it. On one core, 1 against 16 in turn:
//     saturated 37 against 50 M deliveries/s, the 99th percentile at 1,000
//     messages a second 10 against 0.9 ms, and 0.31 against 2.5 M file frames/s.
//   - An idle client takes 45 KiB, and the kernel's stacks of two threads; one
//     that comes takes half a millisecond, if no thread is to spare.
//   - How much of what a blocked thread sends was taken is known only when it
//     returns. So it first sends without blocking, and then 16 KiB at a time; and
//     at least every 250 ms it looks whether its client has been given up.
//   - A client whose session is Held is not read, so that its end is noticed a
//     second later.
//   - futex_waitv(2) needs Linux 5.16.
package thread

import "chatbench/backends"

const name = "thread"

// Backend is the transport's line in the table.
var Backend = backends.Backend{
	Name:         name,
	Model:        "two threads for each client, one in recv(2), one in send(2) or waiting for its turn",
	Threads:      "2 per client",
	Processes:    "1",
	PerClient:    backends.OwnThread,
	Limits:       "4,000 clients; Linux 5.16",
	MaxClients:   mostClients,
	FDsPerClient: 1,
	Start:        start,
}
