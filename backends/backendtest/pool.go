package backendtest

import (
	"fmt"
	"time"

	"chatbench/core"
	"chatbench/core/wire"
)

var poolScenarios = []scenario{
	{"full-pool", fullPool},
	{"too-many-pending", tooManyPending},
	{"one-name-twice", oneNameTwice},
	{"login-deadline", loginDeadline},
}

// fullPool: a client that finds no free slot is told so and closed at once. A slot is
// free again when a client leaves.
func fullPool(h *harness) {
	r := h.open(func(s *settings) { s.room.MaxClients = 3 })
	clients := r.logins("c", 3)
	for range 5 {
		late := r.dial()
		late.expect(wire.Cred, 0, "denied server is full")
		late.expectClosed()
		late.hangUp()
	}
	r.waitEnds(core.ReasonFull, 5)
	clients[1].hangUp()
	r.waitClients(2)
	next := r.login("next")
	next.say("in after all")
	clients[0].expectChat("next: in after all")
}

// tooManyPending: clients that do not log in cannot take all slots.
func tooManyPending(h *harness) {
	r := h.open(func(s *settings) { s.room.MaxPending = 2 })
	alice := r.login("alice")
	first, second := r.dial(), r.dial()
	r.waitClients(3)
	third := r.dial()
	third.untilEOF()
	third.hangUp()
	r.waitEnds(core.ReasonPending, 1)
	first.logIn("first")
	second.logIn("second")
	alice.say("welcome")
	second.expectChat("alice: welcome")
}

// oneNameTwice: of several logins with the same name at once, one is let in. The others
// are told why not and sent Close, and their streams end in order.
func oneNameTwice(h *harness) {
	const rivals = 8
	r := h.open()
	clients := make([]*client, rivals)
	for i := range clients {
		clients[i] = r.dial()
	}
	talkAll(r, clients, func(c *client) error { return c.trySend(wire.AppendCred(nil, "alice", "x")) })
	granted := 0
	for i, c := range clients {
		c.name = fmt.Sprint("rival ", i)
		f, err := c.read()
		if err != nil || f.Type != wire.Cred {
			r.Fatalf("%s: %s, %v, want an answer to the login", c.name, show(f), err)
		}
		if string(f.Body) == wire.Granted {
			granted++
			continue
		}
		c.expectClosed()
		c.hangUp()
	}
	if granted != 1 {
		r.Errorf("%d of %d were let in", granted, rivals)
	}
	r.waitEnds(core.ReasonDenied, rivals-1)
}

// loginDeadline: a client that does not log in in time is closed, even if it has sent a
// part of a login. A client that has logged in may stay silent.
func loginDeadline(h *harness) {
	r := h.open(func(s *settings) { s.room.LoginTimeout = 400 * time.Millisecond })
	goOn := r.stopClock() // a busy machine may take longer for a login
	alice := r.login("alice")
	mute, slow := r.dialRead(), r.dialRead()
	before := r.counters.BytesIn.Load()
	slow.send([]byte("\x01bo"))
	r.eventually(func() bool { return r.counters.BytesIn.Load() == before+3 }, "a part of a login is read")
	goOn()
	for _, c := range []*client{mute, slow} {
		c.untilEOF()
		c.hangUp()
	}
	r.waitEnds(core.ReasonLoginTimeout, 2)
	r.waitClients(1)
	alice.say("still here")
	alice.expectChat("alice: still here")
}
