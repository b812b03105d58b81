// Package gate decides who may log in: it has the users of a file, hashes passwords on threads of
// low priority, limits wrong passwords, and keeps the bans.
//
// It does not keep, show or log passwords, and does not log logins: the room reports those to
// server/accesslog. It knows no sessions: when users or bans change it says who has to leave, and
// the server kicks them.
//
// Any goroutine may call the methods of a Gate. Authenticate and Banned never block.
package gate

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"chatbench/core"
	"chatbench/core/units"
	"chatbench/core/users"
	"chatbench/core/wire"
)

// The texts with which a login is denied. An unknown name and a wrong password have the same
// text, which must not reveal whether the name exists.
var (
	errWrong     = errors.New(wire.WrongPassword)
	errThrottled = errors.New("too many wrong passwords, wait a minute")
	errBanned    = errors.New(wire.Banned)
	errChanged   = errors.New("users or bans were changed just now: log in again")
)

// Config configures a Gate.
type Config struct {
	Users    string     // path of the users file; "": any name may log in with any password
	Bans     string     // path of the bans file, which is made with the first ban; "": bans end with the process
	Throttle units.Rate // wrong passwords for an address and name, perAddress times as many for an address; 0 is off
	Log      *slog.Logger
}

// Gate is the core's Authenticator.
type Gate struct {
	cfg       Config
	users     atomic.Pointer[users.Users]                      // nil: any name may log in
	verify    func(u *users.Users, name, password string) bool // hashes a password; tests replace it
	now       func() time.Time                                 // time.Now, for the throttle; tests replace it
	pool      *pool                                            // nil: any name may log in
	throttle  *throttle                                        // wrong passwords by address and name; nil: off
	addresses *throttle                                        // wrong passwords by address; nil: off
	bans      bans
	counts    counts

	changing sync.Mutex // one change of users or bans at a time
	// entering is held for reading while a login is answered, and for writing while users or
	// bans are replaced. So a user who has to leave after a change is either not let in, or in
	// the room when the change is made.
	entering sync.RWMutex
	changes  atomic.Uint64 // how often users or bans were replaced
}

var _ core.Authenticator = (*Gate)(nil)

// counts counts logins by their result.
type counts struct {
	right, wrong, throttled, banned atomic.Int64
	busy                            atomic.Int64 // refused because the queue was full, or the server was going down
	crowded                         atomic.Int64 // refused because too many from that address waited
	abandoned                       atomic.Int64 // not hashed because the client had gone
}

// perAddress is how many times the wrong passwords for one name an address may try in all. Without
// this limit the one for each name could be evaded with new names.
const perAddress = 10

// New makes a Gate. The error for a bad file names the line. Close ends its threads.
func New(cfg Config) (*Gate, error) {
	g := &Gate{cfg: cfg, verify: (*users.Users).Verify, now: time.Now}
	g.bans.path = cfg.Bans
	if err := g.bans.load(); err != nil {
		return nil, err
	}
	if cfg.Users == "" {
		return g, nil
	}
	known, err := users.Load(cfg.Users)
	if err != nil {
		return nil, err
	}
	g.users.Store(known)
	if cfg.Throttle > 0 {
		g.throttle = newThrottle(cfg.Throttle, throttleTable)
		g.addresses = newThrottle(perAddress*cfg.Throttle, throttleTable)
	}
	workers := hashingThreads()
	g.pool = newPool(workers, workers*queuePerWorker)
	return g, nil
}

// Authenticate answers at once if it can decide without the password, otherwise when the
// password has been hashed.
func (g *Gate) Authenticate(l *core.Login) {
	who := newAttempt(l.Peer.Addr(), l.Folded)
	switch {
	case g.bans.forbids(l):
		g.counts.banned.Add(1)
		l.Answer(errBanned)
		return
	case g.pool == nil:
		g.answer(l, who, nil, nil)
		return
	case !g.mayTry(who, g.now()):
		g.counts.throttled.Add(1)
		l.Answer(errThrottled)
		return
	}
	var hashed *users.Users // the users for which the password was checked
	j := job{
		from: who.from,
		gone: l.Abandoned,
		work: func() error {
			hashed = g.users.Load()
			if !g.verify(hashed, l.Name, l.Password) {
				return errWrong
			}
			return nil
		},
		done: func(err error) { g.answer(l, who, hashed, err) },
	}
	if err := g.pool.submit(j); err != nil {
		j.done(err)
	}
}

// mayTry takes a token for a try, unless there were too many wrong passwords.
func (g *Gate) mayTry(who attempt, now time.Time) bool {
	if g.throttle == nil {
		return true
	}
	if who.limited() && !g.addresses.has(who.address(), now) {
		return false
	}
	return g.throttle.take(who, now)
}

// answer answers a login that was not throttled. Before it lets a user in it checks users and bans
// again, which may have changed while the password was hashed.
func (g *Gate) answer(l *core.Login, who attempt, hashed *users.Users, err error) {
	g.entering.RLock()
	defer g.entering.RUnlock()
	if err == nil {
		if known := g.users.Load(); known != hashed && !known.SamePassword(hashed, l.Folded) {
			err = errWrong
		}
		if g.bans.forbids(l) {
			err = errBanned
		}
	}
	g.account(who, err, g.now())
	l.Answer(err)
}

// account counts a login that was not throttled.
func (g *Gate) account(who attempt, err error, now time.Time) {
	switch err {
	case nil:
		g.counts.right.Add(1)
	case errWrong:
		g.counts.wrong.Add(1)
		if g.addresses != nil && who.limited() {
			g.addresses.charge(who.address(), now)
		}
		return // the token stays taken
	case errBanned:
		g.counts.banned.Add(1)
	case errCrowded:
		g.counts.crowded.Add(1)
	case errAbandoned:
		g.counts.abandoned.Add(1)
	default:
		g.counts.busy.Add(1)
	}
	if g.throttle != nil {
		g.throttle.giveBack(who)
	}
}

// Known says whether there is a user with this name, folded as core.CheckName does. It is always
// true if any name may log in.
func (g *Gate) Known(folded string) bool {
	known := g.users.Load()
	return known == nil || known.Known(folded)
}

// Expulsion says who has to leave the room, and what they are told: the arguments of Room.Kick.
type Expulsion struct {
	Who func(core.User) bool
	Why string
}

// Reload reads the users file and the bans file again, if they are configured. If one of them is
// bad, or the bans file is gone though there are bans, users and bans stay as they were.
// Otherwise Reload returns who has to leave the room: users who were removed, whose password was
// changed, or who are banned now.
//
// If a change of the bans was NotSaved, it is saved first and overwrites the file. If that fails
// again the bans stay as they were and the error says so; the users are still read.
func (g *Gate) Reload() ([]Expulsion, error) {
	g.changing.Lock()
	defer g.changing.Unlock()
	before := g.users.Load()
	after, banned := before, g.bans.now.Load()
	err, unsaved := error(nil), g.bans.saveUnsaved()
	if unsaved == nil {
		banned, err = g.bans.read()
	}
	if err == nil && g.cfg.Users != "" {
		after, err = users.Load(g.cfg.Users)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("gate: users and bans stay as they were: %w", err), unsaved)
	}
	g.exchange(func() { g.users.Store(after); g.bans.now.Store(banned) })
	out := []Expulsion{{g.bans.expels, wire.Banned}}
	read := []any{"bans", banned.count(time.Now())}
	if after != nil {
		read = append(read, "users", after.Len())
		out = append(out,
			Expulsion{func(u core.User) bool { return !after.Known(u.Folded) }, wire.Removed},
			Expulsion{func(u core.User) bool { return after.Known(u.Folded) && !after.SamePassword(before, u.Folded) }, "your password was changed: log in again"})
	}
	g.cfg.Log.Info("loaded again", read...)
	return out, unsaved
}

// exchange replaces users or bans while no login is answered.
func (g *Gate) exchange(change func()) {
	g.entering.Lock()
	defer g.entering.Unlock()
	g.changes.Add(1)
	change()
}

// Entering is called while the gate answers a login that then has to wait for something else. The
// function that it returns gives the final answer: it is called once, after the gate's own answer
// has returned. If users or bans were changed meanwhile it refuses a login that would be let in.
// in says whether the client was let in.
func (g *Gate) Entering() func(l *core.Login, err error) (in bool) {
	before := g.changes.Load()
	return func(l *core.Login, err error) (in bool) {
		g.entering.RLock()
		defer g.entering.RUnlock()
		if err == nil && g.changes.Load() != before {
			err = errChanged
		}
		l.Answer(err)
		return err == nil
	}
}

// Stats counts the logins since the gate was made, and says what it has now.
type Stats struct {
	Right     int64 `json:"right"`
	Wrong     int64 `json:"wrong"`
	Throttled int64 `json:"throttled"`
	Banned    int64 `json:"banned"`  // by name, or by address while the login was under way
	Busy      int64 `json:"busy"`    // refused because the queue was full, or the server was going down
	Crowded   int64 `json:"crowded"` // refused because too many from that address waited
	Abandoned int64 `json:"abandoned"`
	Queued    int   `json:"-"` // logins that wait for a hashing thread
	Hashers   int   `json:"-"` // hashing threads
	Users     int   `json:"-"` // in the users file
	Bans      int   `json:"-"`
}

// Stats returns the current Stats.
func (g *Gate) Stats() Stats {
	c := &g.counts
	s := Stats{
		Right: c.right.Load(), Wrong: c.wrong.Load(), Throttled: c.throttled.Load(), Banned: c.banned.Load(),
		Busy: c.busy.Load(), Crowded: c.crowded.Load(), Abandoned: c.abandoned.Load(),
		Bans: g.bans.now.Load().count(time.Now()),
	}
	if known := g.users.Load(); known != nil {
		s.Queued, s.Hashers, s.Users = g.pool.queued(), g.pool.workers, known.Len()
	}
	return s
}

// Banned says whether an address is banned. It is for core.Config.
func (g *Gate) Banned(addr netip.Addr) bool { return g.bans.now.Load().address(addr, time.Now()) }

// Close refuses the logins that wait, and ends the threads. It may be called more than once.
func (g *Gate) Close() {
	if g.pool != nil {
		g.pool.close()
	}
}
