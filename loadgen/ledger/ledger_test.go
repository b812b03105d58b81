package ledger

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"chatbench/core/wire"
	"chatbench/loadgen/message"
)

// sentMessage is one message in the order of the room.
type sentMessage struct {
	sender int
	seq    uint64
}

// play is a run without a network: a room of some clients, the messages sent in
// it, and the stream that each client gets.
type play struct {
	book    *Book
	script  message.Script
	clients int
	senders []int
	order   []sentMessage
	streams [][]byte
}

// newPlay lets senders clients (the odd ones) say messages in random order.
func newPlay(random *rand.Rand, clients, senders, messages, window int) *play {
	p := &play{script: message.Script{Seed: random.Uint64(), Size: message.MinSize + random.IntN(20)}, clients: clients}
	for s := range senders {
		p.senders = append(p.senders, 2*s+1)
	}
	p.book = New(Config{Script: p.script, Clients: clients, Senders: p.senders, Window: window, Reach: 1 << 20})
	next := make([]uint64, senders)
	for range messages {
		s := random.IntN(senders)
		p.order = append(p.order, sentMessage{s, next[s]})
		next[s]++
	}
	p.streams = make([][]byte, clients)
	return p
}

func (p *play) frame(m sentMessage) []byte {
	f := make([]byte, p.script.BroadcastLen())
	p.script.PutBroadcast(f, uint64(p.senders[m.sender]), m.seq)
	return f
}

// send notes every message as due at 10, 20, … and sent 1 later.
func (p *play) send() {
	for i, m := range p.order {
		p.book.Due(m.sender, m.seq, int64(10*i))
		p.book.Offer(m.sender, m.seq, m.seq+1, int64(10*i+1))
		p.book.Sent(m.sender, m.seq+1)
	}
}

// deliver gives every client its stream, in random pieces, in random order.
func (p *play) deliver(t *testing.T, random *rand.Rand) {
	t.Helper()
	held := make([][]byte, p.clients)
	left := 0
	for i := range p.streams {
		if len(p.streams[i]) > 0 {
			left++
		}
	}
	for left > 0 {
		i := random.IntN(p.clients)
		for len(p.streams[i]) == 0 {
			i = (i + 1) % p.clients
		}
		n := 1 + random.IntN(min(len(p.streams[i]), 20*p.script.BroadcastLen()))
		piece := append(held[i], p.streams[i][:n]...)
		if p.streams[i] = p.streams[i][n:]; len(p.streams[i]) == 0 {
			left--
		}
		rest, err := p.book.Receive(i, piece, 1<<40)
		if err != nil {
			t.Fatalf("client %d: %v", i, err)
		}
		if len(rest) > MaxHeld(p.script.BroadcastLen()) {
			t.Fatalf("client %d: %d octets left over", i, len(rest))
		}
		held[i] = append([]byte(nil), rest...)
	}
}

func TestHonestRoom(t *testing.T) {
	for seed := range uint64(8) {
		random := rand.New(rand.NewPCG(seed, 0))
		p := newPlay(random, 12, 1+random.IntN(6), 3000, int(seed%2)*4096)
		for i := range p.streams {
			for j, m := range p.order {
				if j%1000 == 500 { // the server says something of its own, to some before, to some after
					p.streams[i] = wire.AppendNotice(p.streams[i], fmt.Sprint("note ", i, " ", j))
				}
				p.streams[i] = append(p.streams[i], p.frame(m)...)
			}
		}
		p.book.Timed(5000, 15000)
		p.send()
		p.deliver(t, random)
		b := p.book
		if got := b.Tally(); !got.Clean() {
			t.Fatalf("seed %d: %+v", seed, got)
		}
		if b.Delivered() != 12*3000 || b.Missing() != 0 || b.Notices() != 3*12 || b.Notice(3) != "note 3 2500" {
			t.Fatalf("seed %d: delivered %d, missing %d, notices %d, the last %q", seed, b.Delivered(), b.Missing(), b.Notices(), b.Notice(3))
		}
		if n := b.FromSend.Summary().Count; n != 12*1000 {
			t.Errorf("seed %d: %d latencies of the 1000 timed messages", seed, n)
		}
		if n := b.FromDue.Summary().Count; (n == 0) != b.closed {
			t.Errorf("seed %d: %d latencies from due", seed, n)
		}
		for i := range b.receivers {
			if b.receivers[i].account != nil {
				t.Errorf("seed %d: client %d has left the reference", seed, i)
			}
		}
		if b.closed {
			for s := range p.senders {
				if b.Echoed(s) != b.sentLog.sent(s) {
					t.Errorf("seed %d: sender %d has %d of %d echoes", seed, s, b.Echoed(s), b.sentLog.sent(s))
				}
			}
		}
	}
}

// The latency of each message is right, whether its receiver leads, follows or
// has an account of its own.
func TestLatency(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	p := newPlay(random, 3, 1, 10, 0)
	p.book.Timed(0, 1000)
	p.send() // due 0, 10, … 90; sent 1, 11, … 91
	var stream []byte
	for _, m := range p.order {
		stream = append(stream, p.frame(m)...)
	}
	swapped := append(p.frame(p.order[1]), p.frame(p.order[0])...)
	swapped = append(swapped, stream[2*p.script.BroadcastLen():]...)
	for i, s := range [][]byte{stream, stream, swapped} {
		if _, err := p.book.Receive(i, s, 100); err != nil {
			t.Fatal(err)
		}
	}
	due, sent := p.book.FromDue.Summary(), p.book.FromSend.Summary()
	if due.Count != 30 || due.MinNS != 10 || due.MaxNS != 100 || due.MeanNS != 55 {
		t.Errorf("from due: %+v", due)
	}
	if sent.Count != 30 || sent.MinNS != 9 || sent.MaxNS != 99 || sent.MeanNS != 54 {
		t.Errorf("from send: %+v", sent)
	}
	if p.book.InTime() != 30 {
		t.Errorf("%d in time", p.book.InTime())
	}
}

func TestClosedAndBehind(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	p := newPlay(random, 2, 1, 5, 0)
	p.send()
	first := p.frame(p.order[0])
	end := wire.AppendClose(wire.AppendNotice(first, "too slow"))
	if rest, err := p.book.Receive(0, end[:len(end)-1], 0); err != nil || len(rest) != 1 {
		t.Fatalf("%q, %v", rest, err)
	}
	if _, err := p.book.Receive(0, end[len(end)-2:], 0); err != ErrClosed {
		t.Fatalf("%v, want ErrClosed", err)
	}
	if got := p.book.Notice(0); got != "too slow" {
		t.Errorf("notice %q", got)
	}
	p.book.reference.head += p.book.reference.mask + 1
	if _, err := p.book.Receive(1, first, 0); err != ErrBehind {
		t.Errorf("%v, want ErrBehind", err)
	}
}

func TestReceiveAllocatesNothing(t *testing.T) {
	for _, window := range []int{0, 1 << 16, -1} { // -1: open, a book that shares what was said
		p := newPlay(rand.New(rand.NewPCG(3, 3)), 4, 2, 20000, max(window, 0))
		if window < 0 {
			p.book = New(Config{Script: p.script, Clients: 4, Senders: p.senders, Reach: 1 << 20, SentLog: NewSentLog(2, 0, 1<<20), Server: []int{0, 1, 0, 1}})
		}
		p.book.Timed(0, 1<<40)
		p.send()
		var stream []byte
		for _, m := range p.order {
			stream = append(stream, p.frame(m)...)
		}
		at, piece := 0, 100*p.script.BroadcastLen()
		if n := testing.AllocsPerRun(190, func() {
			for i := range p.streams {
				if rest, err := p.book.Receive(i, stream[at:at+piece], 1<<39); err != nil || len(rest) > 0 {
					t.Fatal(len(rest), err)
				}
			}
			at += piece
		}); n != 0 {
			t.Errorf("window %d: %v allocations", window, n)
		}
		if p.book.Delivered() != 191*4*100 {
			t.Errorf("window %d: %d delivered", window, p.book.Delivered())
		}
	}
}

func BenchmarkFollow(b *testing.B) {
	for _, window := range []int{0, 4096} {
		b.Run(fmt.Sprint("window=", window), func(b *testing.B) {
			script := message.Script{Size: 64}
			book := New(Config{Script: script, Clients: 100, Senders: []int{0}, Window: window})
			book.Timed(0, 1<<60)
			const batch = 1000
			stream := make([]byte, batch*script.BroadcastLen())
			seq, now := uint64(0), int64(0)
			for b.Loop() {
				for i := range batch {
					now++
					sent := now &^ 127 // in bursts
					book.Due(0, seq, now)
					book.Offer(0, seq, seq+1, sent)
					book.Sent(0, seq+1)
					script.PutBroadcast(stream[i*script.BroadcastLen():], 0, seq)
					seq++
				}
				for r := range 100 {
					if _, err := book.Receive(r, stream, now); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(book.Delivered())/b.Elapsed().Seconds()/1e6, "Mdeliveries/s")
		})
	}
}
