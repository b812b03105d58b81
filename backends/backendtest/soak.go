package backendtest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"

	"chatbench/core/wire"
)

var soakScenarios = []scenario{{"soak", soak}}

// seedVariable names the environment variable that repeats a soak.
const seedVariable = "BACKENDTEST_SEED"

// soak: twenty clients come, talk, relay, cut their frames anywhere and go in
// every way, at random. One, the scribe, is there all the time: what it hears
// is the order of the room, and a model says what has to be in it and what
// each of the others may have heard of it.
func soak(l *lab) {
	const places, steps = 20, 4000
	seed := rand.Uint64()
	if s, err := strconv.ParseUint(os.Getenv(seedVariable), 10, 64); err == nil {
		seed = s
	}
	defer func() { // also when the case ends by Fatalf
		l.Logf("repeat with %s=%d", seedVariable, seed)
	}()
	r := l.open(func(s *settings) { s.net.SendBuffer, s.room.LagLimit = 16<<10, 16<<20 })
	m := &model{rig: r, rng: rand.New(rand.NewPCG(seed, 0)), here: make([]*member, places)}
	scribe := r.login("scribe")
	heard := scribe.listen("the end")
	for range steps {
		m.step(m.rng.IntN(places))
	}
	for _, mem := range m.here {
		if mem != nil {
			mem.talk(1)
			own := func() int { return int(mem.ears.own.Load()) }
			r.eventually(func() bool { return own() == mem.said }, "%s hears all of its %d messages (%d)", mem.c.name, mem.said, own)
		}
	}
	scribe.say("the end")
	order := heard.all()
	m.check(order)
}

// member is one client from its login to its end.
type member struct {
	m       *model
	place   int
	c       *client
	ears    *ears
	said    int            // messages sent whole
	sent    map[string]int // file frames sent whole, by addressee
	half    []byte         // the rest of a frame of which the head is sent
	halfWas func()         // to be done when it is sent
	whole   bool           // it left in a way in which all it sent is heard
	ended   bool
}

// model is what happened in the soak so far.
type model struct {
	rig  *rig
	rng  *rand.Rand
	here []*member // by place; nil where nobody is
	all  []*member
}

// step has the client at a place do something.
func (m *model) step(place int) {
	mem := m.here[place]
	if mem == nil {
		m.arrive(place)
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
		m.here[place] = nil
	}
}

func (m *model) arrive(place int) {
	r := m.rig
	mem := &member{m: m, place: place, sent: map[string]int{}}
	mem.c = r.login(fmt.Sprintf("p%dn%d", place, len(m.all)))
	mem.c.buf = make([]byte, 1+m.rng.IntN(8<<10))
	mem.ears = mem.c.hear("the end")
	m.here[place] = mem
	m.all = append(m.all, mem)
}

// flush sends the rest of a frame that is half sent.
func (mem *member) flush() {
	if mem.half != nil {
		mem.c.send(mem.half)
		mem.halfWas()
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

// talkHalf sends a part of a frame; the rest goes with what comes next.
func (mem *member) talkHalf() {
	mem.flush()
	out := wire.AppendChat(nil, fmt.Sprintf("no %d", mem.said))
	cut := 1 + mem.m.rng.IntN(len(out)-1)
	mem.c.send(out[:cut])
	mem.half, mem.halfWas = out[cut:], func() { mem.said++ }
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
		<-mem.ears.done
		mem.c.hangUp()
	}
}
