package core

import (
	"fmt"
	"strings"
	"time"

	"chatbench/core/wire"
)

// model is a model of the chat at the level of whole frames: which frames each client
// has to receive. It shares no code with the room except constants.
type model struct {
	cfg    Config
	said   []string // every frame of the room, in order
	octets int      // of said
	names  map[string]*simClient
	spent  map[string]*simClient // who had a name last, for its allowance
	now    time.Time
	wrong  error // what the room let through and should not have
}

// simFrame is a frame of a client and where it ends in what the client sent.
type simFrame struct {
	text string
	end  int
}

// simClient is one client: what it still has to send, what it has to receive, and
// what it has received.
type simClient struct {
	id       int
	session  *Session
	name     string
	unsent   []byte     // of the frame that is being fed
	sending  string     // the frame that is being fed, for the model
	fed      int        // octets
	todo     []simFrame // fed, and not worked through
	answer   func(error)
	deadline time.Time

	lazy         bool      // takes little
	woken        bool      // since it was last asked for output
	refuses      bool      // took less than it was offered
	refusedSince time.Time // of the first Tick since which it refuses and is over its limit
	allowed      float64   // of flood control, in parts of 1/1024 frame
	allowedAt    time.Time // when that was right

	in        bool // in the room
	was       bool // has been in the room
	over      bool // closing: owed nothing new
	discarded bool // closing without a last word: any prefix will do
	ended     time.Time
	gone      bool // has left
	leaving   bool // and ends when its login is answered
	turned    bool // away: it never held a slot
	from, to  int  // of model.said; to counts when over
	private   []string
	final     []string
	got       []byte
}

// notice is a frame with a notice of the server.
func notice(text string) string { return "\x00server: " + text + "\x00" }

const closeFrame = "\x03\x00"

// end removes a client from the room.
func (m *model) end(c *simClient, final ...string) {
	if c.over {
		return
	}
	c.over, c.to, c.final = true, len(m.said), final
	c.discarded = len(final) == 0
	if c.in {
		delete(m.names, c.name)
		m.spent[c.name] = c
	}
	c.in = false
}

// work processes the frames of a client that do not wait in its session.
func (m *model) work(c *simClient) {
	until := c.fed - len(c.session.in.waiting)
	for len(c.todo) > 0 && c.todo[0].end <= until {
		f := c.todo[0].text
		c.todo = c.todo[1:]
		m.refill(c)
		if c.in && !c.over && m.cfg.Flood.Rate > 0 && c.allowed < -1 {
			m.wrong = fmt.Errorf("client %d: %q was let through with an allowance of %v", c.id, f, c.allowed)
		}
		m.frame(c, f)
		if c.over {
			c.todo = nil
		}
	}
}

// refill adds to the allowance of a client for the time that has passed.
func (m *model) refill(c *simClient) {
	c.allowed = min(c.allowed+m.now.Sub(c.allowedAt).Seconds()*m.cfg.Flood.Rate*1024, float64(m.cfg.Flood.Burst)*1024)
	c.allowedAt = m.now
}

// allowance is the current allowance of a client.
func (m *model) allowance(c *simClient) float64 {
	m.refill(c)
	return c.allowed
}

// frame processes a whole frame of a client.
func (m *model) frame(c *simClient, f string) {
	switch {
	case c.over:
	case f[0] > 3:
		m.end(c, notice("unknown frame type"), closeFrame)
	case f[0] == 3:
		m.end(c)
	case f[0] == 1 && c.in:
		m.end(c, notice("you are logged in already"), closeFrame)
	case f[0] == 1:
		c.name = strings.Fields(f[1:])[0]
	case !c.in:
		m.end(c, notice("log in first"), closeFrame)
	case f[0] == 0:
		text := f[1 : len(f)-1]
		text = strings.NewReplacer("\n", "\u2424", "\x1b", "\ufffd", "\u009b", "\ufffd").Replace(text)
		said := "\x00" + c.name + ": " + text + "\x00"
		m.said = append(m.said, said)
		m.octets += len(said)
		c.allowed -= 1024 + 4*float64(len(said))
	default:
		m.file(c, f)
	}
}

func (m *model) file(c *simClient, f string) {
	body := f[2 : len(f)-1]
	to, rest := body, ""
	if cmd := f[1]; cmd != 0 && cmd != 1 && cmd != 3 {
		to, rest, _ = strings.Cut(body, " ")
		rest = " " + rest
		if rest == " " {
			m.end(c, notice("malformed file frame"), closeFrame)
			return
		}
	}
	target := m.names[to]
	if target == nil {
		c.private = append(c.private, notice("No such user: "+to))
		c.allowed -= fileCost(f) + float64(len("No such user: "+to))
		return
	}
	frames := []string{f[:2] + c.name + rest + "\x00"}
	if f[1] == byte(wire.DnNack) {
		frames = append(frames, notice("File not found:"+rest))
	}
	target.private = append(target.private, frames...)
	c.allowed -= fileCost(f) + float64(size(frames))
}

// fileCost is the cost of a File frame without its octets.
func fileCost(f string) float64 {
	if f[1] == 0 || f[1] == 4 {
		return 1024 / 4
	}
	return 1024 / 64
}

// decided applies an Authenticator's answer.
func (m *model) decided(c *simClient, err error) {
	c.answer = nil
	switch {
	case c.over:
	case err != nil:
		m.end(c, "\x01denied "+err.Error()+"\x00", closeFrame)
	case m.names[c.name] != nil:
		m.end(c, "\x01denied name is taken\x00", closeFrame)
	default:
		c.in, c.was, c.from = true, true, len(m.said)
		m.names[c.name] = c
		c.private = append(c.private, "\x01granted\x00")
		c.allowed, c.allowedAt = float64(m.cfg.Flood.Burst)*1024, m.now
		if last := m.spent[c.name]; last != nil {
			c.allowed, c.allowedAt = last.allowed, last.allowedAt
		}
	}
}

// part ends a client that has left, if all its input is processed.
func (m *model) part(c *simClient) {
	if c.leaving && c.answer == nil && c.session.in.heldFor == notHeld {
		m.end(c)
	}
}

// check compares what a client has received with what it has to receive. whole says
// that all of it must have been received.
func (m *model) check(c *simClient, whole bool) error {
	room, private, final := m.owed(c), c.private, c.final
	var d wire.Decoder
	d.Max = 1 << 20
	rest := c.got
	for {
		before := rest
		_, after, ok, err := d.Next(rest)
		if err != nil {
			return fmt.Errorf("client %d: undecodable output %q: %v", c.id, before, err)
		}
		if !ok {
			break
		}
		f := string(before[:len(before)-len(after)])
		rest = after
		switch {
		case len(private) > 0 && f == private[0]:
			private = private[1:]
		case len(room) > 0 && f == room[0]:
			room = room[1:]
		case len(room) == 0 && len(final) > 0 && f == final[0]:
			final = final[1:]
		default:
			return fmt.Errorf("client %d: got %q; owed next: room %.1q, private %.1q, last %q", c.id, f, room, private, final)
		}
	}
	if held := c.got[len(c.got)-d.Held():]; len(held) > 0 && whole {
		return fmt.Errorf("client %d: half a frame at the end: %q", c.id, held)
	}
	if whole && len(room)+len(private)+len(final) > 0 {
		return fmt.Errorf("client %d: still owed %q %q %q", c.id, room, private, final)
	}
	return nil
}

// owed is the frames that the room has said to a client.
func (m *model) owed(c *simClient) []string {
	switch {
	case !c.was:
		return nil
	case c.over:
		return m.said[c.from:c.to]
	}
	return m.said[c.from:]
}

// behind is how many octets were not written to a client yet.
func (m *model) behind(c *simClient) int {
	return size(m.owed(c)) + size(c.private) - len(c.got)
}

// kept is how many octets of the log and of private frames are kept for a closing client.
func (m *model) kept(c *simClient) int {
	return size(m.said[c.from:]) + size(c.private) - len(c.got)
}

func size(frames []string) int {
	n := 0
	for _, f := range frames {
		n += len(f)
	}
	return n
}
