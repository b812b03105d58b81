package backendtest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"

	"chatbench/core/wire"
)

var soakScenarios = []scenario{{"soak", soak}}

// seedVariable is the environment variable with the seed, to repeat a soak.
const seedVariable = "BACKENDTEST_SEED"

// soak: twenty clients log in, talk, relay, split their frames anywhere and leave in
// every way, at random. One more, the observer, stays all the time: what it receives is
// the order of the room. A model says what has to be in it, and what each of the others
// may have received of it.
func soak(h *harness) {
	const slots, steps = 20, 4000
	seed := rand.Uint64()
	if s, err := strconv.ParseUint(os.Getenv(seedVariable), 10, 64); err == nil {
		seed = s
	}
	defer func() { // also when the case ends by Fatalf
		h.Logf("repeat with %s=%d", seedVariable, seed)
	}()
	r := h.open(func(s *settings) { s.net.SendBuffer, s.room.LagLimit = 16<<10, 16<<20 })
	m := &model{rig: r, rng: rand.New(rand.NewPCG(seed, 0)), bySlot: make([]*soakClient, slots)}
	observer := r.login("observer")
	heard := observer.listen("the end")
	for range steps {
		m.step(m.rng.IntN(slots))
	}
	for _, sc := range m.bySlot {
		if sc != nil {
			sc.talk(1)
			own := func() int { return int(sc.transcript.own.Load()) }
			r.eventually(func() bool { return own() == sc.said }, "%s receives all of its %d messages (%d)", sc.c.name, sc.said, own)
		}
	}
	observer.say("the end")
	order := heard.all()
	m.check(order)
}

// soakClient is one client from its login to its end.
type soakClient struct {
	m            *model
	slot         int
	c            *client
	transcript   *transcript
	said         int            // complete messages sent
	sent         map[string]int // complete file frames sent, by addressee
	unsentRest   []byte         // the rest of a frame whose beginning has been sent
	onRestSent   func()         // to be called when the rest is sent
	allDelivered bool           // it left in a way in which everything it sent is delivered
	ended        bool
}

// model is what has happened in the soak so far.
type model struct {
	rig    *rig
	rng    *rand.Rand
	bySlot []*soakClient // by slot; nil if the slot is free
	all    []*soakClient
}

// step has the client in a slot do something.
func (m *model) step(slot int) {
	sc := m.bySlot[slot]
	if sc == nil {
		m.arrive(slot)
		return
	}
	switch n := m.rng.IntN(100); {
	case n < 40:
		sc.talk(1)
	case n < 50:
		sc.talk(1 + m.rng.IntN(60))
	case n < 60:
		sc.talkHalf()
	case n < 90:
		sc.relay()
	default:
		sc.leave(m.rng.IntN(5))
		m.bySlot[slot] = nil
	}
}

func (m *model) arrive(slot int) {
	r := m.rig
	sc := &soakClient{m: m, slot: slot, sent: map[string]int{}}
	sc.c = r.login(fmt.Sprintf("p%dn%d", slot, len(m.all)))
	sc.c.buf = make([]byte, 1+m.rng.IntN(8<<10))
	sc.transcript = sc.c.record("the end")
	m.bySlot[slot] = sc
	m.all = append(m.all, sc)
}

// flush sends the rest of a frame that is half sent.
func (sc *soakClient) flush() {
	if sc.unsentRest != nil {
		sc.c.send(sc.unsentRest)
		sc.onRestSent()
		sc.unsentRest = nil
	}
}

func (sc *soakClient) talk(n int) {
	sc.flush()
	var out []byte
	for i := range n {
		out = wire.AppendChat(out, fmt.Sprintf("no %d", sc.said+i))
	}
	sc.c.send(out)
	sc.said += n
}

// talkHalf sends a part of a frame; the rest is sent before what comes next.
func (sc *soakClient) talkHalf() {
	sc.flush()
	out := wire.AppendChat(nil, fmt.Sprintf("no %d", sc.said))
	cut := 1 + sc.m.rng.IntN(len(out)-1)
	sc.c.send(out[:cut])
	sc.unsentRest, sc.onRestSent = out[cut:], func() { sc.said++ }
}

// relay sends a file frame to another client, or to nobody.
func (sc *soakClient) relay() {
	sc.flush()
	name := "nobody"
	if to := sc.m.bySlot[sc.m.rng.IntN(len(sc.m.bySlot))]; to != nil {
		name = to.c.name
	}
	sc.c.send(wire.AppendFile(nil, wire.LsBody, name, fmt.Appendf(nil, " file %d", sc.sent[name])))
	sc.sent[name]++
}

// leave ends a client in one of five ways.
func (sc *soakClient) leave(way int) {
	sc.ended = true
	switch way {
	case 0:
		sc.c.hangUp()
	case 1:
		sc.c.reset()
	case 2:
		sc.flush()
		sc.c.send(wire.AppendClose(nil))
		sc.allDelivered = true
	case 3:
		sc.c.finish()
		sc.allDelivered = true
	case 4:
		sc.flush()
		sc.c.send([]byte{9})
		sc.allDelivered = true
	}
	if sc.allDelivered {
		<-sc.transcript.done
		sc.c.hangUp()
	}
}
