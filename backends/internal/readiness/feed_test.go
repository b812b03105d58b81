package readiness

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/core"
	"chatbench/core/wire"
)

// newTestLoop returns a loop that does not run: the test calls its methods.
func newTestLoop(t testing.TB, room *core.Room) *loop {
	t.Helper()
	l, err := newLoop(backends.Config{
		Listen: "127.0.0.1:0", Room: room, Counters: new(backends.Counters),
		Log: slog.New(slog.DiscardHandler), Backlog: 128, Linger: time.Second,
	}, NewEpoll, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.cutAll()
		l.close()
	})
	return l
}

func newTestRoom() *core.Room {
	return core.NewRoom(core.Config{MaxClients: 20_000, MaxPending: 20_000, Authenticator: core.OpenDoor{}, Now: time.Now()})
}

// connect connects a client that is granted, and returns both ends.
func connect(t testing.TB, l *loop, name string) (*conn, net.Conn) {
	t.Helper()
	peer := arrive(t, l)
	c := l.live[len(l.live)-1]
	c.session.Feed(wire.AppendCred(nil, name, "x"))
	l.flush()
	return c, peer
}

// probe is a Waker that measures, whenever something is said, how far a loop is behind with writing.
type probe struct {
	loop  *loop
	worst atomic.Uint64
}

func (p *probe) WakeRoom() {
	if behind := p.loop.cfg.Room.Said() - p.loop.member.FlushedAt(); behind > p.worst.Load() {
		p.worst.Store(behind)
	}
}

func (p *probe) Wake(*core.Session) {}

// TestExpansionIsWrittenInSteps: 64 KiB of empty messages from a client with a long name become 2.2 MiB
// in the room. The loop must not feed all of them before it writes.
func TestExpansionIsWrittenInSteps(t *testing.T) {
	const input, step = 64 << 10, 140 << 10 // what a step may become
	room := newTestRoom()
	l := newTestLoop(t, room)
	c, peer := connect(t, l, strings.Repeat("n", 64))
	go func() { // reads everything, until the connection is closed
		for buf := make([]byte, 64<<10); ; {
			if _, err := peer.Read(buf); err != nil {
				return
			}
		}
	}()
	p := &probe{loop: l}
	session := room.Join(c.session.Peer(), p, nil)
	defer session.Leave(core.ReasonEOF)
	if _, err := peer.Write(bytes.Repeat(wire.AppendChat(nil, ""), input/2)); err != nil {
		t.Fatal(err)
	}
	before := room.Said()
	want := before + uint64(input/2*len(wire.AppendSaid(nil, strings.Repeat("n", 64), nil)))
	for deadline := time.Now().Add(time.Minute); room.Said() < want && time.Now().Before(deadline); {
		l.handle(Event{ID: c.id, Readable: true})
		l.flush()
	}
	if room.Said() != want {
		t.Fatalf("%d octets were said, want %d", room.Said()-before, want-before)
	}
	t.Logf("%d octets said, at most %d of them before a write", room.Said()-before, p.worst.Load())
	if worst := p.worst.Load(); worst > backends.FlushAfter+step {
		t.Errorf("%d octets were said before the loop wrote any of them, want %d at most", worst, backends.FlushAfter+step)
	}
}

// TestCloseInMidFeed: input after the frame that ends a session is discarded.
func TestCloseInMidFeed(t *testing.T) {
	l := newTestLoop(t, newTestRoom())
	c, peer := connect(t, l, "alice")
	said := wire.AppendChat(nil, strings.Repeat("x", 900))
	in := wire.AppendClose(bytes.Repeat(said, 3))
	receive(t, l, c, peer, append(in, bytes.Repeat(said, 12)...))
	if n := l.cfg.Room.Snapshot().Messages; n != 3 {
		t.Errorf("%d messages were said, want the 3 before CLOSE", n)
	}
	if l.flush(); !c.finSent {
		t.Error("the connection is not ending")
	}
}

// failingPoller is a Poller whose Want fails.
type failingPoller struct{ Poller }

func (failingPoller) Want(ID, bool, bool) error { return unix.ENOMEM }

// TestDropInMidFeed: a flush between two steps can drop the connection that is being fed. The rest of its
// input is not fed, because the session was left.
func TestDropInMidFeed(t *testing.T) {
	l := newTestLoop(t, newTestRoom())
	c, peer := connect(t, l, strings.Repeat("n", 64)) // it reads nothing
	l.poller = failingPoller{l.poller}
	if err := unix.SetsockoptInt(c.id.FD(), unix.SOL_SOCKET, unix.SO_SNDBUF, 4<<10); err != nil {
		t.Fatal(err)
	}
	for range 200 { // until its kernel buffers are full
		if c.gone {
			break
		}
		receive(t, l, c, peer, bytes.Repeat(wire.AppendChat(nil, ""), readSize/2))
	}
	if !c.gone {
		t.Fatal("the connection was never dropped")
	}
	if n := l.cfg.Room.Snapshot().Messages; n%(readSize/2) == 0 {
		t.Errorf("%d messages were said: the connection was not dropped in the middle of a read", n)
	}
	if l.read != 0 { // it is 0 after a flush, and then counts what is fed
		t.Errorf("%d octets were fed after the session had left", l.read)
	}
}

// receive makes a loop read what a client sends, in one read.
func receive(t *testing.T, l *loop, c *conn, peer net.Conn, in []byte) {
	t.Helper()
	if _, err := peer.Write(in); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; {
		if n, err := unix.IoctlGetInt(c.id.FD(), unix.TIOCINQ); err != nil || time.Now().After(deadline) {
			t.Fatalf("%d of %d octets have come: %v", n, len(in), err)
		} else if n == len(in) {
			break
		}
	}
	l.handle(Event{ID: c.id, Readable: true})
}

// BenchmarkRead is the time for an octet of a client that talks as fast as it can to ten listeners, by
// the size of a read.
func BenchmarkRead(b *testing.B) {
	for _, size := range []int{4 << 10, 16 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size>>10, "KiB"), func(b *testing.B) {
			l := newTestLoop(b, core.NewRoom(core.Config{Authenticator: core.OpenDoor{}, LagLimit: 64 << 20}))
			l.buf = make([]byte, size)
			talker, peer := connect(b, l, "talker")
			go io.Copy(io.Discard, peer)
			for i := range 9 {
				_, end := connect(b, l, fmt.Sprint("c", i))
				go io.Copy(io.Discard, end)
			}
			frames := bytes.Repeat(wire.AppendChat(nil, strings.Repeat("x", 62)), 1024)
			go func() {
				for {
					if _, err := peer.Write(frames); err != nil {
						return
					}
				}
			}()
			b.SetBytes(int64(len(frames)))
			n := &l.cfg.Counters.BytesIn
			start, reads, writes := n.Load(), l.cfg.Counters.Reads.Load(), l.cfg.Counters.Writes.Load()
			for i := int64(1); b.Loop(); i++ {
				for n.Load()-start < i*int64(len(frames)) {
					if talker.gone || talker.finSent {
						b.Fatal("the talker was ended")
					}
					events, err := l.wait()
					if err != nil {
						b.Fatal(err)
					}
					for _, e := range l.events[:events] {
						l.handle(e)
					}
					l.flush()
				}
			}
			b.ReportMetric(float64(l.cfg.Counters.Reads.Load()-reads)/float64(b.N), "reads/op")
			b.ReportMetric(float64(l.cfg.Counters.Writes.Load()-writes)/float64(b.N), "writes/op")
		})
	}
}
