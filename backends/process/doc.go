// Package process is the transport of one process for each client, with two
// pipes to the parent: the course report's model of interprocess communication.
//
// # Model
//
//	           parent: one loop                        children
//	┌───────────────────────────────────┐       ┌───────────────────┐
//	│ epoll_wait ─► read the pipes that │◄─pipe─┤ check what the    │◄── ○
//	│     ▲          have something,    │       │ client sends      │
//	│     │          each fed to core   │       │                   │
//	│     └──── write to each pipe all ─┼─pipe─►│ send what is said │──► ○
//	│           its client is behind    │       └───────────────────┘
//	│                                   │◄─pipe─┬───────────────────┐◄── ○
//	│ accept ─► login                   ├─pipe─►│                   │──► ○
//	│             └► socket to a child  │       └───────────────────┘
//	└──────────────┬────────────────────┘
//	               │ orders      ▲ children
//	               ▼             │
//	      the goroutine that forks
//
// Go cannot fork, so a child is this program run again, caught by package child
// before the rest of it is initialised. The parent routes: the room is there,
// and the children do not know one another. A client costs a process; one that
// crashes or is killed takes one client with it.
//
// A client gets its child when it is let in. Its first frame, the login, the loop
// reads, and no octet more; what the client sends behind it the child reads. Whoever is
// turned away, or says nothing, costs no process: a thousand wrong logins a second
// would be a thousand forks. That a client is let in it is told by its child.
//
// With Config.SpawnAhead that many children wait, and a client is handed to
// one over a Unix socket (SCM_RIGHTS) instead of waiting for a fork. While
// none waits, and always without SpawnAhead, a child is forked for each
// client, which then inherits the socket.
//
// # Who owns what
//
// The loop's goroutine owns the listener, its ends of the pipes, the process
// descriptors and the table of clients, and the socket of a client that is not let
// in yet, or never. The forking goroutine owns it from the order on until the child
// has it, or cannot be forked; a fork takes up to a millisecond and never holds up the loop. A child owns
// its client's socket.
//
// While the pipe to a child is full because the child waits for a processor, the
// loop reads nothing from clients: otherwise it would run ahead of its children,
// and clients who read would seem slow. A child that waits for its client holds
// the others up for 5 ms at a time, and ever more rarely. A pipe is read in steps
// of 4 KiB, up to 16 KiB before the others have their turn, and so is what a child
// that has ended leaves there. The pipe of a client whose session is Held is not
// read: it fills, and the child stops reading its client. If that leaves meanwhile the
// child ends by itself: Room.Farewell after a FIN, a second after a reset, for it
// cannot tell a session that is Held from a parent that is busy.
//
// A client has gone when its child is reaped: the descriptor of the process
// becomes readable, what is left in the pipe is fed, and the exit code says
// whether the client sent FIN. To end a connection the parent closes its pipe
// to the child, which sends FIN and waits for the client's; who takes longer
// than Config.Linger, or is too slow to be told anything, has its child killed.
// When the parent dies the kernel closes the pipes, and the children end.
//
// # What was measured
//
// On two cores of Linux 6.18, 100 clients, 64 octets, CPU of a child for a
// delivery: a loop of poll, read and write in C 11 µs, in Go with each wait a
// system call of its own 45 to 50 µs, in Go as it is done here 12 µs. Two
// threads that each block in a read save the poll, 1 µs, and cost 30 KiB and
// a thread.
//
// Copying by splice(2) from the pipe to the socket saves another 1 µs of 12,
// and is not done, for two reasons. It holds the pipe's lock while it is in the
// socket: a write of the parent's to that pipe, even a non-blocking one, then
// waits in the kernel, on a socket that blocks for as long as the client does
// not read. And each message keeps the page of the pipe it came in until the
// client has it: a client that does not read, sent 2.6 MB in messages of 64
// octets, held 40 to 100 MB of the kernel's memory. Distribution by tee(2) from
// one pipe to all gained nothing over write, up to 4 KB at a time: what costs is
// to wake the reader, and a pipe holds 16 messages then.
//
// With all that, at 1,000 messages a second: 10 µs a delivery in the child and
// 4 µs in the parent; from connect to granted, at 125 a second, 4.8 ms with a
// fork for each client and 0.4 ms with children that wait.
//
// A client that comes and goes costs 1.4 ms of CPU in its child, and 595 KiB (PSS)
// while it is there, 500 of them: Go's runtime, of which 344 KiB are its heap. It is
// twice as much, 2.5 ms and 1,109 KiB, if the packages of a server are initialised
// before the child: see package child. A client that is not let in costs 0.03 ms in
// the parent; with a child for each it was 4 ms.
//
// # Known limits
//
// A client costs three descriptors here, and three threads and 0.6 MB there: 50 that
// come at once and read nothing are 30 MiB and 70 ms of CPU before anything else. What
// is said costs a switch to each child. The counters count what passes the
// pipes. A user other than root gets pipes of two pages, and is slower, once
// 16,384 pages of pipes are in use, 20 for each client.
//
// A client that stops reading holds up the input of all for 5 ms, once in 10 s,
// when its pipe is full: after that the loop knows that the child waits for its
// client. Several that fill their pipes at once share those 5 ms.
//
// Before each login what is left of the limits on threads and processes is counted, as
// in thread. Who finds fewer than the 4 that a child may have, beside 32 for the parent's
// runtime and 4 for each login that is being decided, is told that the server is full. So
// is a client in the room whose child cannot be forked, for lack of descriptors mostly.
package process

import "chatbench/backends"

// Backend is the transport's line in the table.
var Backend = backends.Backend{
	Name:         "process",
	Model:        "one process for each client blocks on its socket; one loop in the parent waits for their pipes",
	Threads:      "1 for the loop, 3 per client",
	Processes:    "1 per client",
	PerClient:    backends.OwnProcess,
	Limits:       "a process for each client",
	MaxClients:   8000, // up to 4 threads each, of the 32,768 the kernel has numbers for unless told otherwise
	FDsPerClient: 3,    // two pipes and the process
	Start:        start,
}
