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
	path     string
	users    atomic.Pointer[users.Users]
	verify   func(name, password string) bool // hashes
	pool     *pool
	throttle *throttle // nil: off
	log      *slog.Logger
	counts   loginCounts
}

var _ core.Authenticator = (*gate)(nil)

// loginCounts is how logins were decided.
type loginCounts struct {
	right, wrong, throttled, busy atomic.Int64
}

func newGate(o Options) (*gate, error) {
	known, err := users.Load(o.Users)
	if err != nil {
		return nil, err
	}
	g := &gate{path: o.Users, log: o.Log}
	g.users.Store(known)
	g.verify = func(name, password string) bool { return g.users.Load().Verify(name, password) }
	if o.LoginThrottle > 0 {
		g.throttle = newThrottle(o.LoginThrottle, throttleTable)
	}
	workers := hashers()
	g.pool = newPool(workers, workers*queuePerWorker)
	return g, nil
}

// Authenticate answers at once if it denies without looking at the password,
// otherwise when the password has been hashed.
func (g *gate) Authenticate(l *core.Login) {
	who := newAttempt(l.Peer.Addr(), l.Folded)
	if g.throttle != nil && !g.throttle.take(who, time.Now()) {
		g.counts.throttled.Add(1)
		l.Answer(errThrottled)
		return
	}
	work := func() error {
		if !g.verify(l.Name, l.Password) {
			return errWrong
		}
		return nil
	}
	err := g.pool.submit(job{work, func(err error) { g.decide(who, l.Peer, err); l.Answer(err) }})
	if err != nil {
		g.decide(who, l.Peer, err)
		l.Answer(err)
	}
}

// decide keeps the books on one login that was not throttled.
func (g *gate) decide(who attempt, peer netip.AddrPort, err error) {
	switch err {
	case nil:
		g.counts.right.Add(1)
	case errWrong:
		g.counts.wrong.Add(1)
		g.log.Info("wrong name or password", "peer", peer.Addr())
		return // the token stays taken
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

func (g *gate) close() { g.pool.close() }
