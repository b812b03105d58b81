package loadgen

import (
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"chatbench/core/wire"
	"chatbench/loadgen/message"
)

// room is a small and correct broadcast server, unless a test makes it damage
// deliveries, stall, or break the protocol.
type room struct {
	net.Listener
	script   message.Script
	messages uint64 // of each sender in the whole run: the last of them is not held back

	damage string // drop, duplicate, reorder, alter
	all    bool   // for everybody alike, or for one at a time
	deaf   bool   // says nothing at all
	deny   string // what a login is answered with instead
	cutAt  int    // after so many messages the first member is closed
	stall  func(said int) time.Duration

	sync.Mutex
	random  *rand.Rand
	members []*member
	names   map[string]*member
	passed  int    // file frames
	mute    bool   // none of them is passed on
	common  member // whose stream everybody gets when all are damaged alike
	said    int
	done    uint64 // damages done, in deliveries

	// damagedCommand is the kind of file frames of which one is damaged.
	damagedCommand wire.Command
	spoiled        bool

	// odd, if set, says which clients see two messages of different senders in the other order.
	odd   func(name string) bool
	early []byte // the first of the two, as long as it is held back
}

type member struct {
	conn  net.Conn
	name  string
	queue []byte
	held  map[uint64][]byte // of a sender: a frame that comes after its next
	more  *sync.Cond
	gone  bool
}

const damageOdds = 1e-5

// newRoom starts a room that set has configured.
func newRoom(t *testing.T, seed uint64, set func(*room)) *room {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &room{Listener: l, random: rand.New(rand.NewPCG(seed, 7)), names: make(map[string]*member), common: member{held: map[uint64][]byte{}}}
	t.Cleanup(func() { l.Close() })
	set(r)
	go r.accept(r.Listener) // set may have put TLS before it
	return r
}

func (r *room) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go r.serve(conn)
	}
}

// addListener adds an address of the room, as if it were on one more server.
func (r *room) addListener(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go r.accept(l)
	return l.Addr().String()
}

func (r *room) serve(conn net.Conn) {
	defer conn.Close()
	m := &member{conn: conn, held: map[uint64][]byte{}, more: sync.NewCond(&r.Mutex)}
	defer func() {
		r.Lock()
		m.gone = true
		m.more.Signal()
		r.Unlock()
	}()
	var decoder wire.Decoder
	buf, name := make([]byte, 64<<10), ""
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		for in := buf[:n]; ; {
			f, rest, ok, err := decoder.Next(in)
			if err != nil {
				return
			}
			if !ok {
				break
			}
			in = rest
			switch f.Type {
			case wire.Cred:
				user, _ := wire.SplitName(f.Body)
				name = string(user)
				if !r.join(m, name) {
					return
				}
			case wire.Chat:
				r.say(wire.AppendSaid(nil, name, f.Body))
			case wire.File:
				r.pass(name, f)
			case wire.Close:
				return
			}
		}
	}
}

func (r *room) join(m *member, name string) bool {
	r.Lock()
	defer r.Unlock()
	if r.deny != "" {
		m.conn.Write(wire.AppendClose(wire.AppendDenied(nil, r.deny)))
		return false
	}
	m.name = name
	m.queue = wire.AppendNotice(wire.AppendGranted(wire.AppendNotice(m.queue, "hello")), "welcome")
	r.members = append(r.members, m)
	r.names[name] = m
	go r.write(m)
	return true
}

func (r *room) write(m *member) {
	for {
		r.Lock()
		for len(m.queue) == 0 && !m.gone {
			m.more.Wait()
		}
		out := m.queue
		m.queue = nil
		r.Unlock()
		if len(out) == 0 {
			return
		}
		if _, err := m.conn.Write(out); err != nil {
			return
		}
	}
}

// say sends everybody a frame, damaged from time to time and at least once.
func (r *room) say(frame []byte) {
	r.Lock()
	defer r.Unlock()
	r.said++
	if r.deaf {
		return
	}
	if r.stall != nil {
		time.Sleep(r.stall(r.said))
	}
	victim := -1
	if r.said == 150 {
		victim = r.random.IntN(len(r.members))
	}
	if r.all {
		out := r.damageFrame(&r.common, frame, victim >= 0, uint64(len(r.members)))
		for _, m := range r.members {
			m.queue = append(m.queue, out...)
			m.more.Signal()
		}
		return
	}
	swapped := r.swap(frame)
	for i, m := range r.members {
		if r.odd != nil && r.odd(m.name) {
			m.queue = append(m.queue, swapped...)
		} else {
			m.queue = append(m.queue, r.damageFrame(m, frame, i == victim, 1)...)
		}
		m.more.Signal()
	}
	if r.said == r.cutAt {
		m := r.members[0]
		m.queue = wire.AppendClose(wire.AppendNotice(m.queue, "you are too slow"))
	}
}

// swap returns what odd clients get: from the 150th message on, the first one that has another
// sender than its successor is sent after its successor, once.
func (r *room) swap(frame []byte) (out []byte) {
	sender := func(frame []byte) string { return string(frame[1 : 1+message.NameLen]) }
	switch {
	case r.odd == nil || r.said < 150 || r.said > 150 && r.early == nil:
		return frame
	case r.early == nil:
		r.early = frame
		return nil
	case sender(r.early) == sender(frame):
		out, r.early = r.early, frame
		return out
	}
	out = append(append(out, frame...), r.early...)
	r.early = nil
	return out
}

// damageFrame returns what a member gets for a frame. Damage counts n times.
func (r *room) damageFrame(m *member, frame []byte, must bool, n uint64) (out []byte) {
	if r.damage == "" {
		return frame
	}
	sender, seq, ok := r.script.ParseBroadcast(frame)
	if !ok {
		panic("no message: " + string(frame))
	}
	held := m.held[sender]
	delete(m.held, sender)
	if held == nil && seq+1 < r.messages && (must || r.random.Float64() < damageOdds) {
		r.done += n
		switch r.damage {
		case "drop":
			return nil
		case "duplicate":
			return append(append(out, frame...), frame...)
		case "reorder":
			m.held[sender] = frame
			return nil
		case "alter":
			out = append(out, frame...)
			out[r.random.IntN(len(out))] ^= byte(1 + r.random.IntN(255))
			return out
		}
	}
	return append(append(out, frame...), held...)
}

// damages is how many deliveries were damaged.
func (r *room) damages() uint64 {
	r.Lock()
	defer r.Unlock()
	return r.done
}

// pass forwards a file frame, damaged once in a run if the room has to.
func (r *room) pass(from string, f wire.Frame) {
	r.Lock()
	defer r.Unlock()
	name, rest := f.Body, []byte(nil)
	if f.Command != wire.LsReq && f.Command != wire.LsStart && f.Command != wire.LsEnd {
		name, rest = wire.SplitName(f.Body)
	}
	to := r.names[string(name)]
	frame := wire.AppendFile(nil, f.Command, from, rest)
	if f.Command == wire.DnNack && r.damage != "no notice" {
		frame = wire.AppendNotice(frame, "File not found: "+string(rest[1:]))
	}
	r.passed++
	if r.mute {
		return
	}
	if held := to.held[0]; held != nil {
		frame = append(frame, held...)
		delete(to.held, 0)
	}
	if r.passed >= 100 && f.Command == r.damagedCommand && !r.spoiled {
		r.spoiled = true
		switch r.damage {
		case "drop":
			return
		case "duplicate":
			frame = append(frame, frame...)
		case "reorder":
			to.held[0] = frame
			return
		case "alter":
			frame[len(frame)-2] ^= 1
		case "misroute":
			to = r.members[(r.random.IntN(len(r.members)))]
			for to == r.names[string(name)] {
				to = r.members[(r.random.IntN(len(r.members)))]
			}
		}
	}
	to.queue = append(to.queue, frame...)
	to.more.Signal()
}
