package backendtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"chatbench/core"
	"chatbench/core/wire"
)

var loginScenarios = []scenario{
	{"late-answer", lateAnswer},
	{"fin-before-the-answer", finBeforeTheAnswer},
	{"denied", denied},
	{"answers-from-anywhere", answersFromAnywhere},
	{"peer-address", peerAddress},
}

// authFunc is a function as an Authenticator.
type authFunc func(l *core.Login)

func (d authFunc) Authenticate(l *core.Login) { d(l) }

// lateAnswer: the login is answered 50 ms later, from another goroutine, when nothing
// else happens on the server. What the client sent meanwhile is delivered afterwards, in
// order, including a frame that was split.
func lateAnswer(h *harness) {
	r := h.open(func(s *settings) {
		s.room.Authenticator = authFunc(func(l *core.Login) {
			time.AfterFunc(50*time.Millisecond, func() { l.Answer(nil) })
		})
	})
	bob := r.login("bob")
	alice := r.dial()
	out := wire.AppendCred(nil, "alice", "x")
	for i := range 500 {
		out = wire.AppendChat(out, fmt.Sprintf("no %d", i))
	}
	half := len(out) - 3
	alice.send(out[:half])
	alice.expect(wire.Cred, 0, wire.Granted)
	alice.send(wire.AppendChat(out[half:len(out):len(out)], "the end"))
	heard := listenAll([]*client{alice, bob}, "the end")
	checkSequence(h, sameForAll(heard), "alice", "no", 500)
}

// finBeforeTheAnswer: a client logs in, talks and sends FIN before its login is answered.
// When the answer comes its connection is gone. What it said is delivered all the same,
// and its slot is free after that.
func finBeforeTheAnswer(h *harness) {
	const messages = 100
	answers := make(chan func(error), 1)
	r := h.open(func(s *settings) {
		s.room.Authenticator = authFunc(func(l *core.Login) {
			if l.Name == "alice" {
				answers <- l.Answer
				return
			}
			l.Answer(nil)
		})
	})
	bob := r.login("bob")
	heard := bob.listen("the end")
	for i := range 3 {
		alice := r.dial()
		out := wire.AppendCred(nil, "alice", "x")
		for n := range messages {
			out = wire.AppendChat(out, fmt.Sprintf("no %d", i*messages+n))
		}
		alice.send(out)
		alice.finish()
		alice.untilEOF()
		alice.hangUp()
		(<-answers)(nil)
		r.waitEnds(core.ReasonEOF, uint64(i+1))
	}
	r.waitClients(1)
	bob.say("the end")
	checkSequence(h, heard.all(), "alice", "no", 3*messages)
}

// denied: a login that is denied, at once or later, is answered with the reason and
// Close, and the stream ends in order.
func denied(h *harness) {
	r := h.open(func(s *settings) {
		s.room.Authenticator = authFunc(func(l *core.Login) {
			switch l.Name {
			case "now":
				l.Answer(errors.New("wrong " + l.Password))
			case "later":
				time.AfterFunc(20*time.Millisecond, func() { l.Answer(errors.New("wrong " + l.Password)) })
			default:
				l.Answer(nil)
			}
		})
	})
	bob := r.login("bob")
	for _, name := range []string{"now", "later"} {
		c := r.dial()
		c.send(wire.AppendChat(wire.AppendCred(nil, name, "pass word"), "never heard"))
		c.expect(wire.Cred, 0, "denied wrong pass word")
		c.expectClosed()
		c.hangUp()
	}
	r.waitEnds(core.ReasonDenied, 2)
	bob.say("alone")
	bob.expectChat("bob: alone")
}

// answersFromAnywhere: logins are answered from many goroutines while others talk. Each
// new client receives all messages from its login on, without a gap.
func answersFromAnywhere(h *harness) {
	const newcomers, messages = 40, 1500
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(1, 2))
	r := h.open(func(s *settings) {
		s.room.Authenticator = authFunc(func(l *core.Login) {
			mu.Lock()
			d := time.Duration(rng.IntN(4000)) * time.Microsecond
			mu.Unlock()
			time.AfterFunc(d, func() { l.Answer(nil) })
		})
	})
	talkers := r.logins("t", 2)
	heard := listenAll(talkers, "the end")
	joined := make([]*listener, newcomers)
	failed := make([]error, newcomers)
	var group sync.WaitGroup
	for i := range newcomers {
		group.Go(func() {
			c, err := r.tryDial(nil)
			if err == nil {
				err = c.tryLogIn(fmt.Sprint("new", i))
				joined[i] = c.listen("the end")
			}
			failed[i] = err
		})
	}
	entered := make(chan struct{})
	go func() { group.Wait(); close(entered) }()
	said := 0
	for all := false; said < messages || !all; said++ {
		talkers[said%2].say("no %d", said/2)
		if said%32 == 31 { // no faster than all can follow
			r.eventually(func() bool { return heard[0].heard.Load() == int64(said+1) }, "message %d is heard", said)
			select {
			case <-entered:
				all = true
			default:
			}
		}
	}
	talkers[0].say("the end")
	texts := sameForAll(heard)
	for i, n := range joined {
		if failed[i] != nil {
			r.Fatalf("newcomer %d: %v", i, failed[i])
		}
		own := n.all()
		n.c.hangUp()
		if len(own) > len(texts) {
			r.Fatalf("%s received more than was said", n.c.name)
		}
		diff(h, "the talkers", texts[len(texts)-len(own):], n.c.name, own)
	}
}

// peerAddress: the room is given the address of a client.
func peerAddress(h *harness) {
	seen := make(chan netip.AddrPort, 1)
	r := h.open(func(s *settings) {
		s.room.Authenticator = authFunc(func(l *core.Login) {
			seen <- l.Peer
			l.Answer(nil)
		})
	})
	alice := r.login("alice")
	if got, want := (<-seen).String(), alice.conn.LocalAddr().String(); got != want {
		r.Errorf("the room was given the address %s, want %s", got, want)
	}
}
