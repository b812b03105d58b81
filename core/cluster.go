package core

import (
	"bytes"
	"errors"
	"sync/atomic"
	"time"

	"chatbench/core/wire"
)

// A room can be on several servers at once, each with a Room of its own. A stream that
// all servers share then orders what their clients say, not the log of one server:
//
//   - What clients say is not appended to the log, but gathered into messages. Outgoing
//     returns the oldest one, which is to be published to the stream.
//   - Deliver takes the messages that the stream delivers, in the order of the stream, on
//     every server, including the one that published them. Only these go to the log.
//
// So every log has the same frames in the same order, except for notices of one server
// alone. A server publishes one message at a time, and the next one when the stream has
// delivered it. With several in flight one could be lost and published again behind the
// next, and a client's lines would change their order. While a message is in flight the
// next one grows: the busier the servers, the more frames share a message.
//
// A message may be published again until it is delivered. It carries its server and a
// number, and each number is accepted once.

// MessageMax bounds a message between servers, in octets.
const MessageMax = 64 << 10

// LargestClusterFrame bounds Config.MaxFrame of a room on several servers, in octets: a
// frame whose text has grown because it was made safe must fit into one message.
const LargestClusterFrame = 20 << 10

// outgoingMessages is how many full messages may wait to be delivered. Beyond that, 1
// MiB, the input of clients that go on talking waits.
const outgoingMessages = 16

// maxNodes bounds the servers whose last number is kept. A server that is started again
// counts as another one.
const maxNodes = 1000

// Cluster connects a room with its parts on other servers: it publishes messages,
// makes sure that a name is in the room only once, and forwards frames.
//
// No method may block. Those that are called under the room's lock must not call the
// room; the others may, before they return or later, from any goroutine.
type Cluster interface {
	// Wake says that there is a message to publish: Room.Outgoing returns it. It is called
	// under the room's lock, once for each message.
	Wake()
	// Claim decides whether a client may have its name, as an Authenticator decides
	// whether it may log in: it calls l.Answer exactly once. An answer of nil means that
	// nobody has the name on any server, and that nobody gets it until Release. l has
	// no password.
	Claim(l *Login)
	// Release releases a name that was claimed. It is called under the room's lock, or
	// after a claim that was granted too late.
	Release(folded string)
	// RemoteNames returns the names of some clients on other servers, and how many clients
	// there are. The names together have at most as many octets as asked for, where each name counts
	// 2 more. It is called under the room's lock.
	RemoteNames(octets int) (names []string, n int)
	// Forward sends frames to the server of their addressee, which calls
	// Room.TakeForward, and calls f.Answer exactly once. It is called with the input of a
	// session locked: f.Answer may be called at once, but nothing else of the core.
	Forward(f *Forward)
}

// outgoing is what clients of this server have said and the stream has not delivered
// yet. The room's lock guards it.
type outgoing struct {
	messages [][]byte     // whole frames, the oldest message first
	number   uint64       // of the oldest message, or of the next one if there is none
	taken    bool         // Outgoing has returned the oldest message, which does not change any more
	octets   atomic.Int64 // of all messages; any goroutine may read it
	spare    [][]byte     // buffers for messages
	waiting  []*Session   // sessions whose input waits until more is delivered
}

// sequence is what the stream has delivered. The room's lock guards it.
type sequence struct {
	last  uint64 // position in the stream of the last delivered message; 0: none yet
	nodes map[string]delivered
}

// delivered is the last delivered message of a server.
type delivered struct{ number, sequence uint64 }

func (cfg Config) checkCluster() {
	switch {
	case cfg.Cluster == nil:
	case cfg.Node == "":
		panic("core: a room with a Cluster needs Config.Node")
	case cfg.MaxFrame > LargestClusterFrame:
		panic("core: Config.MaxFrame over LargestClusterFrame")
	}
}

// messageMax is MessageMax, or less where the chunks of the log are smaller.
func (r *Room) messageMax() int { return min(MessageMax, r.log.chunkSize) }

// maxOutgoing is how many octets may wait to be delivered.
func (r *Room) maxOutgoing() int64 { return int64(outgoingMessages * r.messageMax()) }

// sayEverywhere says frames to the room on all servers.
func (r *Room) sayEverywhere(frames []byte) {
	if r.cfg.Cluster == nil {
		r.say(frames)
		return
	}
	r.submit(frames)
}

// submit queues frames to be published. They must fit into one message.
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

// Outgoing appends to dst the message that is to be published next, and returns its
// number; 0 if there is none. Until the message is delivered, Outgoing returns it again,
// unchanged and with the same number, so it may be published several times. Cluster.Wake
// announces the next one. Any goroutine may call it, one at a time.
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

// Undelivered is how many octets clients of this server have said and the stream has not
// delivered yet.
func (r *Room) Undelivered() int64 { return r.outgoing.octets.Load() }

// waitForStream makes the input of a session wait until the stream has delivered more. It
// returns false if the session need not wait.
func (s *Session) waitForStream() bool {
	r := s.room
	if r.Undelivered() < r.maxOutgoing() {
		return false
	}
	r.mu.Lock()
	defer r.unlock()
	if r.Undelivered() < r.maxOutgoing() {
		return false
	}
	r.outgoing.waiting = append(r.outgoing.waiting, s)
	r.stats.StreamWaits++
	return true
}

// confirm removes a delivered message from those to be published. When half is delivered
// it resumes the sessions that wait.
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
	if len(o.waiting) > 0 && r.Undelivered() <= r.maxOutgoing()/2 {
		waiting := o.waiting
		o.waiting = nil
		for _, s := range waiting {
			r.letResume(s)
		}
	}
}

// Delivery is a message as the stream delivered it.
type Delivery struct {
	Sequence uint64    // its position in the stream: 1, 2, 3 and so on
	At       time.Time // when the stream accepted it
	Node     string    // Config.Node of the room that published it
	Number   uint64    // from Outgoing
	Frames   []byte    // Deliver does not keep it
}

// ErrDelivery means that no room can have published a message.
var ErrDelivery = errors.New("core: a message of the stream is not whole frames of chat")

// missedText is the notice for clients that cannot be sent all that was said.
const missedText = "this server has missed some of what was said: log in again"

// Deliver takes a message that the stream has delivered. It is called in the order of the
// stream, by one goroutine at a time. It ignores messages that were delivered before. If
// there is a gap in the sequence, the room has missed messages: everybody in it is told
// so and kicked, and missed is the number of messages. A message that is not whole Chat
// frames is ignored, with ErrDelivery.
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

// NewStream says that deliveries come from another stream from now on. What was said at
// the end of the last one is unknown, so everybody in the room is told so and kicked.
func (r *Room) NewStream() {
	r.mu.Lock()
	defer r.unlock()
	r.sequence.last = 0
	r.kick(everybody, missedText)
}

// isNew says whether a message was not delivered before. A message can be in the stream
// twice, if its publisher did not learn that the stream had accepted it.
func (q *sequence) isNew(d Delivery) bool {
	before, known := q.nodes[d.Node]
	if d.Number <= before.number {
		return false
	}
	if q.nodes == nil {
		q.nodes = make(map[string]delivered)
	}
	if !known && len(q.nodes) >= maxNodes {
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

// noticePrefix begins the notices of the server.
var noticePrefix = []byte("\x00" + wire.ServerName + ": ")

// countSaid counts the frames of clients, without notices. whole says whether all are
// whole Chat frames.
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

// HasUnwritten says whether the transport still has to write more than so many octets of
// the log to some client that is not slow. The caller of Deliver then waits for a moment,
// so that messages do not arrive faster than the transport writes them. HasUnwritten looks
// at every client: it takes a few microseconds for each thousand, under the lock.
func (r *Room) HasUnwritten(octets int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for s := r.granted.first; s != nil; s = s.next {
		if r.behind(s) > octets && !s.refused.Load() {
			return true
		}
	}
	return false
}

// TellLocal is Tell, but only for the clients of this server.
func (r *Room) TellLocal(text string) {
	notice := wire.AppendNotice(nil, noticeText(text))
	r.mu.Lock()
	defer r.unlock()
	if r.granted.n > 0 {
		r.say(notice)
	}
}

// remoteNames is Cluster.RemoteNames, or none without a Cluster.
func (r *Room) remoteNames(octets int) (names []string, n int) {
	if r.cfg.Cluster == nil {
		return nil, 0
	}
	return r.cfg.Cluster.RemoteNames(octets)
}
