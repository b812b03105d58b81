// Package backends is the contract between the chat core and the transports
// that drive it: what a transport is given, and what it MUST keep. Each
// transport is a package below this one and stands for one concurrency model;
// the table of all of them is backends/all, the suite that holds them to the
// contract is backends/backendtest.
//
// A transport MUST:
//
//  1. bind Config.Listen before Start returns, and take connections until
//     Shutdown is called. A Start that fails leaves nothing behind. Its error is one
//     line and wraps what the kernel said (EADDRINUSE, EADDRNOTAVAIL, EACCES), so
//     that the server can say what to do about it;
//  2. call Room.Join once for each accepted connection, feed the session the
//     bytes of its client in order, by one goroutine at a time, and never feed
//     it again after Leave;
//  3. write exactly what Session.Next gives, in that order, report every octet
//     the kernel took with Session.Wrote, and lose or repeat none: what its
//     library cannot take yet stays in the core. When the kernel, or the
//     library, takes no more for now, it calls Wrote with fewer octets than were
//     given, 0 among them: only so does the core learn that a client is slow. It
//     does so at no other time: whoever writes in pieces reports them together.
//     A write that failed is reported with Session.WriteFailed, and then the client
//     is read to its end: what it sent before is still there, and counts;
//  4. after Join, after each Feed, and whenever it is woken, ask Session.Closing
//     first and Next after that: a session that was closing before Next gave nothing
//     has nothing more to say. Its connection then ends this way: shutdown(SHUT_WR),
//     read and throw away to EOF or for Config.Linger, which counts from that
//     FIN, and close. (A client that was turned away, see Reason.TurnedAway, has no
//     slot, and gets 250 ms at most.) How long a client may take over what it is owed
//     before the FIN, the core says: when that time is over it wakes the session, and
//     Next gives nothing;
//  5. call Session.Leave once, when the connection is gone: with ReasonEOF after
//     the client's FIN, ReasonReset after an error, ReasonCut when Shutdown's
//     context ended first. (For a session that was closing any reason will do:
//     the core keeps the first.) All that the client sent has been fed before,
//     also if it was a write that showed the end. The kernel tells of a reset
//     once: after a write that failed with ECONNRESET the reason is ReasonReset,
//     though reads give 0 then; after one that failed with EPIPE a FIN came
//     first. A client that sends FIN has left: what waits for it need not be
//     written, except the last words of a session that is closing already, as
//     far as the kernel takes them;
//  6. never block on a slow client while others wait, and hold no more than one
//     write of output per connection outside the core;
//  7. survive running out of descriptors: serve those who are in, take new
//     ones again when descriptors are free, and not spin meanwhile: no more than a
//     few dozen tries a second. If each client has a thread or a process of its own
//     (Backend.PerClient), the same holds for those, and whoever cannot have one is
//     turned away, counted in NoDescriptors, and logged: but many of them in one line.
//     One that has joined is told so, by Session.TurnAway;
//  8. set on every connection TCP_NODELAY, SO_SNDBUF to Config.SendBuffer unless that
//     is 0, and SO_KEEPALIVE, TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_USER_TIMEOUT so that
//     a peer that falls silent is given up within DeadAfter. The listening socket has
//     Config.Backlog, and hands its options down to the connections. (Package net
//     asks for a backlog of its own, which a second listen(2) changes.);
//  9. leave no goroutine, thread, process or descriptor behind when Shutdown
//     has returned, and let the same port be bound again at once;
//  10. count what it does in Config.Counters, and how long its turns take, if it has a
//     loop and can tell, with a TurnTimer of it;
//  11. feed at most FeedStep octets at once, however much it reads, and write to
//     its clients before it feeds on when the room has said more than FlushAfter
//     octets (Room.Said) since it last began to write to them: a frame of two
//     octets may become 68 in the room. This paces readers by writers. Without it
//     the room runs ahead, every client is offered more than its kernel takes at once,
//     and one that is behind by more than core.Config.LagLimit, and never takes all it
//     is offered, is what the core calls slow, however fast it reads. Where several
//     loops serve one room, a loop that feeds waits for those that have not begun to
//     write yet, but for none that has nothing to write, and never while they wait for
//     it. Nobody waits for a client that takes no more;
//  12. read no more of a client whose session is Held, if its library can stop
//     reading. It asks Held after Feed and, when the session was woken, after
//     Next. Meanwhile it looks once a second whether the client has left, without
//     reading: TCP_INFO and poll(2) tell of a FIN behind what is unread, and of a
//     reset. One that has sent FIN is let go of after
//     Room.Farewell, with ReasonEOF, and what it sent is not read to the end then;
//     it may be read on until then. One that was reset is let go of at once. A
//     transport that cannot stop reading says so in Limits, and feeds on:
//     the core ends a client that then sends too much;
//  13. let wakes come late, after Leave of the session and after Shutdown: they
//     do nothing then;
//  14. if it Coalesces, let what the room has said wait for as long as Config.Coalesce
//     says, from when it learned of the first of it. Nothing else waits: neither what is
//     for one session alone, nor the end of one, and nobody who is paced by rule 11.
package backends

import (
	"context"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"chatbench/core"
)

// FeedStep is what a transport feeds at once at most, and FlushAfter what it lets
// the room say before it writes to its clients, in octets. One step becomes 140 KiB
// in the room at worst, if it is all empty messages from a long name.
const (
	FeedStep   = 4 << 10
	FlushAfter = 256 << 10
)

// DeadAfter is how long a peer that has fallen silent keeps its connection at most:
// TCP_USER_TIMEOUT or TCP_KEEPIDLE, whichever is longer, then one TCP_KEEPINTVL
// until the last probe, and TCP_USER_TIMEOUT again, since the kernel counts anew if
// something was sent just before. 45 s, 30 s and 10 s, those of internal/tcp, keep it.
const DeadAfter = 105 * time.Second

// Config is what a transport is given: the same for all of them.
type Config struct {
	Listen     string        // HOST:PORT; 0.0.0.0 is IPv4 alone, [::] and no host are both; port 0 picks a free one
	Room       *core.Room    // where connections join
	Counters   *Counters     // what the transport did; never nil
	Log        *slog.Logger  // rare events only, never one line a message; never nil
	MaxClients int           // what Room was given: for sizing tables
	SendBuffer int           // SO_SNDBUF in octets; 0 leaves it to the kernel
	Coalesce   Coalesce      // how long output may wait, in a transport that Coalesces
	Backlog    int           // of listen(2)
	Linger     time.Duration // how long a closing connection may take to say FIN after ours
	MaxFrame   int           // what Room was given, for those who check sizes themselves; 0: the room alone does
	SpawnAhead int           // processes that wait for clients, in a transport of one for each client
	Loops      int           // event loops, in a transport that has Backend.Loops; 0: as many as that says
}

// Counters is what a transport did since it started. Safe for any goroutine.
type Counters struct {
	Accepts       atomic.Int64 // connections that were given to Room.Join
	AcceptErrors  atomic.Int64 // accept(2) failed, EMFILE included
	NoDescriptors atomic.Int64 // connections turned away for lack of descriptors, threads or processes
	Reads         atomic.Int64 // reads that brought bytes
	BytesIn       atomic.Int64
	Writes        atomic.Int64 // writes of which the kernel took bytes
	BytesOut      atomic.Int64 // that the kernel took
	Stalls        atomic.Int64 // writes that took less than was offered, nothing included; not those that failed

	// TimeTurns has transports with loops time their turns, at two readings of the
	// clock for each: see TurnTimer. It is set before Start, and not after.
	TimeTurns bool
	turns     turnCounts
}

// What a client may have of its own in a model, for Backend.PerClient.
const (
	OwnThread  = "thread"
	OwnProcess = "process"
)

// Backend is one transport as the table lists it.
type Backend struct {
	Name      string // as -backend takes it
	Model     string // one line: who waits where
	Threads   string // "1", "1 per client", …
	Processes string
	// PerClient is what each client has of its own: OwnThread, OwnProcess, "" for neither.
	PerClient string
	Library   string // module and version, "" for none
	Limits    string // what it cannot do, "" for nothing
	Coalesces bool   // obeys Config.Coalesce; others are not given it
	// MaxClients is the most clients the model can carry whatever the file
	// limit is; 0 for no such bound.
	MaxClients int
	// Loops is how many event loops the transport has where Config.Loops is 0. Nil: their
	// number cannot be chosen.
	Loops func() int
	// FDsPerClient is how many descriptors one client costs the server process.
	FDsPerClient int
	// Gaps names the cases of the conformance suite that the transport's
	// library cannot pass, each with the reason. Empty for most.
	Gaps map[string]string
	// Unavailable says why the transport cannot run on this machine, or gives nil: for
	// one that needs what not every kernel has or allows. Nil for most. Start fails with
	// the same reason.
	Unavailable func() error
	// Start binds and serves in the background.
	Start func(Config) (Server, error)
}

// Runs is nil if the transport can run on this machine, or says why it cannot.
func (b Backend) Runs() error {
	if b.Unavailable == nil {
		return nil
	}
	return b.Unavailable()
}

// Server is a transport at work.
type Server interface {
	// Addr is the bound address.
	Addr() netip.AddrPort
	// Shutdown stops accepting and returns when every connection has ended
	// and nothing is left behind. The caller has drained the room, so
	// sessions close by themselves; those still open when ctx ends are cut.
	// It may be called more than once and from any goroutine. It returns
	// ctx's error if it had to cut.
	Shutdown(ctx context.Context) error
	// Done is closed when the transport has ended, by Shutdown or by itself.
	Done() <-chan struct{}
	// Err is why it ended by itself; nil after Shutdown. Valid after Done.
	Err() error
}
