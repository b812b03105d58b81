// Package core is the chat: a room with its pool of clients, logins, the
// broadcast log, the relay of file frames, and every limit. It is sans-I/O: a
// transport feeds it the bytes of its clients and asks it what to write.
//
// It does not open sockets, start goroutines, read the clock or log. Time
// arrives with Tick, and every end of a connection has a Reason, which is counted.
//
// # The broadcast log
//
// What is said in the room is encoded once and appended once to a log of
// fixed-size chunks. A session has only a cursor into it. So a message costs the
// core the same however many clients there are, output takes no memory for each
// client, and a transport passes all that a client is behind to the kernel in one
// write.
//
// # Who may call what
//
// Room's methods are safe for any goroutine. Of one session, Feed is called by
// one goroutine at a time, and Next, Wrote and WriteFailed by one at a time, which
// may be another; Leave by whoever owns the output. Any goroutine may call Closing, Held,
// State, Tag and Peer.
//
// Any other call may call Wakers before it returns, its own session's and those of
// others: Next too, since it works through input that has waited. So no caller may
// hold a lock that a Waker takes.
package core

import (
	"math"
	"net/netip"
	"time"

	"chatbench/core/wire"
)

// LargestFrame bounds Config.MaxFrame, in octets: a frame whose text has grown
// because it was made safe must fit into one chunk of the log.
const LargestFrame = 64 << 10

// Config configures a room. For zero values the defaults named here are used.
type Config struct {
	MaxClients    int // slots, used from Join to Leave; default 10,000
	MaxPending    int // clients not logged in yet; default a quarter of the slots, at least 64
	MaxPerAddress int // clients from one address, loopback exempt; 0 is no limit
	MaxFrame      int // octets, at most LargestFrame; default wire.MaxFrame
	// Banned, if set, says whether clients from an address are turned away. It is called
	// when a client connects, and must not block.
	Banned func(netip.Addr) bool
	// Observe, if set, is called for each login and each end, in the order in which they
	// happen. It is called under the room's lock, so it must neither block nor call
	// the room. Messages cause no events.
	Observe func(Event)
	// Preface, if set, returns the reader of what the connections from an address begin
	// with before their first frame; nil: they begin with a frame.
	Preface          func(peer netip.AddrPort) Preface
	PrefaceTimeout   time.Duration // from Join until a required preface has come; default 5 s. LoginTimeout begins after it
	LoginTimeout     time.Duration // from Join to granted, absolute; default 10 s. Meanwhile little input may wait: see Session.Feed
	LagLimit         int           // octets that may wait for a client for longer than LagTime; default 256 KiB
	LagTime          time.Duration // how long more may wait, while the client takes less than it is offered; default 2 s
	LagMax           int           // octets of the log that are kept for one client, slow or not; default 64 times LagLimit, at least 4 MiB
	Farewell         time.Duration // how long the last output of a closing session may take, and the waiting input of a client that has left; default 10 s
	Flood            Flood         // how much a client may say; zero: no limit
	Announce         bool          // announce joins and leaves to the room
	History          int           // lines said before that a new client is sent, in at most 32 KiB; 0: none
	Before           []Line        // what was said before the room was made, for History
	AdvertiseClaimed bool          // a DnAck keeps the address its sender claims
	Cluster          Cluster       // connects the room with its other servers; nil: there are none
	Node             string        // with a Cluster: the ID of this room among them, never used before
	Authenticator    Authenticator // who may log in; required
	Now              time.Time     // the clock's reading now; later ones come with Tick
}

func (cfg Config) withDefaults() Config {
	if cfg.Authenticator == nil {
		panic("core: Config needs an Authenticator")
	}
	if cfg.MaxFrame > LargestFrame {
		panic("core: Config.MaxFrame over LargestFrame")
	}
	if cfg.MaxClients <= 0 {
		cfg.MaxClients = 10_000
	}
	if cfg.MaxPending <= 0 {
		cfg.MaxPending = max(cfg.MaxClients/4, 64)
	}
	if cfg.MaxFrame <= 0 {
		cfg.MaxFrame = wire.MaxFrame
	}
	if cfg.PrefaceTimeout <= 0 {
		cfg.PrefaceTimeout = defaultPrefaceTimeout
	}
	if cfg.LoginTimeout <= 0 {
		cfg.LoginTimeout = 10 * time.Second
	}
	if cfg.LagLimit <= 0 {
		cfg.LagLimit = defaultLagLimit
	}
	if cfg.LagTime <= 0 {
		cfg.LagTime = defaultLagTime
	}
	if cfg.LagMax <= 0 {
		cfg.LagMax = max(leastLagMax, lagMaxPerLimit*min(cfg.LagLimit, math.MaxInt/lagMaxPerLimit))
	}
	if cfg.Farewell <= 0 {
		cfg.Farewell = defaultFarewell
	}
	if cfg.Flood.Rate > 0 {
		// Time comes with Ticks, ten a second: a smaller burst would lower the rate.
		cfg.Flood.Burst = max(cfg.Flood.Burst, int(min(math.Ceil(cfg.Flood.Rate/10), math.MaxInt32)), 1)
	}
	cfg.checkCluster()
	return cfg
}

// loginInputLimit is how many octets of a client may wait while its login is
// decided. A client that has not logged in gets less memory than others: with 16
// KiB, 2,500 pending clients take 40 MiB. That has room for a few frames of any size.
func (cfg Config) loginInputLimit() int { return max(16<<10, 4*cfg.MaxFrame) }

// Authenticator decides who may log in.
type Authenticator interface {
	// Authenticate decides on one login and calls its Answer exactly once,
	// before it returns or later, from any goroutine. It MUST NOT block: an
	// implementation that needs time, to hash a password, answers later.
	Authenticate(l *Login)
}

// OpenDoor is the Authenticator that lets everybody in at once.
type OpenDoor struct{}

// Authenticate grants.
func (OpenDoor) Authenticate(l *Login) { l.Answer(nil) }

// Waker is a transport's side of the room, one for each of its event loops or
// one for all of it. Any goroutine may call its methods, also one that is inside
// Feed, Next or Wrote of any session. They MUST NOT block and MUST NOT call the
// core: they only note that there is work. They are called after the room's
// lock is released, and so may come late: when the session has left, when the
// Waker has no sessions any more, and when the transport has ended.
type Waker interface {
	WakeRoom()       // the log has grown: every granted session of this waker has output
	Wake(s *Session) // this session has output of its own, must close, or may go on after it was Held: see Next
}

// CheckName decides whether name may log in. canonical is the name as it is
// shown, folded the name as it is compared. The error's text is for the user.
func CheckName(name string) (canonical, folded string, err error) {
	return checkName([]byte(name))
}
