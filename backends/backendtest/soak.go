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
	m := &model{rig: r, rng: rand.New(rand.NewPCG(seed, 0)), here: make([]*member, slots)}
	observer := r.login("observer")
	heard := observer.listen("the end")
	for range steps {
		m.step(m.rng.IntN(slots))
	}
	for _, mem := range m.here {
		if mem != nil {
			mem.talk(1)
			own := func() int { return int(mem.transcript.own.Load()) }
			r.eventually(func() bool { return own() == mem.said }, "%s receives all of its %d messages (%d)", mem.c.name, mem.said, own)
		}
	}
	observer.say("the end")
	order := heard.all()
	m.check(order)
}

// member is one client from its login to its end.
type member struct {
	m          *model
	slot       int
	c          *client
	transcript *transcript
	said       int            // complete messages sent
	sent       map[string]int // complete file frames sent, by addressee
	half       []byte         // the rest of a frame whose beginning has been sent
	halfSent   func()         // to be called when the rest is sent
	whole      bool           // it left in a way in which everything it sent is delivered
	ended      bool
}

// model is what has happened in the soak so far.
type model struct {
	rig  *rig
	rng  *rand.Rand
	here []*member // by slot; nil if the slot is free
	all  []*member
}

// step has the client in a slot do something.
func (m *model) step(slot int) {
	mem := m.here[slot]
	if mem == nil {
		m.arrive(slot)
		return
	}
	switch n := m.rng.IntN(100); {
	case n < 40:
		mem.talk(1)
	case n < 50:
		mem.talk(1 + m.rng.IntN(60))
	case n < 60:
		mem.talkHalf()
	case n < 90:
		mem.relay()
	default:
		mem.leave(m.rng.IntN(5))
		m.here[slot] = nil
	}
}

func (m *model) arrive(slot int) {
	r := m.rig
	mem := &member{m: m, slot: slot, sent: map[string]int{}}
	mem.c = r.login(fmt.Sprintf("p%dn%d", slot, len(m.all)))
	mem.c.buf = make([]byte, 1+m.rng.IntN(8<<10))
	mem.transcript = mem.c.record("the end")
	m.here[slot] = mem
	m.all = append(m.all, mem)
}

// flush sends the rest of a frame that is half sent.
func (mem *member) flush() {
	if mem.half != nil {
		mem.c.send(mem.half)
		mem.halfSent()
		mem.half = nil
	}
}

func (mem *member) talk(n int) {
	mem.flush()
	var out []byte
	for i := range n {
		out = wire.AppendChat(out, fmt.Sprintf("no %d", mem.said+i))
	}
	mem.c.send(out)
	mem.said += n
}

// talkHalf sends a part of a frame; the rest is sent before what comes next.
func (mem *member) talkHalf() {
	mem.flush()
	out := wire.AppendChat(nil, fmt.Sprintf("no %d", mem.said))
	cut := 1 + mem.m.rng.IntN(len(out)-1)
	mem.c.send(out[:cut])
	mem.half, mem.halfSent = out[cut:], func() { mem.said++ }
}

// relay sends a file frame to another client, or to nobody.
func (mem *member) relay() {
	mem.flush()
	name := "nobody"
	if to := mem.m.here[mem.m.rng.IntN(len(mem.m.here))]; to != nil {
		name = to.c.name
	}
	mem.c.send(wire.AppendFile(nil, wire.LsBody, name, fmt.Appendf(nil, " file %d", mem.sent[name])))
	mem.sent[name]++
}

// leave ends a client in one of five ways.
func (mem *member) leave(way int) {
	mem.ended = true
	switch way {
	case 0:
		mem.c.hangUp()
	case 1:
		mem.c.reset()
	case 2:
		mem.flush()
		mem.c.send(wire.AppendClose(nil))
		mem.whole = true
	case 3:
		mem.c.finish()
		mem.whole = true
	case 4:
		mem.flush()
		mem.c.send([]byte{9})
		mem.whole = true
	}
	if mem.whole {
		<-mem.transcript.done
		mem.c.hangUp()
	}
}
