package ledger

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"chatbench/loadgen/message"
)

// share gives the room of a play several books: client i is given to book i mod n.
// Each sender is noted in the book of its client.
func (p *play) share(n, window int) (books []*Book) {
	cfg := Config{Script: p.script, Clients: p.clients, Senders: p.senders, Window: window, Reach: 1 << 20}
	cfg.SentLog = NewSentLog(len(p.senders), window, cfg.Reach)
	for k := range n {
		cfg.Receivers = nil
		for i := k; i < p.clients; i += n {
			cfg.Receivers = append(cfg.Receivers, i)
		}
		books = append(books, New(cfg))
	}
	return books
}

// sendTo notes every message in the book of its sender.
func (p *play) sendTo(books []*Book) {
	for i, m := range p.order {
		b := books[p.senders[m.sender]%len(books)]
		b.Due(m.sender, m.seq, int64(10*i))
		b.Offer(m.sender, m.seq, m.seq+1, int64(10*i+1))
		b.Sent(m.sender, m.seq+1)
	}
}

// deliverTo gives each book the streams of its clients.
func (p *play) deliverTo(t *testing.T, random *rand.Rand, books []*Book) {
	t.Helper()
	left := p.streams
	for k, b := range books {
		p.book, p.streams = b, make([][]byte, p.clients)
		for i := k; i < p.clients; i += len(books) {
			p.streams[i] = left[i]
		}
		p.deliver(t, random)
	}
}

func merged(books []*Book) Tally {
	var sums []Sum
	for _, b := range books {
		sums = append(sums, b.Sum())
	}
	return Merge(sums...)
}

// Each damage is found once and classified correctly, whichever client and book it affects;
// without damage, all books together have each delivery once.
func TestBooksFindSabotage(t *testing.T) {
	const clients, messages = 12, 2000
	for _, damage := range []string{"", "drop", "duplicate", "swap", "alter"} {
		for seed := range uint64(6) {
			t.Run(fmt.Sprint(damage, "/", seed), func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 11))
				p := newPlay(random, clients, 4, messages, 0)
				s := &sabotage{random: random, damage: damage}
				victim := random.IntN(clients)
				if damage == "" {
					victim = -1
				}
				for i := range p.streams {
					p.streams[i] = s.stream(p, i == victim)
				}
				books := p.share(3, int(seed%2)*4096)
				p.sendTo(books)
				p.deliverTo(t, random, books)
				if got, want := merged(books), s.want(s.done); got != want || (s.done > 0) != (damage != "") {
					t.Errorf("%+v, want %+v", got, want)
				}
				var delivered, messagesSent, missing uint64
				for _, b := range books {
					delivered, messagesSent, missing = delivered+b.Delivered(), messagesSent+b.Messages(), missing+b.Missing()
				}
				if messagesSent != messages || delivered+missing != clients*messages || damage == "" && missing != 0 {
					t.Errorf("%d messages, %d delivered, %d missing", messagesSent, delivered, missing)
				}
			})
		}
	}
}

// If all receivers of one book see another order than those of the other books, nothing
// is wrong in any book, but it is in the room.
func TestBooksCompareOrders(t *testing.T) {
	for seed := range uint64(10) {
		random := rand.New(rand.NewPCG(seed, 12))
		p := newPlay(random, 9, 4, 1000, 0)
		var streams [2][]byte
		i := random.IntN(900)
		for p.order[i].sender == p.order[i+1].sender {
			i++
		}
		for k := range streams {
			for _, m := range p.order {
				streams[k] = append(streams[k], p.frame(m)...)
			}
			p.order[i], p.order[i+1] = p.order[i+1], p.order[i]
		}
		for _, odd := range []bool{false, true} {
			for i := range p.streams {
				if p.streams[i] = streams[0]; odd && i%3 == 2 {
					p.streams[i] = streams[1]
				}
			}
			books := p.share(3, 0)
			p.sendTo(books)
			p.deliverTo(t, random, books)
			want := Tally{}
			if odd {
				want.OtherOrder = 3
			}
			if got := merged(books); got != want {
				t.Errorf("seed %d, odd %v: %+v, want %+v", seed, odd, got, want)
			}
			for k, b := range books {
				if got := b.Tally(); got != (Tally{}) {
					t.Errorf("seed %d: book %d by itself: %+v", seed, k, got)
				}
			}
		}
	}
}

// Books of threads that send and receive at the same time, each at its own pace, have
// every delivery once, with the times of its message.
func TestBooksAtTheSameTime(t *testing.T) {
	const threads, clients, each = 3, 6, 3000
	script := message.Script{Seed: 5, Size: 20}
	senders := []int{0, 1, 2}
	said := NewSentLog(len(senders), 0, 1<<20)
	var room struct { // what the server has said
		sync.Mutex
		stream []byte
	}
	var all sync.WaitGroup
	books := make([]*Book, threads)
	for k := range threads {
		receivers := []int{k, k + threads}
		books[k] = New(Config{Script: script, Clients: clients, Senders: senders, Reach: 1 << 20, Receivers: receivers, SentLog: said})
		books[k].Timed(0, 1<<40)
		all.Go(func() {
			b, random := books[k], rand.New(rand.NewPCG(uint64(k), 13))
			frame, had, sent := make([]byte, script.BroadcastLen()), [2]int{}, uint64(0)
			for sent < each || b.Missing() > 0 || had[0] < each*threads*len(frame) {
				for n := random.IntN(4); n > 0 && sent < each; n-- {
					b.Due(k, sent, int64(10*sent+uint64(k)))
					b.Offer(k, sent, sent+1, int64(10*sent+uint64(k)+5))
					script.PutBroadcast(frame, uint64(k), sent)
					room.Lock()
					room.stream = append(room.stream, frame...)
					room.Unlock()
					sent++
					b.Sent(k, sent)
				}
				for r, client := range receivers {
					room.Lock()
					n := (len(room.stream) - had[r]) / len(frame) * len(frame)
					piece := append([]byte(nil), room.stream[had[r]:had[r]+min(n, random.IntN(40)*len(frame))]...)
					room.Unlock()
					had[r] += len(piece)
					if rest, err := b.Receive(client, piece, 100_000); err != nil || len(rest) > 0 {
						t.Errorf("book %d: %d octets left over, %v", k, len(rest), err)
						return
					}
				}
			}
		})
	}
	all.Wait()
	if got := merged(books); !got.Clean() {
		t.Errorf("%+v", got)
	}
	for k, b := range books {
		due, sent := b.FromDue.Summary(), b.FromSend.Summary()
		if want := int64(2 * each * threads); due.Count != want || sent.Count != want || due.MeanNS-sent.MeanNS < 4 || due.MeanNS-sent.MeanNS > 6 {
			t.Errorf("book %d: from due %+v, from send %+v", k, due, sent)
		}
	}
}

// If a room is on several servers, each latency is in one of two further histograms, by
// the servers of sender and receiver, whether the receiver leads, follows or has an account.
func TestAcrossServers(t *testing.T) {
	for _, window := range []int{0, 64} {
		random := rand.New(rand.NewPCG(1, 14))
		p := newPlay(random, 5, 2, 10, window) // senders are clients 1 and 3
		p.book = New(Config{Script: p.script, Clients: 5, Senders: p.senders, Window: window, Reach: 1 << 20, Server: []int{0, 0, 1, 1, 1}})
		p.book.Timed(0, 1000)
		p.send()
		var stream []byte
		var first [2]int64 // messages of each sender
		for _, m := range p.order {
			stream = append(stream, p.frame(m)...)
			first[m.sender]++
		}
		alone := append([]byte("\x00eve: hi\x00"), stream...)
		for i := range 5 {
			if i == 2 {
				p.book.Receive(i, alone, 500)
				continue
			}
			p.book.Receive(i, stream, 500)
		}
		within, across := p.book.Within.Summary().Count, p.book.Across.Summary().Count
		if within != 2*first[0]+3*first[1] || across != 3*first[0]+2*first[1] {
			t.Errorf("window %d: %d within, %d across, of %v messages", window, within, across, first)
		}
		if all := p.book.FromSend.Summary().Count; all != 50 {
			t.Errorf("window %d: %d in all", window, all)
		}
	}
}

// Each message of a sender in another process is checked like any other, timed by the plan, and
// compared in the end with how many the sender has sent.
func TestSendersElsewhere(t *testing.T) {
	for sent, want := range map[uint64]Tally{5: {}, 6: {Lost: 3}, 4: {Altered: 3}} {
		p := newPlay(rand.New(rand.NewPCG(1, 15)), 3, 1, 5, 0)
		said := NewSentLog(1, 0, 1<<20)
		said.Elsewhere([]bool{true})
		b := New(Config{
			Script: p.script, Clients: 3, Senders: p.senders, Reach: 1 << 20, SentLog: said, Elsewhere: []bool{true},
			DueElsewhere: func(_ int, seq uint64) (int64, bool) { return int64(10 * seq), true },
		})
		b.Timed(10, 40)
		var stream []byte
		for _, m := range p.order {
			stream = append(stream, p.frame(m)...)
		}
		late := append(append([]byte(nil), stream[p.script.BroadcastLen():]...), stream[:p.script.BroadcastLen()]...)
		for i, s := range [][]byte{stream, stream, late} {
			if _, err := b.Receive(i, s, 100); err != nil {
				t.Fatal(err)
			}
		}
		said.Settle([]uint64{sent})
		want.Reordered = 1
		if got := b.Tally(); got != want {
			t.Errorf("%d sent: %+v, want %+v", sent, got, want)
		}
		if e := b.Elsewhere.Summary(); e.Count != 3*3 || e.MinNS != 70 || e.MaxNS != 90 || b.FromDue.Summary().Count != 0 || b.FromSend.Summary().Count != 0 {
			t.Errorf("%+v", e)
		}
		if b.Messages() != 0 || sent == 5 && b.Missing() != 0 {
			t.Errorf("%d messages are its own, %d missing", b.Messages(), b.Missing())
		}
	}
}
