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
// random partial writes of the output and random time. A model computes what each
// client has to receive, which clients are slow, and what flood control allows.
func TestSimulation(t *testing.T) {
	for i := range uint64(*simSeeds) {
		if err := simulate(*simSeed + i); err != nil {
			t.Fatalf("seed %d: %v\nreplay: go test ./core -run TestSimulation -sim.seeds 1 -sim.seed %d", *simSeed+i, err, *simSeed+i)
		}
	}
}

// simulation is a room, its transport and its clients, driven by one random source.
type simulation struct {
	*rand.Rand
	room    *Room
	model   model
	clients []*simClient
	now     time.Time
	lagNow  time.Time  // the clock for slow clients
	feeding *simClient // the client that feeds, for the Authenticator
	single  bool       // frames are fed one at a time, because each may end a client
	joined  int
	late    bool // a client was woken after it left
}

func (sim *simulation) WakeRoom() {}

func (sim *simulation) Wake(s *Session) {
	c := s.tag.(*simClient)
	c.woken = true
	sim.late = sim.late || c.gone
}

func (sim *simulation) Authenticate(l *Login) { sim.feeding.answer = l.Answer }

func simulate(seed uint64) error {
	sim := &simulation{Rand: rand.New(rand.NewPCG(seed, 1)), now: time.Unix(1e9, 0), lagNow: time.Unix(1e9, 0)}
	sim.model.names, sim.model.spent = map[string]*simClient{}, map[string]*simClient{}
	cfg := Config{MaxClients: 6, MaxPending: 4, Authenticator: sim, Now: sim.now, LagLimit: 1 << 20}
	switch sim.IntN(5) {
	case 0: // slow clients, with short private queues
		cfg.LagLimit = 300
	case 1: // the log is short
		sim.single, cfg.LagMax = true, 500+sim.IntN(3000)
	case 2: // flood control
		cfg.Flood = Flood{Rate: 1 + 20*sim.Float64(), Burst: 1 + sim.IntN(20)}
	case 3:
		cfg.Flood = Flood{Rate: 1 + 20*sim.Float64(), Burst: 1 + sim.IntN(20)}
		cfg.LagLimit = 300
	}
	sim.room = newRoom(cfg, 256+sim.IntN(4096))
	sim.model.cfg, sim.model.now = sim.room.cfg, sim.now
	for range 50 + sim.IntN(400) {
		if err := sim.step(); err != nil {
			return err
		}
	}
	if sim.IntN(2) == 0 {
		sim.room.Drain()
		for _, c := range sim.clients {
			sim.model.end(c, closeFrame)
		}
	}
	return sim.finish()
}

// step does one random thing and compares room and model.
func (sim *simulation) step() error {
	live := sim.live()
	switch k := sim.IntN(100); {
	case len(live) == 0 || k < 6:
		sim.join()
	case k < 50:
		sim.feed(live[sim.IntN(len(live))])
	case k < 85:
		if err := sim.write(live[sim.IntN(len(live))]); err != nil {
			return err
		}
	case k < 91:
		sim.answerOne()
	case k < 96:
		sim.tick()
	default:
		sim.leave(live[sim.IntN(len(live))])
	}
	return sim.compare()
}

func (sim *simulation) live() []*simClient {
	var live []*simClient
	for _, c := range sim.clients {
		if !c.gone {
			live = append(live, c)
		}
	}
	return live
}

func (sim *simulation) join() {
	held, pending := 0, 0
	for _, c := range sim.clients {
		if !c.turned && (!c.gone || c.leaving && !c.over) {
			held++
		}
		if !c.was && !c.over && !c.turned {
			pending++
		}
	}
	c := &simClient{id: sim.joined, lazy: sim.IntN(3) == 0}
	sim.joined++
	c.session = sim.room.Join(netip.AddrPort{}, sim, c)
	sim.clients = append(sim.clients, c)
	c.deadline = sim.now.Add(10 * time.Second)
	c.turned = held >= 6 || pending >= 4
	switch {
	case held >= 6:
		sim.model.end(c, "\x01denied server is full\x00", closeFrame)
	case pending >= 4:
		sim.model.end(c, "\x01denied too many logins at once\x00", closeFrame)
	}
}

// randomFrame is a random frame of a client, mostly a valid one.
func (sim *simulation) randomFrame(c *simClient) string {
	names := []string{"ann", "bob", "cid", "dora", "nobody"}
	if !c.was && sim.IntN(10) > 0 {
		return "\x01" + names[sim.IntN(4)] + " pass word\x00"
	}
	name := names[sim.IntN(len(names))]
	switch k := sim.IntN(40); {
	case k < 20:
		texts := []string{"", "hi", "안녕하세요", "a\nb", "\x1b[2J", "c1 \u009b x", "0123456789 0123456789 0123456789 0123456789"}
		return "\x00" + texts[sim.IntN(len(texts))] + "\x00"
	case k < 35:
		cmd := sim.IntN(7)
		if cmd == 5 {
			cmd = 6 // the address of an acknowledgement has tests of its own
		}
		if cmd == 0 || cmd == 1 || cmd == 3 {
			return "\x02" + string(rune(cmd)) + name + "\x00"
		}
		return "\x02" + string(rune(cmd)) + name + " a file.txt\x00"
	}
	odd := []string{"\x03\x00", "\x01again x\x00", "\x09\x00", "\x02\x04" + name + "\x00"}
	if sim.IntN(3) > 0 {
		return "\x00...\x00"
	}
	return odd[sim.IntN(len(odd))]
}

// feed gives the room some octets of a client, which may end in mid-frame.
func (sim *simulation) feed(c *simClient) {
	if sim.single && c.answer != nil || c.session.Held() && sim.IntN(3) > 0 {
		return // a burst of waiting input could end a client; or the transport stops reading
	}
	var in []byte
	for n := 1 + sim.IntN(4); n > 0; n-- {
		if len(c.unsent) == 0 {
			c.sending = sim.randomFrame(c)
			c.unsent = []byte(c.sending)
		}
		k := len(c.unsent)
		if sim.IntN(3) == 0 {
			k = 1 + sim.IntN(k)
		}
		in, c.unsent = append(in, c.unsent[:k]...), c.unsent[k:]
		c.fed += k
		// An unknown type ends a client at its first octet, the frame unfinished.
		if len(c.unsent) == 0 || c.sending[0] > 3 {
			c.todo = append(c.todo, simFrame{c.sending, c.fed})
		}
		if sim.single || k < len(c.sending) {
			break
		}
	}
	sim.feeding = c
	c.session.Feed(in)
	sim.model.work(c)
}

// write writes some output to a client, sometimes only a part.
func (sim *simulation) write(c *simClient) error {
	c.woken = false
	for range 1 + sim.IntN(3) {
		p := c.session.Next()
		sim.model.work(c)
		if p == nil {
			return nil
		}
		n := len(p)
		switch {
		case c.lazy && sim.IntN(10) > 0:
			n = sim.IntN(min(n, 10))
		case sim.IntN(2) == 0:
			n = sim.IntN(n + 1)
		}
		sim.took(c, p, n)
	}
	return sim.model.check(c, false)
}

// took is a write of which the client took n octets.
func (sim *simulation) took(c *simClient, p []byte, n int) {
	c.got = append(c.got, p[:n]...)
	c.session.Wrote(n)
	c.refuses = n < len(p)
	if !sim.over(c) {
		c.refusedSince = time.Time{}
	}
}

// over says whether more output waits for a client than may wait for long.
func (sim *simulation) over(c *simClient) bool {
	owed := sim.model.behind(c)
	if c.over {
		owed = sim.room.owed(c.session)
	}
	return owed > sim.room.cfg.LagLimit || c.session.hasWaiters.Load()
}

// answerOne answers a login, perhaps of a client that has left.
func (sim *simulation) answerOne() {
	if c := sim.clients[sim.IntN(len(sim.clients))]; c.answer != nil {
		sim.answer(c)
	}
}

func (sim *simulation) answer(c *simClient) {
	var err error
	if sim.IntN(5) == 0 {
		err = errors.New("wrong name or password")
	}
	c.answer(err)
	sim.model.decided(c, err)
	sim.model.work(c)
	sim.model.part(c)
}

func (sim *simulation) tick() {
	sim.pass(time.Duration(sim.IntN(3000)) * time.Millisecond)
}

func (sim *simulation) pass(d time.Duration) {
	sim.now = sim.now.Add(d)
	sim.lagNow = sim.lagNow.Add(min(d, sim.room.cfg.LagTime/4))
	sim.model.now = sim.now
	var leaving []*simClient // in the order in which their input is processed
	for _, s := range sim.room.leaving {
		leaving = append(leaving, s.tag.(*simClient))
	}
	slow := map[*simClient]bool{}
	for _, c := range sim.clients {
		switch {
		case c.gone:
		case !c.refuses || !sim.over(c):
			c.refusedSince = time.Time{}
		case c.refusedSince.IsZero():
			c.refusedSince = sim.lagNow
		default:
			slow[c] = !c.over && sim.lagNow.Sub(c.refusedSince) >= sim.room.cfg.LagTime
		}
	}
	sim.room.Tick(sim.now)
	for _, c := range sim.clients {
		if !c.was && !c.over && sim.now.After(c.deadline) {
			sim.model.end(c, "\x01denied no login in time\x00", closeFrame)
		}
		sim.endSlow(c)
		if why, closing := c.session.Closing(); slow[c] && (!closing || why != ReasonSlow) {
			sim.model.wrong = fmt.Errorf("client %d has refused %d octets since %v and is not ended", c.id, sim.model.behind(c), sim.lagNow.Sub(c.refusedSince))
		}
	}
	for _, c := range leaving {
		if why, closing := c.session.Closing(); closing && why == ReasonFlood && sim.now.After(c.deadline) {
			sim.model.end(c)
		}
		sim.model.work(c)
		sim.model.part(c)
	}
}

// leave ends a connection. After a FIN the waiting input must still be processed.
func (sim *simulation) leave(c *simClient) {
	why := ReasonReset
	if sim.IntN(3) > 0 {
		why = ReasonEOF
		c.leaving = c.session.in.heldFor != notHeld && !c.over
	}
	if !c.leaving {
		sim.model.end(c)
	} else if c.session.in.heldFor != heldForLogin {
		c.deadline = sim.now.Add(defaultFarewell)
	}
	c.session.Leave(why)
	c.session.Leave(ReasonReset)
	c.gone = true
}
