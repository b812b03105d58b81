// Package goroutine is the transport that is natural in Go, and the model of a
// thread for each client: a goroutine reads each client for as long as it is
// connected, and another writes to it while there is output. The waiting is
// left to the netpoller of Go's runtime.
//
// It refuses to share a goroutine between clients, and it keeps no output: a
// client is behind in the room's log, not here. Any goroutine may call Start
// and the methods of what it returns.
//
// # Model
//
//	accept ──► conn ──► reader, one for each client
//	                      waits until there is something to read
//	                      Session.Feed ──► room ──► Waker
//	                                                  │ rings
//	                                                  ▼
//	                                               rounds, one goroutine
//	                                                  │ begins a round: starts the
//	                                                  │ writers that have output
//	               ┌───────────────┬──────────────────┤
//	               ▼               ▼                  ▼
//	            writer          writer             writer
//	               write(Session.Next) until nothing waits, then it ends;
//	               one whose client takes no more waits by itself, for its
//	               client alone
//	               └───────────────┴──────────────────┤
//	                                                  ▼
//	                                               the round ends: the next may begin
//
// A round ends when every writer it started has written what it could. What is
// said meanwhile goes into the next round, so that under load one write carries
// all that was said in a round. A reader that feeds the room waits for the end
// of the round when much was said since its beginning; otherwise a fast sender
// would be read on and on, and clients that do read would be far behind without
// any fault of theirs. A writer that is stalled belongs to no round: nobody
// waits for a slow client. Nor does one that has written 256 KiB and has more: a
// client that is sent file frames without a pause would make the round endless.
//
// With Config.Coalesce a round may leave out what the room has said, and write to those
// clients alone that have output of their own, until it is due or a reader waits for
// the round. One timer rings for the whole room.
//
// A reader takes a buffer from a pool when there is something to read and gives
// it back when there is nothing more, so that an idle client costs a goroutine
// and no buffer.
//
// The alternative to starting writers is a second goroutine for each client
// that sleeps on a channel. With 1,000 clients at 100 messages/s it took the
// same CPU, 6.3 µs a write where this takes 6.2 (four rounds in turn, on a busy
// machine, single rounds ±6 %), as long as a turn allocates nothing. With 4,000
// idle clients it took 9.4 KiB of resident memory for each in place of 6.5.
//
// Without the waiting of readers, ten senders with 5,000 messages on the way
// each made the room close one or two of 100 clients that did read as slow.
//
// # Who owns what
//
//   - The reader owns the reading half of the socket and calls Session.Feed.
//   - The writer, while there is one, owns the writing half and calls
//     Session.Next and Session.Wrote.
//   - Whichever of the two ends last closes the connection and calls
//     Session.Leave, so that Leave is never called within Next.
//   - conn.mu guards the writer's state, and which of the two has ended.
//   - rounds alone starts writers. server.mu guards the list of connections.
//   - A reader whose session is Held waits until the writer, which works through
//     the input that waits, has the session held no more.
//   - When a session is closing the writer writes what is left and says FIN, and
//     the reader reads on to the client's FIN, until Config.Linger is over, which
//     counts from ours.
//
// # Known limits
//
//   - Each message to be delivered costs a start of a goroutine for each client
//     that is not behind, beside the system call.
//   - An idle client costs a goroutine's stack, 4 KiB where the reader has grown
//     it, beside what package net keeps for a connection.
//   - A client whose session is Held is not read, so that its end is noticed a
//     second later; while it is Held there is a timer for it.
//   - The order in which the writers of a round run is the scheduler's.
package goroutine
