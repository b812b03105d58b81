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
	simSeeds = flag.Int("sim.seeds", 2000, "how many seeds the simulation runs")
	simSeed  = flag.Uint64("sim.seed", 0, "the seed to begin with; with -sim.seeds 1 it replays one")
)

// TestSimulation runs random conversations with random splits of the input and
// random partial writes of the output. A model says what every client is owed.
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
	asked   *simClient // who is feeding, for the Authenticator
	slow    bool       // a small lag limit: frames are fed one at a time
	joined  int
	woken   map[*Session]bool
	grew    bool
	late    bool // somebody was woken who has left
}

func (w *world) WakeRoom() { w.grew = true }

func (w *world) Wake(s *Session) {
	w.woken[s] = true
	w.late = w.late || s.tag.(*simClient).gone
}

func (w *world) Authenticate(l *Login) {
	w.asked.answer = l.Answer
}

func simulate(seed uint64) error {
	w := &world{Rand: rand.New(rand.NewPCG(seed, 1)), now: time.Unix(1e9, 0), woken: map[*Session]bool{}}
	w.model.names = map[string]*simClient{}
	w.slow = w.IntN(4) == 0
	cfg := Config{MaxClients: 6, MaxPending: 4, Authenticator: w, Now: w.now, LagLimit: 1 << 20}
	if w.slow {
		cfg.LagLimit = 300
	}
	w.room = newRoom(cfg, 256+w.IntN(4096))
	for range 50 + w.IntN(250) {
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
	case k < 93:
		w.answerOne()
	case k < 96:
		w.tick()
	default:
		w.leave(live[w.IntN(len(live))])
	}
	return w.compare()
}

// compare holds the states of the sessions against the model.
func (w *world) compare() error {
	if w.late {
		return errors.New("the transport is woken for a client that has left")
	}
	for _, c := range w.clients {
		why, closing := c.session.Closing()
		if c.gone {
			if closing != c.over {
				return fmt.Errorf("client %d has left: closing %v (%v), the model says %v", c.id, closing, why, c.over)
			}
			continue
		}
		if closing && why == ReasonSlow && !c.over {
			if behind := w.model.behind(c); behind <= w.room.cfg.LagLimit {
				return fmt.Errorf("client %d ended as slow, %d octets behind", c.id, behind)
			}
			w.model.end(c)
		}
		if closing != c.over {
			return fmt.Errorf("client %d: closing %v (%v), the model says %v", c.id, closing, why, c.over)
		}
		if err := w.givenUp(c); err != nil {
			return err
		}
		if behind := w.model.behind(c); !c.over && behind > 20*w.room.cfg.LagLimit+8192 {
			return fmt.Errorf("client %d is %d octets behind and not ended", c.id, behind)
		}
	}
	return nil
}

// givenUp looks whether a client that is ending was given up, and had to be.
func (w *world) givenUp(c *simClient) error {
	switch {
	case !c.over || c.silent:
		return nil
	case c.ended.IsZero():
		c.ended = w.now
	}
	if !c.session.silent {
		return nil
	}
	c.silent = true
	if kept := w.model.kept(c); kept <= w.room.cfg.LagLimit && !w.now.After(c.ended.Add(farewell)) {
		return fmt.Errorf("client %d was given up %v after its end, %d octets kept", c.id, w.now.Sub(c.ended), kept)
	}
	return nil
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
		if !c.was && !c.over {
			pending++
		}
	}
	c := &simClient{id: w.joined}
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
	if w.slow && c.answer != nil {
		return // nothing waits while a burst of it could end somebody
	}
	var in []byte
	var done []string
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
		if len(c.unsent) == 0 {
			done = append(done, c.sending)
		}
		if w.slow || k < len(c.sending) {
			break
		}
	}
	// An unknown type ends a client at its first octet, the frame unfinished.
	if len(c.unsent) > 0 && c.sending[0] > 3 {
		done = append(done, c.sending)
	}
	w.asked = c
	waited := c.answer != nil
	c.session.Feed(in)
	if !waited && c.answer != nil {
		w.feedModelUntilAsked(c, done)
		return
	}
	for _, f := range done {
		w.model.frame(c, f)
	}
}

// feedModelUntilAsked tells the model frames of which one is a login that is
// asked about: what follows waits.
func (w *world) feedModelUntilAsked(c *simClient, done []string) {
	answer := c.answer
	c.answer = nil
	for _, f := range done {
		w.model.frame(c, f)
		if f[0] == 1 && !c.over {
			c.answer = answer
		}
	}
}

// write takes some output of a client, sometimes only a part.
func (w *world) write(c *simClient) error {
	for range 1 + w.IntN(3) {
		p := c.session.Next()
		if p == nil {
			return nil
		}
		n := len(p)
		if w.IntN(2) == 0 {
			n = w.IntN(n + 1)
		}
		c.got = append(c.got, p[:n]...)
		c.session.Wrote(n)
	}
	return w.model.check(c, false)
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
}

func (w *world) tick() {
	w.now = w.now.Add(time.Duration(w.IntN(3000)) * time.Millisecond)
	w.room.Tick(w.now)
	for _, c := range w.clients {
		if !c.was && !c.over && w.now.After(c.deadline) {
			w.model.end(c, "\x01denied no login in time\x00", closeFrame)
		}
	}
}

// leave breaks a connection off. After a FIN what waits is still to be heard.
func (w *world) leave(c *simClient) {
	why := ReasonReset
	if w.IntN(3) > 0 {
		why = ReasonEOF
		c.parting = c.answer != nil && !c.over
	}
	if !c.parting {
		w.model.end(c)
	}
	c.session.Leave(why)
	c.session.Leave(ReasonReset)
	c.gone = true
}

// finish writes everything out, and looks that nothing is left.
func (w *world) finish() error {
	for _, c := range w.live() {
		for p := c.session.Next(); p != nil; p = c.session.Next() {
			c.got = append(c.got, p...)
			c.session.Wrote(len(p))
		}
		if err := w.compare(); err != nil {
			return err
		}
		if err := w.model.check(c, !c.silent); err != nil {
			return err
		}
		w.leave(c)
	}
	for _, c := range w.clients {
		if c.answer != nil {
			w.answer(c)
		}
	}
	if err := w.compare(); err != nil {
		return err
	}
	r := w.room
	st := r.Snapshot()
	var ends uint64
	for _, n := range st.Ends {
		ends += n
	}
	r.log.reclaim()
	switch {
	case ends != uint64(w.joined):
		return fmt.Errorf("%d clients joined, %d ends are counted", w.joined, ends)
	case st.Clients+st.Pending+st.Granted+len(r.ending)+len(r.names)+len(r.wakers) != 0:
		return fmt.Errorf("an empty room still holds %+v, names %v", st, r.names)
	case r.log.first != r.log.last || r.log.last.readers.Load() != 0:
		return fmt.Errorf("the log still has readers")
	}
	return nil
}
