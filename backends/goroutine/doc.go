// Package goroutine is the transport with goroutines for each client, the natural model in Go: one
// goroutine reads a client for as long as it is connected, and another writes to it while there is
// output. The netpoller of Go's runtime waits for the sockets.
//
// Clients do not share goroutines, and the transport keeps no output: it stays in the room's log.
// Any goroutine may call Start and the methods of what it returns.
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
//	               write(Session.Next) until nothing is left, then it ends;
//	               a writer whose client takes no more waits for that
//	               client, outside of the round
//	               └───────────────┴──────────────────┤
//	                                                  ▼
//	                                               the round ends: the next may begin
//
// A round ends when every writer it started has written what it could. What is said meanwhile goes
// into the next round, so that under load one write carries everything that was said in a round. A
// reader that feeds the room waits for the end of the round if much was said since its beginning.
// Otherwise a fast sender would be read on and on, and clients that do read would fall far behind
// through no fault of their own. A stalled writer belongs to no round, so nobody waits for a slow
// client. A writer that has written 256 KiB and has more leaves its round too: a client that is
// sent file frames without a pause would make the round endless.
//
// With Config.Coalesce a round may leave out the output of the room, and write only to clients that
// have output of their own, until the room's output is due or a reader waits for the round. There is
// one timer for the whole room.
//
// A reader takes a buffer from a pool when there is something to read and returns it when there is
// nothing more, so that an idle client costs a goroutine and no buffer.
//
// The alternative to starting writers is a second goroutine for each client, which sleeps on a
// channel. With 1,000 clients at 100 messages/s it took the same CPU, 6.3 µs a write, where starting
// writers takes 6.2 (four rounds in turn, on a busy machine, single rounds ±6 %), as long as a turn
// allocates nothing. With 4,000 idle clients it took 9.4 KiB of resident memory for each instead of
// 6.5.
//
// When readers did not wait, ten senders with 5,000 messages in flight each made the room close one
// or two of 100 clients as slow, though they did read.
//
// # Who owns what
//
//   - The reader owns the reading half of the socket and calls Session.Feed.
//   - The writer, while there is one, owns the writing half and calls Session.Next and
//     Session.Wrote.
//   - Whichever of the two ends last closes the connection and calls Session.Leave, so that Leave
//     is never called within Next.
//   - conn.mu guards the writer's state, and which of the two has ended.
//   - Only rounds starts writers. server.mu guards the list of connections.
//   - A reader whose session is Held waits until the session is not Held any more: the writer's
//     Next works through the input that waits.
//   - When a session is closing, the writer writes what is left and sends FIN. The reader then reads
//     until the client's FIN, or until Config.Linger after ours is over.
//
// # Known limits
//
//   - Each delivery costs the start of a goroutine, for each client that is not behind, besides the
//     system call.
//   - An idle client costs a goroutine's stack, 4 KiB once the reader has grown it, besides what
//     package net keeps for a connection.
//   - A client whose session is Held is not read, so its end is noticed up to a second later. While
//     it is Held there is a timer for it.
//   - The scheduler decides in which order the writers of a round run.
package goroutine
