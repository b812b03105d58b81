// Package thread is the transport with blocking I/O on threads of the operating system: the
// multi-thread model of the course report. There is no event loop, and no netpoller of
// Go's, between a client and its threads.
//
// # Model
//
//	 for each client                                      one for all
//	┌──────────────────────────────────┐               ┌──────────────┐
//	│ a thread in recv(2)      ◄───────┼─── ○          │ a thread     │
//	│      └─► feeds the core          │    client     │ that opens   │
//	│                                  │    │          │ rounds, and  │
//	│ a thread in send(2), or waiting ─┼────►          │ wakes all    │
//	│      ▲   in futex_waitv(2)       │               │ writers      │
//	└──────┼───────────────────────────┘               └──────┬───────┘
//	       └─────────────── rounds ◄──────────────────────────┘
//
// When something was said a thread of its own opens a round: one futex(2) call wakes every
// writer that waits. Each writes, once, everything its client is behind, and the round ends
// when all have. A writer whose client takes no more leaves the round and stays in send(2).
// What is said meanwhile waits for the next round, so that under load one write carries
// many frames. A session's own output wakes only its writer, through a second word in the
// same wait.
//
// # Who owns what
//
// A connection's reader owns its read buffer, its writer everything else: the writer ends
// after the reader, lingers, closes the descriptor and leaves the room. Other threads only
// interrupt a blocked thread, by shutdown(2). A reader whose session is Held waits in
// futex(2), until the writer, whose Next works through the waiting input, wakes it. Every
// thread is locked to its goroutine and ends with it, a second after its client has left,
// unless a new client takes it over.
//
// # Known limits
//
//   - At most 4,000 clients: they have 8,000 threads, and Go's runtime ends a process that
//     has 10,000. Start fails if fewer threads are left than the clients may need.
//   - Other processes may start threads later. So the threads that are left are counted
//     again while clients come, at most every 50 ms: ulimit -u against the threads of the
//     user (not for root), pids.max of the cgroup and of those above it, threads-max and
//     pid_max. A client is turned away if there are not 2 threads left for it beside 32 for
//     the runtime. The count does not see the same user's threads in other containers, and
//     cgroups outside of the container. If others take the last threads within those 50 ms,
//     the runtime can still end the process.
//   - Every write costs a switch of threads: 4 to 6 µs beside the 3 to 9 of the write
//     itself, at saturation twice the CPU of epoll. Alternatives were slower: for a write of
//     75 octets to 100 clients one loop took 3.4 µs, writers woken by one futex for all 6 to
//     8, by a channel or a sync.Cond 10, each by a futex or an eventfd of its own 10 to 13.
//   - A thread that returns from the kernel needs one of the runtime's processors
//     (GOMAXPROCS). A blocked thread keeps its own until the runtime's monitor takes it. So
//     Start raises GOMAXPROCS to 16, for the whole process, and the last server's end
//     restores it. Measured on one core, 1 against 16: saturated 37 against 50 M
//     deliveries/s, the 99th percentile at 1,000 messages a second 10 against 0.9 ms, and
//     0.31 against 2.5 M file frames/s.
//   - An idle client takes 45 KiB, and the kernel's stacks of two threads. A new client
//     takes half a millisecond if no thread is idle.
//   - How many octets a blocked thread has sent is known only when it returns. So it first
//     sends without blocking, and then 16 KiB at a time. At least every 250 ms it checks
//     whether its session has ended.
//   - A client whose session is Held is not read, so its end is noticed a second later.
//   - futex_waitv(2) needs Linux 5.16.
package thread

import "chatbench/backends"

const name = "thread"

// Backend describes the transport.
var Backend = backends.Backend{
	Name:         name,
	Model:        "two threads for each client, one in recv(2), one in send(2) or waiting for its turn",
	Threads:      "2 per client",
	Processes:    "1",
	PerClient:    backends.OwnThread,
	Limits:       "4,000 clients; Linux 5.16",
	MaxClients:   maxClients,
	FDsPerClient: 1,
	Start:        start,
}
