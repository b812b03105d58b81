package core

import (
	"bytes"
	"errors"
	"sync/atomic"
	"time"

	"chatbench/core/wire"
)

// A room can be on several servers at once, each with a Room of its own. What their
// clients say then gets its order from a stream that all servers share, not from the
// log of any one of them:
//
//   - what clients say is not appended to the log, but gathered into messages. Outgoing
//     gives the oldest one, which is to be published to the stream;
//   - Deliver takes in what the stream delivers, on every server, the publisher's too,
//     in the order of the stream. Only that goes to the log.
//
// So every log has the same frames in the same order, but for notices of one server
// alone. A server publishes one message at a time, and the next when the stream has
// delivered that: if several were on their way, one could be lost and published again
// behind the next, and a client's words would change their order. While one is on its
// way the next one grows, so that the busier the servers, the more frames share a message.
//
// A message may be published again as long as it was not delivered. It carries its
// server and a number, and what has been delivered is not taken twice.

// MessageMax bounds a message between servers, in octets.
const MessageMax = 64 << 10

// LargestShared bounds Config.MaxFrame of a room on several servers, in octets: what a
// frame may grow to once its text is made safe has to fit into one message.
const LargestShared = 20 << 10

// outgoingMessages is how many messages' worth of octets may wait to be delivered,
// until the input of those who go on talking waits: 1 MiB.
const outgoingMessages = 16

// nodesMost bounds the servers of which the last number is kept. A server that is
// started again counts as another.
const nodesMost = 1000

// Cluster is what a room on several servers asks of the outside: to publish what is
// said, to see to it that a name is there once, and to pass frames on.
//
// No method may block. Those that are called under the room's lock may not call the
// room; the others may, before they return or later, from any goroutine.
type Cluster interface {
	// Wake says that there is a message to be published: Room.Outgoing gives it. It is
	// called under the room's lock, once for each message.
	Wake()
	// Claim decides whether a client may have its name, as an Authenticator decides
	// whether it may log in: it calls l.Answer exactly once. An answer of nil means that
	// nobody has the name on any server, and that nobody gets it until Release. l has
	// no password.
	Claim(l *Login)
	// Release gives a name back that was claimed. It is called under the room's lock, or
	// after a claim that was granted too late.
	Release(folded string)
	// Elsewhere is who is in the room by way of other servers: how many those are, and
	// the names of some, of at most so many octets and 2 for each. It is called under
	// the room's lock.
	Elsewhere(octets int) (names []string, n int)
	// Forward passes frames on to the server of their addressee, where Room.TakeForward
	// takes them, and calls f.Answer exactly once. It is called with the input of a
	// session locked: f.Answer may be called at once, but nothing else of the core.
	Forward(f *Forward)
}

// outgoing is what clients of this server have said that the stream has not delivered
// yet. The room's lock guards it.
type outgoing struct {
	messages [][]byte     // whole frames, the oldest message first
	number   uint64       // of the oldest message, or the next one if there is none
	taken    bool         // the oldest message was given out, and stays as it is
	octets   atomic.Int64 // of all messages; any goroutine may look
	spare    [][]byte     // buffers for messages
	waiting  []*Session   // whose input waits until more is delivered
}

// sequence is what the stream has delivered. The room's lock guards it.
type sequence struct {
	last  uint64 // place in the stream of what was delivered last; 0: nothing yet
	nodes map[string]delivered
}

// delivered is the last message of a server.
type delivered struct{ number, sequence uint64 }

func (cfg Config) checkCluster() {
	switch {
	case cfg.Cluster == nil:
	case cfg.Node == "":
		panic("core: a room with a Cluster needs Config.Node")
	case cfg.MaxFrame > LargestShared:
		panic("core: Config.MaxFrame over LargestShared")
	}
}

// messageMax is MessageMax, or less where the chunks of the log are smaller.
func (r *Room) messageMax() int { return min(MessageMax, r.log.chunkSize) }

// outgoingMost is how many octets may wait to be delivered.
func (r *Room) outgoingMost() int64 { return int64(outgoingMessages * r.messageMax()) }

// sayEverywhere says frames to the room on all servers.
func (r *Room) sayEverywhere(frames []byte) {
	if r.cfg.Cluster == nil {
		r.say(frames)
		return
	}
	r.submit(frames)
}

// submit adds frames to what is to be published. They fit into one message.
func (r *Room) submit(frames []byte) {
	o := &r.outgoing
	last := len(o.messages) - 1
	if last < 0 || last == 0 && o.taken || len(o.messages[last])+len(frames) > r.messageMax() {
		var message []byte
		if k := len(o.spare); k > 0 {
			message, o.spare = o.spare[k-1], o.spare[:k-1]
		}
		o.messages = append(o.messages, message)
		last++
		if last == 0 {
			r.cfg.Cluster.Wake()
		}
	}
	o.messages[last] = append(o.messages[last], frames...)
	o.octets.Add(int64(len(frames)))
}

// Outgoing appends to dst the message that is to be published next, and gives the number
// that goes with it; 0 if there is none. Until the message has been delivered it is
// given again, unchanged, with the same number: it may be published as often as need be.
// Then Cluster.Wake tells of the next one. Any goroutine may call it, one at a time.
func (r *Room) Outgoing(dst []byte) (number uint64, message []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := &r.outgoing
	if len(o.messages) == 0 {
		return 0, dst
	}
	o.taken = true
	return o.number, append(dst, o.messages[0]...)
}

// Undelivered is how many octets the clients of this server have said that the stream
// has not delivered yet.
func (r *Room) Undelivered() int64 { return r.outgoing.octets.Load() }

// waitForStream lists a session as one whose input waits until more of what was said
// here has been delivered. It is false if there is room for more.
func (s *Session) waitForStream() bool {
	r := s.room
	if r.Undelivered() < r.outgoingMost() {
		return false
	}
	r.mu.Lock()
	defer r.unlock()
	if r.Undelivered() < r.outgoingMost() {
		return false
	}
	r.outgoing.waiting = append(r.outgoing.waiting, s)
	r.stats.StreamWaits++
	return true
}

// confirm takes a message of this server's that has been delivered off what is to be
// published, and lets those go on who wait once half is delivered.
func (r *Room) confirm(number uint64) {
	o := &r.outgoing
	if len(o.messages) == 0 || number != o.number {
		return
	}
	message := o.messages[0]
	o.octets.Add(-int64(len(message)))
	if len(o.spare) < outgoingMessages {
		o.spare = append(o.spare, message[:0])
	}
	n := copy(o.messages, o.messages[1:])
	o.messages[n] = nil
	o.messages = o.messages[:n]
	o.number, o.taken = o.number+1, false
	if n > 0 {
		r.cfg.Cluster.Wake()
	}
	if len(o.waiting) > 0 && r.Undelivered() <= r.outgoingMost()/2 {
		waiting := o.waiting
		o.waiting = nil
		for _, s := range waiting {
			r.letResume(s)
		}
	}
}

// Delivery is a message as the stream delivered it.
type Delivery struct {
	Sequence uint64    // its place in the stream, from 1: each message has the next one
	At       time.Time // when the stream took it
	Node     string    // Config.Node of the room that published it
	Number   uint64    // that Outgoing gave with it
	Frames   []byte    // is not kept
}

// ErrDelivery is the error of Deliver for what no room has published.
var ErrDelivery = errors.New("core: a message of the stream is not whole frames of chat")

// missedText is what those are told who cannot be given all that was said.
const missedText = "this server has missed some of what was said: log in again"

// Deliver takes in what the stream has delivered. It is called in the order of the
// stream, by one goroutine at a time. What was delivered before does nothing. If the
// sequence has a gap, the room has missed what stood there: everybody in it is told so
// and ended, and missed is how many messages it was. A message that is not whole frames
// of chat is left out, and the error says so.
func (r *Room) Deliver(d Delivery) (missed uint64, err error) {
	messages, whole := countSaid(d.Frames)
	if len(d.Frames) > r.messageMax() || !whole {
		err = ErrDelivery
	}
	r.mu.Lock()
	defer r.unlock()
	q := &r.sequence
	if d.Sequence <= q.last {
		return 0, nil
	}
	if q.last > 0 && d.Sequence > q.last+1 {
		missed = d.Sequence - q.last - 1
		r.kick(everybody, missedText)
	}
	q.last = d.Sequence
	if err != nil || !q.isNew(d) {
		return missed, err
	}
	if d.Node == r.cfg.Node {
		r.confirm(d.Number)
	}
	if len(d.Frames) > 0 {
		r.say(d.Frames)
	}
	r.stats.Messages += uint64(messages)
	if r.cfg.History > 0 {
		r.keep(d.Frames, messages, d.At)
	}
	return missed, nil
}

// NewStream says that what is delivered from now on is of another stream. Nobody knows
// what was said at the end of the last one, so everybody in the room is told and ended.
func (r *Room) NewStream() {
	r.mu.Lock()
	defer r.unlock()
	r.sequence.last = 0
	r.kick(everybody, missedText)
}

// isNew says whether a message was not delivered before, from another place in the
// stream: it was published twice if its publisher could not know that it had been taken.
func (q *sequence) isNew(d Delivery) bool {
	before, known := q.nodes[d.Node]
	if d.Number <= before.number {
		return false
	}
	if q.nodes == nil {
		q.nodes = make(map[string]delivered)
	}
	if !known && len(q.nodes) >= nodesMost {
		oldest := ""
		for node, at := range q.nodes {
			if oldest == "" || at.sequence < q.nodes[oldest].sequence {
				oldest = node
			}
		}
		delete(q.nodes, oldest)
	}
	q.nodes[d.Node] = delivered{d.Number, d.Sequence}
	return true
}

// noticePrefix is how the frames begin in which the server itself speaks.
var noticePrefix = []byte("\x00" + wire.ServerName + ": ")

// countSaid says how many frames of clients there are among frames, and whether those
// are whole frames of chat.
func countSaid(frames []byte) (n int, whole bool) {
	for len(frames) > 0 {
		end := bytes.IndexByte(frames[1:], 0)
		if frames[0] != byte(wire.Chat) || end < 0 {
			return n, false
		}
		if !bytes.HasPrefix(frames, noticePrefix) {
			n++
		}
		frames = frames[end+2:]
	}
	return n, true
}

// Unwritten says whether somebody in the room who takes all that it is offered has more
// than so many octets of the log still to be offered. Whoever delivers much then waits
// for a moment, so as not to outrun the transport. It looks at every client: a few
// microseconds for each thousand, under the lock.
func (r *Room) Unwritten(octets int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for s := r.granted.first; s != nil; s = s.next {
		if r.behind(s) > octets && !s.refused.Load() {
			return true
		}
	}
	return false
}

// TellHere is Tell, but only for those who are in the room by way of this server.
func (r *Room) TellHere(text string) {
	notice := wire.AppendNotice(nil, tellable(text))
	r.mu.Lock()
	defer r.unlock()
	if r.granted.n > 0 {
		r.say(notice)
	}
}

// elsewhere is who is in the room by way of other servers.
func (r *Room) elsewhere(octets int) (names []string, n int) {
	if r.cfg.Cluster == nil {
		return nil, 0
	}
	return r.cfg.Cluster.Elsewhere(octets)
}
