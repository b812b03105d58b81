// Package backends is the contract between the chat core and the transports that drive it: what a
// transport is given, and what it MUST do. Each transport is a package below this one and implements
// one concurrency model. Package backends/all is the table of all of them, and backends/backendtest is
// the suite that checks them against the contract.
//
// A transport MUST:
//
//  1. bind Config.Listen before Start returns, and accept connections until Shutdown is called. A
//     Start that fails leaves nothing behind. Its error is one line and wraps the kernel's error
//     (EADDRINUSE, EADDRNOTAVAIL, EACCES), so that the server can say what to do about it;
//  2. call Room.Join once for each accepted connection, feed the session the octets of its client in
//     order, from one goroutine at a time, and never feed it after Leave;
//  3. write exactly what Session.Next returns, in that order, and report every octet that the kernel
//     took with Session.Wrote. It must not lose or repeat an octet: what its library cannot take yet
//     stays in the core. When the kernel, or the library, takes no more for now, the transport calls
//     Wrote with fewer octets than Next returned, perhaps 0: that is how the core learns that a client
//     is slow. It does so at no other time: if it writes in pieces it reports them together. It
//     reports a write that failed with Session.WriteFailed, and then reads the client to its end,
//     because what the client sent before still counts;
//  4. after Join, after each Feed, and whenever a session is woken, call Session.Closing first and Next
//     after that: if the session was closing before Next returned nothing, it will have no more
//     output. Its connection then ends in this order: shutdown(SHUT_WR); read and discard until EOF,
//     but no longer than Config.Linger after that FIN; close. (A client that was turned away, see
//     Reason.TurnedAway, has no slot, and gets 250 ms at most.) How long a client may take to read its
//     output before the FIN is for the core: when that time is over it wakes the session, and Next
//     returns nothing;
//  5. call Session.Leave once, when the connection has ended: with ReasonEOF after the client's FIN,
//     ReasonReset after an error, and ReasonCut if Shutdown's context ended first. (If the session was
//     closing, any reason will do: the core keeps the first.) Before that, everything that the client
//     sent has to be fed, even if it was a write that showed the end. The kernel reports a reset only
//     once: after a write that failed with ECONNRESET the reason is ReasonReset, though reads return 0
//     then; if it failed with EPIPE, a FIN came first. A client that sends FIN has left: its output
//     need not be written, except the last output of a session that is already closing, as far as the
//     kernel takes it;
//  6. never block on a slow client while others wait, and have no more than one write of output for
//     each connection outside of the core;
//  7. survive running out of descriptors: serve the clients that are connected, accept new ones when
//     descriptors are free again, and not spin meanwhile: at most a few dozen tries a second. If each
//     client has a thread or a process of its own (Backend.PerClient), the same holds for those. A
//     client that cannot have one is turned away, counted in NoDescriptors, and logged, many of them
//     in one line. If it has joined already, Session.TurnAway tells it;
//  8. set on every connection TCP_NODELAY, SO_SNDBUF to Config.SendBuffer unless that is 0, and
//     SO_KEEPALIVE, TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_USER_TIMEOUT so that a peer that has become
//     silent is given up within DeadAfter. The listening socket has Config.Backlog, and its connections
//     inherit its options. (Package net uses a backlog of its own, which a second listen(2) changes.);
//  9. leave no goroutine, thread, process or descriptor behind when Shutdown has returned, and let
//     the same port be bound again at once;
//  10. count what it does in Config.Counters. If it has a loop, and can measure it, it also times the
//     loop's turns with a TurnTimer;
//  11. feed at most FeedStep octets at once, however much it reads, and write to its clients before it
//     feeds on if the room has said more than FlushAfter octets (Room.Said) since it last began to
//     write to them: a frame of two octets may become 68 in the room. So writing limits reading.
//     Otherwise the room would run ahead, and every client would be offered more than its kernel takes
//     at once; the core counts a client as slow that is behind by more than core.Config.LagLimit and
//     never takes everything it is offered, however fast it reads. If several loops serve one room, a
//     loop that feeds waits for loops that have not begun to write yet, but not for loops that have
//     nothing to write, and never while they wait for it. No loop waits for a client that takes no
//     more;
//  12. stop reading a client whose session is Held, if its library can do that. It calls Held after
//     Feed and, when the session was woken, after Next. While it does not read a client, it checks
//     once a second whether the client has left: TCP_INFO and poll(2) show a FIN behind unread input,
//     and a reset. A client that has sent FIN leaves after Room.Farewell, with ReasonEOF, and its input
//     is not read to the end then; until then it may be read on. A client that was reset leaves at
//     once. A transport that cannot stop reading says so in Limits, and feeds on: the core ends a
//     client that then sends too much;
//  13. allow late wakes, after Leave of the session and after Shutdown. They do nothing;
//  14. if it Coalesces, let the output of the room wait for Config.Coalesce, from when it learned of the
//     first of it. Nothing else waits: not the output for one session alone, not the end of a session,
//     and nobody who waits because of rule 11.
package backends

import (
	"context"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"chatbench/core"
)

// FeedStep is how much a transport feeds at once, at most, and FlushAfter how much the room may say
// before it writes to its clients, in octets. At worst a step becomes 140 KiB in the room, if it
// consists of empty messages from a client with a long name.
const (
	FeedStep   = 4 << 10
	FlushAfter = 256 << 10
)

// DeadAfter is how long a peer that has become silent keeps its connection, at most: TCP_USER_TIMEOUT or
// TCP_KEEPIDLE, whichever is longer, then one TCP_KEEPINTVL until the last probe, and TCP_USER_TIMEOUT
// again, because the kernel starts counting again if something was sent just before. The values of
// internal/tcp, 45 s, 30 s and 10 s, give 100 s.
const DeadAfter = 105 * time.Second

// Config is the configuration of a transport, the same for all of them.
type Config struct {
	Listen     string        // HOST:PORT; 0.0.0.0 means IPv4 alone, [::] or no host both; port 0 means any free one
	Room       *core.Room    // where connections join
	Counters   *Counters     // what the transport counts; never nil
	Log        *slog.Logger  // for rare events only, never a line for each message; never nil
	MaxClients int           // that of Room, for the size of tables
	SendBuffer int           // SO_SNDBUF in octets; 0 leaves it to the kernel
	Coalesce   Coalesce      // how long output may wait, in a transport that Coalesces
	Backlog    int           // of listen(2)
	Linger     time.Duration // how long a client may take to send FIN after ours
	MaxFrame   int           // that of Room, for a transport that checks sizes itself; 0: only the room does
	SpawnAhead int           // processes that wait for clients, in a transport with a process for each client
	Loops      int           // event loops, in a transport that has Backend.Loops; 0: as many as that returns
}

// Counters counts what a transport has done since it started. Any goroutine may use it.
type Counters struct {
	Accepts       atomic.Int64 // connections that were given to Room.Join
	AcceptErrors  atomic.Int64 // failures of accept(2), including EMFILE
	NoDescriptors atomic.Int64 // connections turned away for lack of descriptors, threads or processes
	Reads         atomic.Int64 // reads that returned octets
	BytesIn       atomic.Int64
	Writes        atomic.Int64 // writes of which the kernel took octets
	BytesOut      atomic.Int64 // octets that the kernel took
	Stalls        atomic.Int64 // writes that took less than was offered, or nothing; without those that failed

	// TimeTurns makes transports with loops time their turns, which costs two readings of the clock
	// for each: see TurnTimer. It must not be changed after Start.
	TimeTurns bool
	turns     turnCounts
}

// The values of Backend.PerClient.
const (
	OwnThread  = "thread"
	OwnProcess = "process"
)

// Backend describes a transport.
type Backend struct {
	Name      string // as -backend takes it
	Model     string // one line: what waits where
	Threads   string // "1", "1 per client", …
	Processes string
	// PerClient is what each client has of its own: OwnThread, OwnProcess, or "" for neither.
	PerClient string
	Library   string // module and version, or ""
	Limits    string // what it cannot do, or ""
	Coalesces bool   // it obeys Config.Coalesce; if not, that is CoalesceOff
	// MaxClients is how many clients the model allows at most, whatever the file limit is; 0 means no
	// limit.
	MaxClients int
	// Loops returns how many event loops the transport has if Config.Loops is 0. It is nil if the
	// number cannot be chosen.
	Loops func() int
	// FDsPerClient is how many descriptors one client costs the server process.
	FDsPerClient int
	// Gaps lists the cases of the conformance suite that the transport cannot pass because of its
	// library, with the reason. It is empty for most transports.
	Gaps map[string]string
	// Unavailable returns the reason if the transport cannot run on this machine, because the kernel
	// does not have or allow what it needs; Start fails with the same reason. It is nil for most
	// transports.
	Unavailable func() error
	// Start binds the address and serves in the background.
	Start func(Config) (Server, error)
}

// Runs returns nil if the transport can run on this machine, and otherwise the reason.
func (b Backend) Runs() error {
	if b.Unavailable == nil {
		return nil
	}
	return b.Unavailable()
}

// Server is a running transport.
type Server interface {
	// Addr is the bound address.
	Addr() netip.AddrPort
	// Shutdown stops accepting and returns when every connection has ended and nothing is left
	// behind. The caller has drained the room, so that sessions close by themselves; those still
	// open when ctx ends are cut, and then Shutdown returns ctx's cause. It may be called more than
	// once and from any goroutine.
	Shutdown(ctx context.Context) error
	// Done is closed when the transport has ended, by Shutdown or by itself.
	Done() <-chan struct{}
	// Err is why it ended by itself; nil after Shutdown. It is valid after Done.
	Err() error
}
