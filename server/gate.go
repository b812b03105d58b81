package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"chatbench/core"
	"chatbench/core/users"
)

// What a login is denied with. One text for an unknown name and a wrong
// password: it must not tell which names there are.
var (
	errWrong     = errors.New("wrong name or password")
	errThrottled = errors.New("too many wrong passwords, wait a minute")
)

// gate is the Authenticator for a users file. It never keeps, shows or logs a
// password, nor a name that was not let in: people type the one for the other.
type gate struct {
	path      string
	users     atomic.Pointer[users.Users]
	verify    func(name, password string) bool // hashes
	pool      *pool
	throttle  *throttle // wrong passwords by address and name; nil: off
	addresses *throttle // by address alone; nil: off
	log       *slog.Logger
	wrong     *limitedLog
	counts    loginCounts
}

var _ core.Authenticator = (*gate)(nil)

// loginCounts is how logins were decided.
type loginCounts struct {
	right, wrong, throttled atomic.Int64
	busy                    atomic.Int64 // refused as the queue was full, or the server was going down
	crowded                 atomic.Int64 // refused as too many from that address waited
	abandoned               atomic.Int64 // not hashed, as the client had gone
}

// perAddress is how many times as many wrong passwords an address may try as it
// may for one name. Without that limit, new names pass the one for each name.
const perAddress = 10

func newGate(o Options) (*gate, error) {
	known, err := users.Load(o.Users)
	if err != nil {
		return nil, err
	}
	g := &gate{path: o.Users, log: o.Log, wrong: newLimitedLog(o.Log, "wrong name or password")}
	g.users.Store(known)
	g.verify = func(name, password string) bool { return g.users.Load().Verify(name, password) }
	if o.LoginThrottle > 0 {
		g.throttle = newThrottle(o.LoginThrottle, throttleTable)
		g.addresses = newThrottle(perAddress*o.LoginThrottle, throttleTable)
	}
	workers := hashers()
	g.pool = newPool(workers, workers*queuePerWorker)
	return g, nil
}

// Authenticate answers at once if it denies without looking at the password,
// otherwise when the password has been hashed.
func (g *gate) Authenticate(l *core.Login) {
	who := newAttempt(l.Peer.Addr(), l.Folded)
	if !g.mayTry(who, time.Now()) {
		g.counts.throttled.Add(1)
		l.Answer(errThrottled)
		return
	}
	j := job{
		from: who.from,
		gone: l.Abandoned,
		work: func() error {
			if !g.verify(l.Name, l.Password) {
				return errWrong
			}
			return nil
		},
		done: func(err error) {
			g.decide(who, l.Peer.Addr(), err, time.Now())
			l.Answer(err)
		},
	}
	if err := g.pool.submit(j); err != nil {
		j.done(err)
	}
}

// mayTry takes a token for a try, if there have not been too many wrong ones.
func (g *gate) mayTry(who attempt, now time.Time) bool {
	if g.throttle == nil {
		return true
	}
	if who.limited() && !g.addresses.has(who.address(), now) {
		return false
	}
	return g.throttle.take(who, now)
}

// decide keeps the books on one login that was not throttled.
func (g *gate) decide(who attempt, peer netip.Addr, err error, now time.Time) {
	switch err {
	case nil:
		g.counts.right.Add(1)
	case errWrong:
		g.counts.wrong.Add(1)
		g.wrong.info(now, "peer", peer)
		if g.addresses != nil && who.limited() {
			g.addresses.charge(who.address(), now)
		}
		return // the token stays taken
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

// reload reads the users file again. A bad one changes nothing.
func (g *gate) reload() error {
	known, err := users.Load(g.path)
	if err != nil {
		return fmt.Errorf("server: the users stay as they were: %w", err)
	}
	g.users.Store(known)
	g.log.Info("users file loaded again", "file", g.path, "users", known.Len())
	return nil
}

// tick carries the time in.
func (g *gate) tick(now time.Time) { g.wrong.tick(now) }

func (g *gate) close() {
	g.pool.close()
	g.wrong.flush()
}
