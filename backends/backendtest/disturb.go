package backendtest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"chatbench/core"
	"chatbench/core/wire"
)

// worstEcho is how long a client that talks may wait for its own message while others
// disturb it. It is at least a hundred times the usual time.
const worstEcho = 20 * time.Second

// talkDuring has three clients talk while disturb runs on a goroutine of its own. It
// fails if one of them waits too long for its own message.
func (r *rig) talkDuring(disturb func(stop <-chan struct{}) error) {
	r.Helper()
	const least = 300 * time.Millisecond
	talkers := r.logins("t", 3)
	began := time.Now()
	stop, over := make(chan struct{}), make(chan error, 1)
	go func() { over <- disturb(stop) }()
	longest := make([]time.Duration, len(talkers))
	talkAll(r, talkers, func(c *client) (err error) {
		for err == nil && time.Since(began) < least {
			var took time.Duration
			took, err = c.echoes(10)
			longest[c.name[1]-'0'] = max(longest[c.name[1]-'0'], took)
		}
		return err
	})
	close(stop)
	if err := <-over; err != nil {
		r.Errorf("the disturbing client: %v; %s", err, endCounts(r.room.Snapshot()))
	}
	r.Logf("a client waited %v at worst for its own message", slices.Max(longest))
	for i, took := range longest {
		if took > worstEcho {
			r.Errorf("%s waited %v for its own message", talkers[i].name, took)
		}
	}
}

// repeat calls a function again and again, with a pause after each call, until it is
// stopped.
func repeat(stop <-chan struct{}, pause time.Duration, call func(i int) error) error {
	for i := 0; ; i++ {
		if err := call(i); err != nil {
			return err
		}
		select {
		case <-stop:
			return nil
		case <-time.After(pause):
		}
	}
}

// steadyTalker: one client says 64 KiB a second, in large messages, while others talk.
func steadyTalker(h *harness) {
	r := h.open()
	talker := r.login("talker")
	go talker.drainAll()
	out := wire.AppendChat(nil, strings.Repeat("x", 3200))
	r.talkDuring(func(stop <-chan struct{}) error {
		return repeat(stop, 50*time.Millisecond, func(int) error { return talker.trySend(out) })
	})
}

// costlyNames: one client sends frames to names that nobody has and that take long to
// fold, while others talk.
func costlyNames(h *harness) {
	r := h.open()
	sender := r.login("sender")
	go sender.drainAll()
	names := bytes.Repeat(wire.AppendFile(nil, wire.LsReq, strings.Repeat("\u03b9\u0308\u0301", 32), nil), 20)
	r.talkDuring(func(stop <-chan struct{}) error {
		return repeat(stop, time.Millisecond, func(int) error { return sender.trySend(names) })
	})
}

// abandonedLogins: clients log in and break their connections off before the answer.
// They hold no slot: others can log in, and the room marks each login as abandoned.
func abandonedLogins(h *harness) {
	const rounds, most = 60, 8
	var mu sync.Mutex
	var waiting []*core.Login
	r := h.open(func(s *settings) {
		s.room.MaxPending = most
		s.room.Authenticator = authFunc(func(l *core.Login) {
			if !strings.HasPrefix(l.Name, "gone") {
				l.Answer(nil)
				return
			}
			mu.Lock()
			waiting = append(waiting, l)
			mu.Unlock()
		})
	})
	alice := r.login("alice")
	for i := range rounds {
		c := r.dial()
		c.send(wire.AppendCred(nil, fmt.Sprint("gone", i), "x"))
		r.eventually(func() bool { mu.Lock(); defer mu.Unlock(); return len(waiting) == i+1 }, "login %d is asked about", i)
		c.reset()
		r.eventually(func() bool { mu.Lock(); defer mu.Unlock(); return waiting[i].Abandoned() }, "login %d is abandoned", i)
	}
	r.waitClients(1)
	bob := r.login("bob")
	for _, l := range waiting {
		l.Answer(errors.New("too late"))
	}
	alice.say("welcome")
	bob.expectChat("alice: welcome")
	r.waitEnds(core.ReasonReset, rounds)
}

// loginStorm: a hundred clients at a time log in and are denied from another goroutine,
// again and again, while others talk.
func loginStorm(h *harness) {
	const crowd = 100
	r := h.open(func(s *settings) {
		s.room.Authenticator = authFunc(func(l *core.Login) {
			if strings.HasPrefix(l.Name, "t") {
				l.Answer(nil)
				return
			}
			time.AfterFunc(20*time.Millisecond, func() { l.Answer(errors.New("wrong name or password")) })
		})
	})
	r.talkDuring(func(stop <-chan struct{}) error {
		return repeat(stop, time.Millisecond, func(int) error { return r.storm(crowd) })
	})
}

// storm has so many clients log in at once, which are denied.
func (r *rig) storm(clients int) error {
	failed := make([]error, clients)
	var group sync.WaitGroup
	for i := range failed {
		group.Go(func() {
			c, err := r.tryDial(nil)
			if err == nil {
				defer c.hangUp()
				if err = c.tryLogIn(fmt.Sprint("nobody", i)); err != nil && strings.Contains(err.Error(), "denied") {
					err = nil
				}
			}
			failed[i] = err
		})
	}
	group.Wait()
	return errors.Join(failed...)
}
