package backendtest

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"chatbench/core/wire"
)

var hostileScenarios = []scenario{
	{"hostile-amplified-burst", amplifiedBurst},
	{"hostile-file-flood", fileFlood},
	{"hostile-steady-talker", steadyTalker},
	{"hostile-costly-names", costlyNames},
	{"hostile-abandoned-logins", abandonedLogins},
	{"hostile-login-storm", loginStorm},
}

const (
	// burstLag is core.Config.LagMax of amplifiedBurst: a client that is further behind
	// is ended. burstOctets become 60 KiB more than that in the room, so a transport
	// that feeds all of them before it writes fails. One that writes in between does
	// not fail, even if a client had no chance to read: the kernel buffers 64 KiB for
	// it, if only in a pipe.
	burstLag    = 2 << 20
	burstOctets = 62 << 10
	// burstTime is so long that no client is ended as slow because a busy machine does
	// not schedule it, or its process.
	burstTime = time.Minute
	// floodLag is the lag limit of fileFlood, and floodAhead how far its sender may be
	// ahead of the receiver. With them the room never has to make the sender wait.
	floodLag   = 8 << 20
	floodAhead = 1 << 20
)

// amplifiedBurst: clients with long names send bursts of empty messages, of two octets
// that become 68 for everybody: one client after the other, all at once, and one right
// before its FIN. No client that reads is ended, and all receive the same: every message
// of every talker.
func amplifiedBurst(h *harness) {
	const talkers, readers, messages = 4, 24, burstOctets / 2
	r := h.open(func(s *settings) { s.room.LagMax, s.room.LagTime = burstLag, burstTime })
	var clients []*client
	for i := range talkers {
		clients = append(clients, r.login(strings.Repeat("x", 63)+string(rune('a'+i))))
	}
	talking := clients[:talkers]
	clients = append(clients, r.logins("r", readers)...)
	frame := len(wire.AppendSaid(nil, talking[0].name, nil))
	heard := make([]*tally, len(clients))
	for i, c := range clients {
		heard[i] = c.tally(frame)
	}
	said := 0
	burst := func(each int, who ...*client) {
		talkAll(r, who, func(c *client) error { return c.trySend(bytes.Repeat(wire.AppendChat(nil, ""), each)) })
		said += len(who) * each
		// Everybody catches up before the next burst.
		for i, t := range heard {
			r.eventually(func() bool { return t.ended.Load() || t.octets.Load() >= int64(said*frame) }, "%s hears all", clients[i].name)
			if t.octets.Load() != int64(said*frame) {
				r.Fatalf("%s: after %d of %d octets: %v; %s", clients[i].name, t.octets.Load(), said*frame, t.last, endCounts(r.room.Snapshot()))
			}
		}
	}
	for _, c := range talking {
		burst(messages, c)
	}
	burst(messages/talkers, talking...)
	leaver := r.login(strings.Repeat("x", 63) + "z")
	go leaver.drainAll()
	leaver.send(bytes.Repeat(wire.AppendChat(nil, ""), messages))
	leaver.finish()
	said += messages
	burst(0)
	for _, c := range clients {
		c.finish()
	}
	for i, t := range heard {
		if <-t.done; t.sum != heard[0].sum {
			r.Fatalf("%s and %s did not receive the same", clients[0].name, clients[i].name)
		}
	}
	for i, c := range talking {
		if got := heard[0].said['a'+i]; got != messages+messages/talkers {
			r.Errorf("%d messages of %s were received", got, c.name)
		}
	}
}

// tally counts what a client is sent, reading as fast as the kernel allows: nothing is
// decoded.
type tally struct {
	octets atomic.Int64
	ended  atomic.Bool // last is set
	last   error
	done   chan struct{}
	sum    uint32   // after done
	said   [256]int // empty messages by the last octet of the name; after done
}

// tally reads empty messages, of frame octets each, to the end of the stream.
func (c *client) tally(frame int) *tally {
	t := &tally{done: make(chan struct{})}
	last := frame - len(": \x00") - 1 // octet of the name
	go func() {
		defer close(t.done)
		at := 0 // in a frame
		for buf := make([]byte, 64<<10); ; {
			n, err := c.conn.Read(buf)
			t.sum = crc32.Update(t.sum, crc32.IEEETable, buf[:n])
			for i := (last - at + frame) % frame; i < n; i += frame {
				t.said[buf[i]]++
			}
			at = (at + n) % frame
			c.got += int64(n)
			t.octets.Add(int64(n))
			if err != nil {
				t.last = err
				t.ended.Store(true)
				return
			}
		}
	}()
	return t
}

// fileFlood: one client sends another file frames as fast as it reads them. Others who
// talk meanwhile do not wait long, and every frame arrives in order.
func fileFlood(h *harness) {
	const rounds, worst = 40, worstEcho
	r := h.open(func(s *settings) { s.room.LagLimit = floodLag })
	from, to := r.login("from"), r.login("to")
	talkers := r.logins("t", 3)
	f := r.flood(from, to)
	r.eventually(func() bool { return f.came.Load() > 1000 }, "the flood runs")
	longest := make([]time.Duration, len(talkers))
	talkAll(r, talkers, func(c *client) (err error) {
		i := c.name[1] - '0'
		longest[i], err = c.echoes(rounds)
		return err
	})
	f.stop.Store(true)
	sent, came := f.end()
	if sent != came {
		r.Errorf("%d file frames were sent and %d came", sent, came)
	}
	r.Logf("a client waited %v at worst for its own message", slices.Max(longest))
	for i, took := range longest {
		if took > worst {
			r.Errorf("%s waited %v for its own message", talkers[i].name, took)
		}
	}
}

// floodNumbers is how many different file frames a flood repeats. They are made before
// it begins.
const floodNumbers = 1000

// fileStream is a client that sends file frames and another that reads them.
type fileStream struct {
	rig            *rig
	stop           atomic.Bool
	sent, came     atomic.Int64
	sending, heard chan error
}

// flood has one client send numbered file frames to another.
func (r *rig) flood(from, to *client) *fileStream {
	f := &fileStream{rig: r, sending: make(chan error, 1), heard: make(chan error, 1)}
	go func() { f.sending <- f.send(from, to.name) }()
	go func() { f.heard <- f.hear(to, from.name) }()
	return f
}

// send sends frames until stop is set, and then LsEnd.
func (f *fileStream) send(c *client, to string) error {
	var batch []byte
	for i := range floodNumbers {
		batch = wire.AppendFile(batch, wire.LsBody, to, fmt.Appendf(nil, " file %d", i))
	}
	for !f.stop.Load() {
		if f.sent.Load()-f.came.Load() > floodAhead/int64(len(batch))*floodNumbers {
			time.Sleep(100 * time.Microsecond)
			continue
		}
		if err := c.trySend(batch); err != nil {
			return fmt.Errorf("%s: send: %w", c.name, err)
		}
		f.sent.Add(floodNumbers)
	}
	return c.trySend(wire.AppendFile(nil, wire.LsEnd, to, nil))
}

// hear reads up to the last frame. It decodes in place, to be fast.
func (f *fileStream) hear(c *client, from string) error {
	var due [floodNumbers][]byte
	for i := range due {
		due[i] = fmt.Appendf(nil, "%s file %d", from, i)
	}
	buf, came := make([]byte, 128<<10), 0
	for {
		n, err := c.conn.Read(buf)
		c.got += int64(n)
		for in := buf[:n]; ; {
			frame, rest, whole, wrong := c.dec.Next(in)
			if in = rest; !whole || wrong != nil {
				break
			}
			switch want := due[came%floodNumbers]; {
			case frame.Type == wire.Chat:
			case frame.Type == wire.File && frame.Command == wire.LsEnd:
				f.came.Store(int64(came))
				return nil
			case !bytes.Equal(frame.Body, want):
				return fmt.Errorf("%s: was sent %s, want frame %d, %q", c.name, show(frame), came, want)
			default:
				came++
			}
		}
		f.came.Store(int64(came))
		if err != nil {
			return fmt.Errorf("%s: after %d file frames: %w", c.name, came, err)
		}
	}
}

// end waits for both clients, and returns how many frames they sent and read.
func (f *fileStream) end() (sent, came int64) {
	f.rig.Helper()
	for _, c := range []chan error{f.sending, f.heard} {
		if err := <-c; err != nil {
			f.rig.Fatalf("%v; %s", err, endCounts(f.rig.room.Snapshot()))
		}
	}
	return f.sent.Load(), f.came.Load()
}

// echoes says something again and again, waits each time until it comes back, and
// returns the longest of these waits.
func (c *client) echoes(rounds int) (longest time.Duration, err error) {
	for i := range rounds {
		text := fmt.Sprintf("no %d", i)
		began := time.Now()
		if err := c.trySend(wire.AppendChat(nil, text)); err != nil {
			return 0, err
		}
		for heard := false; !heard; {
			f, err := c.read()
			if err != nil {
				return 0, fmt.Errorf("message %d: %w", i, err)
			}
			heard = f.Type == wire.Chat && string(f.Body) == c.name+": "+text
		}
		longest = max(longest, time.Since(began))
	}
	return longest, nil
}
