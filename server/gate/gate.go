// Package gate decides who may come in: it holds the users of a file, hashes
// passwords on threads of low priority, limits wrong ones, and keeps the bans.
//
// It refuses to keep, show or log a password, and to log at all who tries to come
// in: the room tells server/accesslog. It knows no session: who has to go when the
// users or the bans change is a question that it answers, and the server kicks.
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

// What a login is denied with. One text for an unknown name and a wrong
// password: it must not tell which names there are.
var (
	errWrong     = errors.New(wire.WrongPassword)
	errThrottled = errors.New("too many wrong passwords, wait a minute")
	errBanned    = errors.New(wire.Banned)
	errChanged   = errors.New("users or bans were changed just now: log in again")
)

// Config is what a gate is made of.
type Config struct {
	Users    string     // path of the users file; "": any name comes in with any password
	Bans     string     // path of the bans file, made when there is a ban; "": bans end with the process
	Throttle units.Rate // wrong passwords by address and name, perAddress times as many by address; 0 is off
	Log      *slog.Logger
}

// Gate is the core's Authenticator.
type Gate struct {
	cfg       Config
	users     atomic.Pointer[users.Users]                      // nil: any name comes in
	verify    func(u *users.Users, name, password string) bool // hashes; tests put another in its place
	pool      *pool                                            // nil: any name comes in
	throttle  *throttle                                        // wrong passwords by address and name; nil: off
	addresses *throttle                                        // by address alone; nil: off
	bans      bans
	counts    counts

	changing sync.Mutex // one change of users or bans at a time
	// entering is held for reading while somebody is let in, and for writing while
	// what that is decided by is exchanged. So whoever has to go after a change is
	// either not let in, or in the room when the change is made.
	entering sync.RWMutex
	changes  atomic.Uint64 // how often that was exchanged
}

var _ core.Authenticator = (*Gate)(nil)

// counts is how logins were decided.
type counts struct {
	right, wrong, throttled, banned atomic.Int64
	busy                            atomic.Int64 // refused as the queue was full, or the server was going down
	crowded                         atomic.Int64 // refused as too many from that address waited
	abandoned                       atomic.Int64 // not hashed, as the client had gone
}

// perAddress is how many times as many wrong passwords an address may try as it
// may for one name. Without that limit, new names pass the one for each name.
const perAddress = 10

// New makes a gate. The error of a bad file names its line. Close ends its threads.
func New(cfg Config) (*Gate, error) {
	g := &Gate{cfg: cfg, verify: (*users.Users).Verify}
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
	workers := hashers()
	g.pool = newPool(workers, workers*queuePerWorker)
	return g, nil
}

// Authenticate answers at once if it decides without looking at the password,
// otherwise when the password has been hashed.
func (g *Gate) Authenticate(l *core.Login) {
	who := newAttempt(l.Peer.Addr(), l.Folded)
	switch {
	case g.bans.holds(l):
		g.counts.banned.Add(1)
		l.Answer(errBanned)
		return
	case g.pool == nil:
		g.answer(l, who, nil, nil)
		return
	case !g.mayTry(who, time.Now()):
		g.counts.throttled.Add(1)
		l.Answer(errThrottled)
		return
	}
	var hashed *users.Users // what the password was looked up in
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

// mayTry takes a token for a try, if there have not been too many wrong ones.
func (g *Gate) mayTry(who attempt, now time.Time) bool {
	if g.throttle == nil {
		return true
	}
	if who.limited() && !g.addresses.has(who.address(), now) {
		return false
	}
	return g.throttle.take(who, now)
}

// answer answers a login that was not throttled. Whoever would be let in is looked
// at again: the users and the bans may have changed while the password was hashed.
func (g *Gate) answer(l *core.Login, who attempt, hashed *users.Users, err error) {
	g.entering.RLock()
	defer g.entering.RUnlock()
	if err == nil {
		if known := g.users.Load(); known != hashed && !known.SamePassword(hashed, l.Folded) {
			err = errWrong
		}
		if g.bans.holds(l) {
			err = errBanned
		}
	}
	g.account(who, err, time.Now())
	l.Answer(err)
}

// account keeps the books on one login that was not throttled.
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

// Known says whether there is a user of that name, folded as core.CheckName folds
// it. Where any name comes in, each is one.
func (g *Gate) Known(folded string) bool {
	known := g.users.Load()
	return known == nil || known.Known(folded)
}

// Expulsion is who has to leave the room, and what they are told: for Room.Kick.
type Expulsion struct {
	Who func(core.User) bool
	Why string
}

// Reload reads the users file and the bans file again, those there are. If one of them
// is bad, or the bans file is gone though there are bans, both stay as they were.
// Otherwise it says who has to leave the room: those who were removed, whose password
// was changed, or who are banned now.
//
// A change of the bans that was NotSaved is saved first, over what the file has now. As
// long as that fails the bans stay as they were; the error says so, and the users are
// read all the same.
func (g *Gate) Reload() ([]Expulsion, error) {
	g.changing.Lock()
	defer g.changing.Unlock()
	before := g.users.Load()
	after, banned := before, g.bans.now.Load()
	err, unsaved := error(nil), g.bans.saveRest()
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

// exchange changes what is decided by while nobody is let in.
func (g *Gate) exchange(change func()) {
	g.entering.Lock()
	defer g.entering.Unlock()
	g.changes.Add(1)
	change()
}

// Entering is called while the gate answers a login that then has to wait for something
// else. What it returns answers that: once, and not before the gate's own answer has
// returned. Who would be let in though users or bans were changed meanwhile is refused;
// in says whether it is not.
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

// Stats is how logins were decided since the gate was made, and what it holds now.
type Stats struct {
	Right     int64 `json:"right"`
	Wrong     int64 `json:"wrong"`
	Throttled int64 `json:"throttled"`
	Banned    int64 `json:"banned"`  // by name, or by address while the login was under way
	Busy      int64 `json:"busy"`    // refused as the queue was full, or the server was going down
	Crowded   int64 `json:"crowded"` // refused as too many from that address waited
	Abandoned int64 `json:"abandoned"`
	Queued    int   `json:"-"` // logins that wait for a hashing thread
	Hashers   int   `json:"-"` // those threads
	Users     int   `json:"-"` // in the users file
	Bans      int   `json:"-"`
}

// Stats is the counters now.
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

// Banned says whether an address is banned: for core.Config.
func (g *Gate) Banned(addr netip.Addr) bool { return g.bans.now.Load().address(addr, time.Now()) }

// Close answers the logins that wait and ends the threads. It may be called more
// than once.
func (g *Gate) Close() {
	if g.pool != nil {
		g.pool.close()
	}
}
