// Package ledger keeps the books of a broadcast: it is told what was sent,
// gets every octet that every receiver got, and says what was lost,
// duplicated, reordered or altered, and how long each delivery took.
//
// # How it checks everything and is fast
//
// The room has one order for everybody. The receiver that is ahead of all
// others (the leader) has its frames parsed, compared octet for octet with
// what the sender was to say, and laid down in the reference, a ring that
// holds the room's stream and the times of each message. All frames have one
// length, so a receiver's place in the stream is a number, and to check any
// other receiver is to compare its octets with those of the reference, many
// frames at once.
//
// A frame that is not the next one of its sender, octet for octet, never
// enters the reference. A receiver that gets other octets than the reference
// holds leaves it for good and has an account of its own per sender, frame by
// frame: slower, and as exact. A server without one order for everybody is
// measured that way too.
//
// # What it refuses
//
// It knows no sockets and reads no clock. It never resynchronises silently: to
// leave the reference is always accounted for in the Tally. It does not guess
// about a receiver that is further behind than its rings reach: ErrBehind.
//
// A Book belongs to one goroutine.
package ledger

import (
	"cmp"
	"errors"
	"math/bits"

	"chatbench/loadgen/hist"
	"chatbench/loadgen/message"
)

// What Receive can fail with.
var (
	ErrClosed = errors.New("ledger: the server sent CLOSE")
	ErrBehind = errors.New("ledger: a receiver is further behind than the ledger remembers")
)

// defaultReach is more than a server and two kernel buffers hold back for one client.
const defaultReach = 32 << 20

// stampsAtLeast is how many messages of each sender have their times remembered.
const stampsAtLeast = 64

// Config says what is going to be said, and who listens.
type Config struct {
	Script  message.Script
	Clients int
	Senders []int // the client who is sender 0, 1, …
	Window  int   // closed loop: at most so many messages of a sender are without their echo; 0: open loop
	Reach   int   // octets of the room's stream that are remembered; 0: 32 MiB
}

// Book is the ledger of one run.
type Book struct {
	script  message.Script
	frame   int // octets of a frame as received
	closed  bool
	sender  []int32  // of each client its number as a sender, or -1
	user    []uint64 // of each sender its number as a client
	scratch []byte   // a frame as it should be

	sent      []uint64 // messages of each sender that the kernel took: no others can arrive
	sentInAll uint64
	stamps    []stamp // a ring for each sender
	stampBits int

	reference reference
	echoes    []echoes
	receivers []receiver

	from, to  int64 // the timed section
	delivered uint64
	inTime    uint64
	notices   uint64

	// Latency of every delivery of a message due (closed loop: sent) in the
	// timed section, whenever it arrived: from when it was due, which is
	// empty in a closed loop, and from when it was sent.
	FromDue, FromSend *hist.Histogram
}

// stamp holds the times of one message.
type stamp struct{ due, sent int64 }

// receiver is one client's place in the room's stream.
type receiver struct {
	pos     uint64   // messages of the reference it has had
	account *account // not nil once it has left the reference
	notice  []byte   // what the server last told it
}

// New opens a book in which nothing is sent yet.
func New(c Config) *Book {
	b := &Book{
		script:    c.Script,
		frame:     c.Script.SaidLen(),
		closed:    c.Window > 0,
		sender:    make([]int32, c.Clients),
		user:      make([]uint64, len(c.Senders)),
		scratch:   make([]byte, c.Script.SaidLen()),
		sent:      make([]uint64, len(c.Senders)),
		receivers: make([]receiver, c.Clients),
		FromDue:   hist.New(),
		FromSend:  hist.New(),
	}
	for i := range b.sender {
		b.sender[i] = -1
	}
	for s, client := range c.Senders {
		b.sender[client], b.user[s] = int32(s), uint64(client)
	}
	reach := cmp.Or(c.Reach, defaultReach)
	each := max(reach/32/max(len(c.Senders), 1), stampsAtLeast, 2*c.Window)
	b.stampBits = bits.Len(uint(each - 1))
	b.stamps = make([]stamp, len(c.Senders)<<b.stampBits)
	b.reference = newReference(b.frame, reach, len(c.Senders))
	if b.closed {
		b.echoes = newEchoes(len(c.Senders), c.Window)
	}
	return b
}

// Timed begins a timed section: from ≤ t < to. What was timed in the one before
// is forgotten; what was delivered is not.
func (b *Book) Timed(from, to int64) {
	b.from, b.to, b.inTime = from, to, 0
	b.FromDue.Reset()
	b.FromSend.Reset()
}

// Due notes when message seq of a sender is due; in an open loop only, before Sent.
func (b *Book) Due(sender int, seq uint64, due int64) { b.stampOf(sender, seq).due = due }

// DueAt is what Due noted.
func (b *Book) DueAt(sender int, seq uint64) int64 { return b.stampOf(sender, seq).due }

// Sent notes that the kernel took message seq of a sender. Messages of a
// sender are noted in their order, each before anything that arrives later is
// given to Receive.
func (b *Book) Sent(sender int, seq uint64, sent int64) {
	b.stampOf(sender, seq).sent = sent
	b.sent[sender] = seq + 1
	b.sentInAll++
}

// Reach is how many messages of one sender have their times remembered: no
// more may be due and not delivered.
func (b *Book) Reach() uint64 { return 1 << b.stampBits }

func (b *Book) stampOf(sender int, seq uint64) *stamp {
	return &b.stamps[sender<<b.stampBits|int(seq)&(1<<b.stampBits-1)]
}

// remembers says whether the times of a message are still there.
func (b *Book) remembers(sender int, seq uint64) bool {
	return b.sent[sender]-seq <= 1<<b.stampBits
}

// Missing is how many deliveries of what was sent are still to come.
func (b *Book) Missing() uint64 { return b.sentInAll*uint64(len(b.receivers)) - b.delivered }

// Messages counts what was sent.
func (b *Book) Messages() uint64 { return b.sentInAll }

// Delivered counts the deliveries so far: messages that came whole and
// unaltered, each once a receiver.
func (b *Book) Delivered() uint64 { return b.delivered }

// InTime counts those that arrived within the timed section, whenever they were sent.
func (b *Book) InTime() uint64 { return b.inTime }

// Notices counts the frames in which the server itself spoke.
func (b *Book) Notices() uint64 { return b.notices }

// Notice is what the server last told a client; empty if it said nothing.
func (b *Book) Notice(client int) string { return string(b.receivers[client].notice) }

// Echoed is how many of its own messages a sender has got back; in a closed
// loop only.
func (b *Book) Echoed(sender int) uint64 { return b.echoes[sender].count }

// arrive counts one delivery at now of the message with these times.
func (b *Book) arrive(t stamp, now int64) {
	b.delivered++
	if b.timed(now) {
		b.inTime++
	}
	if b.closed {
		if b.timed(t.sent) {
			b.FromSend.Record(now-t.sent, 1)
		}
	} else if b.timed(t.due) {
		b.FromSend.Record(now-t.sent, 1)
		b.FromDue.Record(now-t.due, 1)
	}
}

func (b *Book) timed(t int64) bool { return t >= b.from && t < b.to }
