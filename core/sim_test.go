package core

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

var (
	simSeeds = flag.Int("sim.seeds", 3000, "how many seeds the simulation runs")
	simSeed  = flag.Uint64("sim.seed", 0, "the seed to begin with; with -sim.seeds 1 it replays one")
)

// TestSimulation runs random conversations with random splits of the input,
// random partial writes of the output and random time. A model says what every
// client is owed, who is slow, and what flood control lets through.
func TestSimulation(t *testing.T) {
	for i := range uint64(*simSeeds) {
		if err := simulate(*simSeed + i); err != nil {
			t.Fatalf("seed %d: %v\nreplay: go test ./core -run TestSimulation -sim.seeds 1 -sim.seed %d", *simSeed+i, err, *simSeed+i)
		}
	}
}

// world is a room, its transport and its clients, driven by one random source.
type world struct {
	*rand.Rand
	room    *Room
	model   model
	clients []*simClient
	now     time.Time
	lagNow  time.Time  // that counts against those who are slow
	asked   *simClient // who is feeding, for the Authenticator
	single  bool       // frames are fed one at a time, for each may end somebody
	joined  int
	late    bool // somebody was woken who has left
}

func (w *world) WakeRoom() {}

func (w *world) Wake(s *Session) {
	c := s.tag.(*simClient)
	c.woken = true
	w.late = w.late || c.gone
}

func (w *world) Authenticate(l *Login) { w.asked.answer = l.Answer }

func simulate(seed uint64) error {
	w := &world{Rand: rand.New(rand.NewPCG(seed, 1)), now: time.Unix(1e9, 0), lagNow: time.Unix(1e9, 0)}
	w.model.names, w.model.spent = map[string]*simClient{}, map[string]*simClient{}
	cfg := Config{MaxClients: 6, MaxPending: 4, Authenticator: w, Now: w.now, LagLimit: 1 << 20}
	switch w.IntN(5) {
	case 0: // people are slow, and their private queues are short
		cfg.LagLimit = 300
	case 1: // the log is short
		w.single, cfg.LagMax = true, 500+w.IntN(3000)
	case 2: // people are hurried
		cfg.Flood = Flood{Rate: 1 + 20*w.Float64(), Burst: 1 + w.IntN(20)}
	case 3:
		cfg.Flood = Flood{Rate: 1 + 20*w.Float64(), Burst: 1 + w.IntN(20)}
		cfg.LagLimit = 300
	}
	w.room = newRoom(cfg, 256+w.IntN(4096))
	w.model.cfg, w.model.now = w.room.cfg, w.now
	for range 50 + w.IntN(400) {
		if err := w.step(); err != nil {
			return err
		}
	}
	if w.IntN(2) == 0 {
		w.room.Drain()
		for _, c := range w.clients {
			w.model.end(c, closeFrame)
		}
	}
	return w.finish()
}

// step does one random thing and compares room and model.
func (w *world) step() error {
	live := w.live()
	switch k := w.IntN(100); {
	case len(live) == 0 || k < 6:
		w.join()
	case k < 50:
		w.feed(live[w.IntN(len(live))])
	case k < 85:
		if err := w.write(live[w.IntN(len(live))]); err != nil {
			return err
		}
	case k < 91:
		w.answerOne()
	case k < 96:
		w.tick()
	default:
		w.leave(live[w.IntN(len(live))])
	}
	return w.compare()
}

func (w *world) live() []*simClient {
	var live []*simClient
	for _, c := range w.clients {
		if !c.gone {
			live = append(live, c)
		}
	}
	return live
}

func (w *world) join() {
	held, pending := 0, 0
	for _, c := range w.clients {
		if !c.turned && (!c.gone || c.parting && !c.over) {
			held++
		}
		if !c.was && !c.over && !c.turned {
			pending++
		}
	}
	c := &simClient{id: w.joined, lazy: w.IntN(3) == 0}
	w.joined++
	c.session = w.room.Join(netip.AddrPort{}, w, c)
	w.clients = append(w.clients, c)
	c.deadline = w.now.Add(10 * time.Second)
	c.turned = held >= 6 || pending >= 4
	switch {
	case held >= 6:
		w.model.end(c, "\x01denied server is full\x00", closeFrame)
	case pending >= 4:
		w.model.end(c, "\x01denied too many logins at once\x00", closeFrame)
	}
}

// randomFrame is what a client may send next, mostly sense.
func (w *world) randomFrame(c *simClient) string {
	names := []string{"ann", "bob", "cid", "dora", "nobody"}
	if !c.was && w.IntN(10) > 0 {
		return "\x01" + names[w.IntN(4)] + " pass word\x00"
	}
	name := names[w.IntN(len(names))]
	switch k := w.IntN(40); {
	case k < 20:
		texts := []string{"", "hi", "안녕하세요", "a\nb", "\x1b[2J", "c1 \u009b x", "0123456789 0123456789 0123456789 0123456789"}
		return "\x00" + texts[w.IntN(len(texts))] + "\x00"
	case k < 35:
		cmd := w.IntN(7)
		if cmd == 5 {
			cmd = 6 // the address of an acknowledgement has tests of its own
		}
		if cmd == 0 || cmd == 1 || cmd == 3 {
			return "\x02" + string(rune(cmd)) + name + "\x00"
		}
		return "\x02" + string(rune(cmd)) + name + " a file.txt\x00"
	}
	odd := []string{"\x03\x00", "\x01again x\x00", "\x09\x00", "\x02\x04" + name + "\x00"}
	if w.IntN(3) > 0 {
		return "\x00...\x00"
	}
	return odd[w.IntN(len(odd))]
}

// feed gives the room some octets of a client, which may end in mid-frame.
func (w *world) feed(c *simClient) {
	if w.single && c.answer != nil || c.session.Held() && w.IntN(3) > 0 {
		return // a burst of what waits could end somebody, or the transport can wait
	}
	var in []byte
	for n := 1 + w.IntN(4); n > 0; n-- {
		if len(c.unsent) == 0 {
			c.sending = w.randomFrame(c)
			c.unsent = []byte(c.sending)
		}
		k := len(c.unsent)
		if w.IntN(3) == 0 {
			k = 1 + w.IntN(k)
		}
		in, c.unsent = append(in, c.unsent[:k]...), c.unsent[k:]
		c.fed += k
		// An unknown type ends a client at its first octet, the frame unfinished.
		if len(c.unsent) == 0 || c.sending[0] > 3 {
			c.todo = append(c.todo, simFrame{c.sending, c.fed})
		}
		if w.single || k < len(c.sending) {
			break
		}
	}
	w.asked = c
	c.session.Feed(in)
	w.model.work(c)
}

// write takes some output of a client, sometimes only a part.
func (w *world) write(c *simClient) error {
	c.woken = false
	for range 1 + w.IntN(3) {
		p := c.session.Next()
		w.model.work(c)
		if p == nil {
			return nil
		}
		n := len(p)
		switch {
		case c.lazy && w.IntN(10) > 0:
			n = w.IntN(min(n, 10))
		case w.IntN(2) == 0:
			n = w.IntN(n + 1)
		}
		w.took(c, p, n)
	}
	return w.model.check(c, false)
}

// took is a write of which the client took n octets.
func (w *world) took(c *simClient, p []byte, n int) {
	c.got = append(c.got, p[:n]...)
	c.session.Wrote(n)
	c.refuses = n < len(p)
	if !w.over(c) {
		c.refusedSince = time.Time{}
	}
}

// over says whether a client is owed more than it may be for long.
func (w *world) over(c *simClient) bool {
	owed := w.model.behind(c)
	if c.over {
		owed = w.room.owed(c.session)
	}
	return owed > w.room.cfg.LagLimit || c.session.hasWaiters.Load()
}

// answerOne decides a login, maybe of a client that has gone.
func (w *world) answerOne() {
	if c := w.clients[w.IntN(len(w.clients))]; c.answer != nil {
		w.answer(c)
	}
}

func (w *world) answer(c *simClient) {
	var err error
	if w.IntN(5) == 0 {
		err = errors.New("wrong name or password")
	}
	c.answer(err)
	w.model.decided(c, err)
	w.model.work(c)
	w.model.part(c)
}

func (w *world) tick() {
	w.pass(time.Duration(w.IntN(3000)) * time.Millisecond)
}

func (w *world) pass(d time.Duration) {
	w.now = w.now.Add(d)
	w.lagNow = w.lagNow.Add(min(d, w.room.cfg.LagTime/4))
	w.model.now = w.now
	var parting []*simClient // in the order in which they are heard
	for _, s := range w.room.parting {
		parting = append(parting, s.tag.(*simClient))
	}
	slow := map[*simClient]bool{}
	for _, c := range w.clients {
		switch {
		case c.gone:
		case !c.refuses || !w.over(c):
			c.refusedSince = time.Time{}
		case c.refusedSince.IsZero():
			c.refusedSince = w.lagNow
		default:
			slow[c] = !c.over && w.lagNow.Sub(c.refusedSince) >= w.room.cfg.LagTime
		}
	}
	w.room.Tick(w.now)
	for _, c := range w.clients {
		if !c.was && !c.over && w.now.After(c.deadline) {
			w.model.end(c, "\x01denied no login in time\x00", closeFrame)
		}
		w.endSlow(c)
		if why, closing := c.session.Closing(); slow[c] && (!closing || why != ReasonSlow) {
			w.model.wrong = fmt.Errorf("client %d has refused %d octets since %v and is not ended", c.id, w.model.behind(c), w.lagNow.Sub(c.refusedSince))
		}
	}
	for _, c := range parting {
		if why, closing := c.session.Closing(); closing && why == ReasonFlood && w.now.After(c.deadline) {
			w.model.end(c)
		}
		w.model.work(c)
		w.model.part(c)
	}
}

// leave breaks a connection off. After a FIN what waits is still to be heard.
func (w *world) leave(c *simClient) {
	why := ReasonReset
	if w.IntN(3) > 0 {
		why = ReasonEOF
		c.parting = c.session.in.hold != notHeld && !c.over
	}
	if !c.parting {
		w.model.end(c)
	} else if c.session.in.hold != forLogin {
		c.deadline = w.now.Add(defaultFarewell)
	}
	c.session.Leave(why)
	c.session.Leave(ReasonReset)
	c.gone = true
}
