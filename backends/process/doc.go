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
//	               │ requests    ▲ children
//	               ▼             │
//	      the goroutine that forks
//
// Go cannot fork, so a child is this program run again; package child catches it before the rest
// of the program is initialised. The room is in the parent, and the children do not know each
// other. A client costs a process; one that crashes or is killed ends one client.
//
// A client gets its child when its login is granted. The loop reads the client's first frame, the
// login, and not one octet more; the child reads what follows. A client that is turned away, or
// sends nothing, costs no process: otherwise a thousand wrong logins a second would be a thousand
// forks. The child writes the answer to a login that is granted.
//
// With Config.SpawnAhead so many children wait for clients, and a client is given to one of them
// over a Unix socket (SCM_RIGHTS) instead of waiting for a fork. If none waits, and always without
// SpawnAhead, a child is forked for the client and inherits its socket.
//
// # Who owns what
//
// The loop's goroutine owns the listener, its ends of the pipes, the pidfds of the children, the
// table of clients, and the socket of a client without a child. The forking goroutine owns that
// socket from the request on, until the child has it or the fork has failed; a fork takes up to a
// millisecond and never delays the loop. A child owns its client's socket.
//
// While the pipe to a child is full because the child waits for a processor, the loop reads
// nothing from clients. Otherwise it would run ahead of its children, and clients that read would
// count as slow. A child that waits for its client stops the input of the others for 5 ms at a
// time, and more and more rarely. A pipe is read in steps of 4 KiB, at most 16 KiB in a turn, and so
// is what a child that has ended leaves in it. The pipe of a client whose session is Held is not
// read: it fills, and the child stops reading its client. If the client then leaves, the child ends
// by itself: Room.Farewell after a FIN, and a second after a reset, because it cannot tell a
// session that is Held from a parent that is busy.
//
// A client has gone when its child is reaped: the child's pidfd becomes readable, what is left in
// the pipe is fed, and the exit code says whether the client has sent FIN. To end a connection the
// parent closes its pipe to the child, which sends FIN and waits for the client's. The child is
// killed if that takes longer than Config.Linger, or if the client is too slow to be sent anything.
// When the parent dies the kernel closes the pipes, and the children end.
//
// # What was measured
//
// On two cores of Linux 6.18, with 100 clients and 64 octets, CPU of a child for each delivery: a
// loop of poll, read and write in C 11 µs; in Go with each wait a system call of its own 45 to
// 50 µs; in Go as it is done here 12 µs. Two threads that each block in a read save the poll, 1 µs,
// and cost 30 KiB and a thread.
//
// Copying by splice(2) from the pipe to the socket saves another 1 µs of the 12. It is not done, for
// two reasons. splice holds the pipe's lock while it is in the socket: then a write of the parent
// to that pipe, even a non-blocking one, waits in the kernel, on a blocking socket for as long as
// the client does not read. And each message keeps the page of the pipe in which it came until the
// client has it: a client that did not read, and was sent 2.6 MB in messages of 64 octets, held 40
// to 100 MB of the kernel's memory. Distributing by tee(2) from one pipe to all gained nothing over
// write, up to 4 KB at a time: the cost is waking the reader, and a pipe then holds only 16 messages.
//
// The result, at 1,000 messages a second: 10 µs for a delivery in the child and 4 µs in the parent.
// From connect to granted, at 125 a second, it takes 4.8 ms with a fork for each client and 0.4 ms
// with children that wait.
//
// A client that comes and goes costs 1.4 ms of CPU in its child, and 595 KiB (PSS) while it is
// there. 500 of them are Go's runtime, of which 344 KiB are its heap. It would be twice as much,
// 2.5 ms and 1,109 KiB, if the packages of a server were initialised before the child: see package
// child. A client whose login is not granted costs 0.03 ms in the parent; with a child it was 4 ms.
//
// # Known limits
//
//   - A client costs three descriptors in the parent, and 4 to 6 threads and 0.6 MB in its child: 50
//     clients that come at once and read nothing cost 30 MiB and 70 ms of CPU before anything else.
//   - Each message costs a switch to each child.
//   - The counters count what passes the pipes.
//   - A user other than root gets pipes of two pages, and is slower, once 16,384 pages of pipes are
//     in use, 20 for each client.
//   - A client that stops reading stops the input of all for 5 ms, once in 10 s, when its pipe is
//     full: then the loop knows that its child waits for it. Several clients whose pipes fill at
//     once share those 5 ms.
//   - As in the thread transport, what is left of the limits on threads and processes is counted
//     before each login. If that is less than the 6 that a child may have, 32 for the parent's
//     runtime, and 6 for each login that is being decided and for each child that is starting, the
//     client is told that the server is full. If nearly MaxClients come within seconds, that may
//     happen to some. So is a client in the room whose child cannot be forked, mostly for lack of
//     descriptors.
package process

import "chatbench/backends"

// Backend describes the transport.
var Backend = backends.Backend{
	Name:         "process",
	Model:        "one process for each client blocks on its socket; one loop in the parent waits for their pipes",
	Threads:      "1 for the loop, 4 to 6 per client",
	Processes:    "1 per client",
	PerClient:    backends.OwnProcess,
	Limits:       "a process for each client",
	MaxClients:   5000, // up to 6 threads each, of the 32,768 the kernel has numbers for unless told otherwise
	FDsPerClient: 3,    // two pipes and the process
	Start:        start,
}
