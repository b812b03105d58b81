package readiness

import (
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/core/wire"
)

// batchPoller is a BatchWriter that writes with send(2).
type batchPoller struct {
	Poller
	sizes     []int         // how many writes it was given, each time
	meanwhile func()        // is called each time; nil: nothing
	limits    map[int]int   // of a descriptor, how many octets it takes; others: all
	errs      map[int]error // of a descriptor, the error of its writes
}

func (p *batchPoller) WriteAll(writes []Write) {
	p.sizes = append(p.sizes, len(writes))
	if p.meanwhile != nil {
		p.meanwhile()
	}
	for i := range writes {
		w := &writes[i]
		if w.Err = p.errs[w.FD]; w.Err != nil {
			continue
		}
		data := w.Data
		if n, limited := p.limits[w.FD]; limited {
			data = data[:n]
		}
		w.N, w.Err = send(w.FD, data)
	}
}

// newBatchLoop returns a loop that does not run, with a batchPoller.
func newBatchLoop(t *testing.T) (*loop, *batchPoller) {
	l := newTestLoop(t, newTestRoom())
	p := &batchPoller{Poller: l.poller}
	l.poller, l.batch = p, p
	return l, p
}

// hears checks what a client is sent next.
func hears(t *testing.T, peer net.Conn, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	peer.SetReadDeadline(time.Now().Add(time.Minute))
	if n, err := io.ReadFull(peer, got); string(got) != string(want) {
		t.Errorf("%q is heard, %v, want %q", got[:n], err, want)
	}
}

// TestBatch: a message to the room is written to all clients in one batch, and nothing of it is
// kept.
func TestBatch(t *testing.T) {
	const clients = 20
	l, p := newBatchLoop(t)
	var peers []net.Conn
	var talker *conn
	for i := range clients {
		c, peer := connect(t, l, fmt.Sprintf("c%02d", i))
		hears(t, peer, wire.AppendGranted(nil))
		peers, talker = append(peers, peer), c
	}
	p.sizes = nil
	for _, text := range []string{"one", "two"} {
		talker.session.Feed(wire.AppendChat(nil, text))
		l.flush()
		for _, peer := range peers {
			hears(t, peer, wire.AppendSaid(nil, "c19", []byte(text)))
		}
	}
	if !slices.Equal(p.sizes, []int{clients, clients}) {
		t.Errorf("two messages are written in batches of %v, want two of %d", p.sizes, clients)
	}
	for _, w := range l.writes[:cap(l.writes)] {
		if w.Data != nil || w.conn != nil {
			t.Fatal("a write is kept after it was done")
		}
	}
}

// TestBatchOfWakes: frames for single clients share a batch too.
func TestBatchOfWakes(t *testing.T) {
	l, p := newBatchLoop(t)
	alice, _ := connect(t, l, "alice")
	var peers []net.Conn
	for i := range 3 {
		_, peer := connect(t, l, fmt.Sprint("c", i))
		hears(t, peer, wire.AppendGranted(nil))
		peers = append(peers, peer)
	}
	p.sizes = nil
	for i := range peers {
		alice.session.Feed(wire.AppendFile(nil, wire.LsReq, fmt.Sprint("c", i), nil))
	}
	l.flush()
	for _, peer := range peers {
		hears(t, peer, wire.AppendFile(nil, wire.LsReq, "alice", nil))
	}
	if !slices.Equal(p.sizes, []int{len(peers)}) {
		t.Errorf("frames for three clients are written in batches of %v", p.sizes)
	}
}

// TestBatchGoesOn: a client for which more than one piece waits gets all in one flush, in order.
func TestBatchGoesOn(t *testing.T) {
	l, p := newBatchLoop(t)
	alice, hers := connect(t, l, "alice")
	_, bobs := connect(t, l, "bob")
	hears(t, hers, wire.AppendGranted(nil))
	hears(t, bobs, wire.AppendGranted(nil))
	p.sizes = nil
	file := wire.AppendFile(nil, wire.LsReq, "alice", nil)
	alice.session.Feed(wire.AppendChat(nil, "hello"))
	alice.session.Feed(file)
	l.flush()
	said := wire.AppendSaid(nil, "alice", []byte("hello"))
	hears(t, bobs, said)
	hears(t, hers, append(wire.AppendFile(nil, wire.LsReq, "alice", nil), said...))
	if !slices.Equal(p.sizes, []int{2, 1}) {
		t.Errorf("it is written in batches of %v, want 2 and then 1", p.sizes)
	}
}

// TestBatchEnds: a message that is said while a batch is written waits for the next flush.
func TestBatchEnds(t *testing.T) {
	l, p := newBatchLoop(t)
	alice, peer := connect(t, l, "alice")
	hears(t, peer, wire.AppendGranted(nil))
	p.sizes = nil
	p.meanwhile = func() {
		if len(p.sizes) < 100 {
			alice.session.Feed(wire.AppendChat(nil, "and on"))
		}
	}
	alice.session.Feed(wire.AppendChat(nil, "on"))
	l.flush()
	if len(p.sizes) != 1 || !l.member.Grew() {
		t.Errorf("%d batches were written in a flush, want 1 and the rest in the next", len(p.sizes))
	}
	p.meanwhile = nil
	l.flush()
	want := wire.AppendSaid(wire.AppendSaid(nil, "alice", []byte("on")), "alice", []byte("and on"))
	hears(t, peer, want)
}

// TestBatchPart: if some clients of a batch take less than they are offered, and one is gone, the
// others still get everything.
func TestBatchPart(t *testing.T) {
	l, p := newBatchLoop(t)
	var conns []*conn
	var peers []net.Conn
	for i := range 4 {
		c, peer := connect(t, l, fmt.Sprint("c", i))
		hears(t, peer, wire.AppendGranted(nil))
		conns, peers = append(conns, c), append(peers, peer)
	}
	short, full, gone := conns[0], conns[1], conns[2]
	p.limits = map[int]int{short.id.FD(): 3}
	p.errs = map[int]error{full.id.FD(): unix.EAGAIN, gone.id.FD(): unix.ENOTCONN}
	stalls := l.cfg.Counters.Stalls.Load()
	conns[3].session.Feed(wire.AppendChat(nil, "hello"))
	l.flush()
	said := wire.AppendSaid(nil, "c3", []byte("hello"))
	hears(t, peers[3], said)
	hears(t, peers[0], said[:3])
	if !short.blocked || !full.blocked || !gone.gone || len(l.recipients) != 1 {
		t.Errorf("short %v, full %v, gone %v, %d recipients, want only the last", short.blocked, full.blocked, gone.gone, len(l.recipients))
	}
	if n := l.cfg.Counters.Stalls.Load() - stalls; n != 2 {
		t.Errorf("%d stalls, want 2", n)
	}
	for _, c := range conns[:2] {
		l.handle(Event{ID: c.id, Writable: true})
	}
	hears(t, peers[0], said[3:])
	hears(t, peers[1], said)
}
