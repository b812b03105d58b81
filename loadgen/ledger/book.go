// Package ledger keeps the books of a broadcast: it is told what was sent,
// is given every octet that every receiver got, and reports what was lost,
// duplicated, reordered or altered, and how long each delivery took.
//
// # How it checks everything and is fast
//
// The room has one order for everybody. The frames of the receiver that is ahead of all
// others (the leader) are parsed, compared octet for octet with
// what the sender had to say, and stored in the reference, a ring that
// holds the room's stream and the times of each message. All frames have one
// length, so a receiver's place in the stream is a number, and any
// other receiver is checked by comparing its octets with those of the reference, many
// frames at once.
//
// A frame that is not the next one of its sender, octet for octet, never
// enters the reference. A receiver whose octets differ from the reference
// leaves it for good and gets an account of its own for each sender, frame by
// frame: slower, and as exact. A server without one order for everybody is
// measured in that way too.
//
// # Several threads
//
// A room whose clients are driven by several threads has a book for each thread, with the
// clients of that thread as its receivers. Each book has a reference of its own, and checks in full what
// its leader got from all senders; what the senders have sent is in a SentLog that all books
// share. Each book keeps a digest of the order of its reference. Merge combines the books
// at the end: what was lost or wrong in any of them, and whether all
// saw the same order.
//
// # What it refuses
//
// It knows no sockets and reads no clock. It never resynchronises silently: the Tally always
// accounts for a receiver that leaves the reference. It does not guess
// about a receiver that is further behind than its rings reach: ErrBehind.
//
// A Book belongs to one goroutine.
package ledger

import (
	"cmp"
	"errors"

	"chatbench/loadgen/hist"
	"chatbench/loadgen/message"
)

// The errors of Receive.
var (
	ErrClosed = errors.New("ledger: the server sent CLOSE")
	ErrBehind = errors.New("ledger: a receiver is further behind than the ledger remembers")
)

// defaultReach is more than a server and two kernel buffers hold back for one client.
const defaultReach = 32 << 20

// stampsAtLeast is the least number of messages of each sender whose times are remembered.
const stampsAtLeast = 64

// Config says what will be sent, and who receives it.
type Config struct {
	Script  message.Script
	Clients int
	Senders []int // the client who is sender 0, 1, …
	Window  int   // closed loop: at most so many messages of a sender are without their echo; 0: open loop
	Reach   int   // octets of the room's stream that are remembered; 0: 32 MiB

	Receivers []int    // the clients whose octets this book is given; nil: all
	SentLog   *SentLog // what the books of the room share; nil: this is the only book
	Server    []int    // of each client the index of its server; nil: there is one server

	// Elsewhere marks the senders that other processes drive, with clocks of their own; nil:
	// none. DueElsewhere returns when one of their messages is due by this clock; ok is false
	// if that is forgotten.
	Elsewhere    []bool
	DueElsewhere func(sender int, seq uint64) (due int64, ok bool)
}

// Book is the ledger of one run.
type Book struct {
	script  message.Script
	frame   int // octets of a frame as received
	closed  bool
	sender  []int32  // of each client its number as a sender, or -1
	user    []uint64 // of each sender its number as a client
	scratch []byte   // a frame as it should be

	sentLog   *SentLog
	sentInAll uint64 // messages that were noted here

	reference reference
	echoes    []echoes
	receivers []receiver // by client
	own       []int      // the clients whose octets it is given; nil: all
	server    []int      // of each client; nil: there is one
	elsewhere []bool     // senders; nil: none
	planned   func(sender int, seq uint64) (due int64, ok bool)

	from, to  int64 // the timed section
	delivered uint64
	inTime    uint64
	notices   uint64

	// Latency of every delivery of a message due (closed loop: sent) in the
	// timed section, whenever it arrived: from when it was due, which is
	// empty in a closed loop, and from when it was sent.
	FromDue, FromSend *hist.Histogram
	// Within and Across are the same latencies again, from when a message was due
	// (closed loop: sent), if the room is on several servers: of deliveries to a
	// client of the sender's own server, and of another one. Otherwise nil.
	Within, Across *hist.Histogram
	// Elsewhere is the latency of messages of senders in other processes, from when they were due; these
	// are in no other histogram. Nil if there are none; empty in a closed loop.
	Elsewhere *hist.Histogram
}

// receiver is one client's place in the room's stream.
type receiver struct {
	pos     uint64   // messages of the reference it has had
	account *account // not nil once it has left the reference
	notice  []byte   // what the server last told it
}

// New opens a book in which nothing has been sent yet.
func New(c Config) *Book {
	b := &Book{
		script:    c.Script,
		frame:     c.Script.BroadcastLen(),
		closed:    c.Window > 0,
		sender:    make([]int32, c.Clients),
		user:      make([]uint64, len(c.Senders)),
		scratch:   make([]byte, c.Script.BroadcastLen()),
		sentLog:   c.SentLog,
		receivers: make([]receiver, c.Clients),
		own:       c.Receivers,
		server:    c.Server,
		elsewhere: c.Elsewhere,
		planned:   c.DueElsewhere,
		FromDue:   hist.New(),
		FromSend:  hist.New(),
	}
	for i := range b.sender {
		b.sender[i] = -1
	}
	for s, client := range c.Senders {
		b.sender[client], b.user[s] = int32(s), uint64(client)
	}
	if b.sentLog == nil {
		b.sentLog = newSentLog(len(c.Senders), c.Window, c.Reach)
	}
	if b.server != nil {
		b.Within, b.Across = hist.New(), hist.New()
	}
	if b.elsewhere != nil {
		b.Elsewhere = hist.New()
	}
	b.reference = newReference(b.frame, cmp.Or(c.Reach, defaultReach), len(c.Senders))
	if b.closed {
		b.echoes = newEchoes(len(c.Senders), c.Window)
	}
	return b
}

// Timed begins a timed section: from ≤ t < to. It forgets the latencies of the section
// before, but not what was delivered.
func (b *Book) Timed(from, to int64) {
	b.from, b.to, b.inTime = from, to, 0
	b.FromDue.Reset()
	b.FromSend.Reset()
	if b.server != nil {
		b.Within.Reset()
		b.Across.Reset()
	}
	if b.elsewhere != nil {
		b.Elsewhere.Reset()
	}
}

// Due notes when message seq of a sender is due. It is called in an open loop only, before Offer.
func (b *Book) Due(sender int, seq uint64, due int64) {
	b.sentLog.note(sender, seq+1)
	b.sentLog.setTime(&b.sentLog.stampOf(sender, seq).due, due)
}

// DueAt returns what Due noted.
func (b *Book) DueAt(sender int, seq uint64) int64 { return b.sentLog.stampOf(sender, seq).due }

// Offer notes that the kernel is given messages from ≤ seq < to of a sender now. Call it before
// the write. What the kernel does not take it is given again; the last time counts.
func (b *Book) Offer(sender int, from, to uint64, now int64) {
	s := b.sentLog
	s.note(sender, to)
	for seq := from; seq < to; seq++ {
		s.setTime(&s.stampOf(sender, seq).sent, now)
	}
	if c := &s.counts[sender]; to > c.offered {
		s.set(&c.offered, to)
	}
}

// Sent notes that the kernel has taken the messages of a sender before to, whole.
func (b *Book) Sent(sender int, to uint64) {
	c := &b.sentLog.counts[sender]
	b.sentInAll += to - c.sent
	b.sentLog.set(&c.sent, to)
}

// Reach is how many messages of one sender have their times remembered: no
// more may be due and not delivered.
func (b *Book) Reach() uint64 { return 1 << b.sentLog.bits }

// Missing is how many deliveries of what was sent are still to come.
func (b *Book) Missing() uint64 {
	sent, receivers := b.sentInAll, len(b.receivers)
	if b.sentLog.shared {
		sent = b.sentLog.inAll()
	}
	if b.own != nil {
		receivers = len(b.own)
	}
	return sent*uint64(receivers) - b.delivered
}

// Messages counts the messages whose sending was noted here.
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

// Echoed is how many of its own messages a sender has received back; in a closed
// loop only.
func (b *Book) Echoed(sender int) uint64 { return b.echoes[sender].count }

// arrive counts one delivery, at now, of a sender's message with these times.
func (b *Book) arrive(client, sender int, t stamp, now int64) {
	b.delivered++
	if b.timed(now) {
		b.inTime++
	}
	b.latency(client, sender, t, now)
}

// times returns the times of a message; ok is false if they are forgotten. When a sender in
// another process sent is not known.
func (b *Book) times(sender int, seq uint64) (t stamp, ok bool) {
	if b.elsewhere == nil || !b.elsewhere[sender] {
		return b.sentLog.times(sender, seq)
	}
	t.due, ok = b.planned(sender, seq)
	return t, ok
}

// latency records the latency of one delivery, if its message is timed.
func (b *Book) latency(client, sender int, t stamp, now int64) {
	if b.elsewhere != nil && b.elsewhere[sender] {
		if !b.closed && b.timed(t.due) {
			b.Elsewhere.Record(now-t.due, 1)
		}
		return
	}
	from := t.due
	if b.closed {
		from = t.sent
	}
	if !b.timed(from) {
		return
	}
	b.FromSend.Record(now-t.sent, 1)
	if !b.closed {
		b.FromDue.Record(now-t.due, 1)
	}
	switch {
	case b.server == nil:
	case b.server[client] == b.server[b.user[sender]]:
		b.Within.Record(now-from, 1)
	default:
		b.Across.Record(now-from, 1)
	}
}

func (b *Book) timed(t int64) bool { return t >= b.from && t < b.to }
