package loopadapter_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"chatbench/backends"
	"chatbench/backends/internal/loopadapter"
	"chatbench/core"
	"chatbench/core/wire"
)

// pipe is a Conn whose kernel takes only as much as the test allows.
type pipe struct {
	t       *testing.T
	room    int // octets that the kernel will take
	pending []byte
	taken   int // octets taken and not reported yet
	got     bytes.Buffer
	fin     int
	closed  int
	fails   error
	onSend  func()
}

func (p *pipe) Send(b []byte) (int, error) {
	if len(p.pending) > 0 {
		p.t.Errorf("given %d octets while %d are buffered", len(b), len(p.pending))
	}
	if p.onSend != nil {
		p.onSend()
	}
	if p.fails != nil {
		return 0, p.fails
	}
	p.pending = append(p.pending, b...)
	p.flow(0)
	return p.Sent()
}

func (p *pipe) Sent() (int, error) {
	n := p.taken
	p.taken = 0
	return n, nil
}

// flow has the kernel take n more octets.
func (p *pipe) flow(n int) {
	p.room += n
	k := min(p.room, len(p.pending))
	p.got.Write(p.pending[:k])
	p.pending, p.room, p.taken = p.pending[k:], p.room-k, p.taken+k
}

func (p *pipe) Finish() { p.fin++ }
func (p *pipe) Close()  { p.closed++ }

// fixture is an adapter without a library: the test runs the turns.
type fixture struct {
	*loopadapter.Adapter
	t     *testing.T
	room  *core.Room
	count backends.Counters
	rings atomic.Int32 // from any goroutine
}

func newFixture(t *testing.T, lib loopadapter.Library) *fixture {
	return newNarrowFixture(t, lib, 1<<20)
}

// newNarrowFixture sets core.Config.LagLimit.
func newNarrowFixture(t *testing.T, lib loopadapter.Library, lag int) *fixture {
	h := &fixture{t: t}
	h.room = core.NewRoom(core.Config{Authenticator: core.OpenDoor{}, LagLimit: lag})
	lib.Ring = func() bool { h.rings.Add(1); return true }
	h.Adapter = loopadapter.New(backends.Config{
		Room: h.room, Counters: &h.count, Linger: time.Millisecond, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}, lib)
	return h
}

// enter has a client join and log in.
func (h *fixture) enter(name string, room int) (*loopadapter.Client, *pipe) {
	p := &pipe{t: h.t, room: room}
	c := h.Join(netip.MustParseAddrPort("127.0.0.1:1"), p)
	c.Feed(wire.AppendCred(nil, name, "x"))
	h.Turn()
	return c, p
}

func say(text string) []byte { return wire.AppendChat(nil, text) }

const plenty = 1 << 30

func granted() []byte { return wire.AppendGranted(nil) }

func said(name string, texts ...string) (all []byte) {
	for _, text := range texts {
		all = wire.AppendSaid(all, name, []byte(text))
	}
	return all
}

func (h *fixture) expect(p *pipe, want []byte) {
	h.t.Helper()
	if !bytes.Equal(p.got.Bytes(), want) {
		h.t.Fatalf("sent %q, want %q", p.got.Bytes(), want)
	}
}

// TestOneRingForManyMessages: however many messages there are, the library is rung once,
// and the turn writes once.
func TestOneRingForManyMessages(t *testing.T) {
	h := newFixture(t, loopadapter.Library{})
	alice, p := h.enter("alice", plenty)
	rings, writes := h.rings.Load(), h.count.Writes.Load()
	for range 50 {
		alice.Feed(say("x"))
	}
	h.Turn()
	if h.rings.Load()-rings != 1 || h.count.Writes.Load()-writes != 1 {
		t.Errorf("%d rings and %d writes for 50 messages", h.rings.Load()-rings, h.count.Writes.Load()-writes)
	}
	if want := len(granted()) + 50*len(said("alice", "x")); p.got.Len() != want {
		t.Errorf("%d octets were sent of %d", p.got.Len(), want)
	}
}

// TestBuffered: while the library has buffered octets it is given no more. When they are
// sent, what came meanwhile follows.
func TestBuffered(t *testing.T) {
	for _, pollEvery := range []time.Duration{0, time.Millisecond} {
		h := newFixture(t, loopadapter.Library{PollEvery: pollEvery})
		alice, _ := h.enter("alice", plenty)
		bob, p := h.enter("bob", len(granted())+5)
		want := granted()
		for _, text := range []string{"one", "two", "three"} {
			alice.Feed(say(text))
			h.Turn()
			want = append(want, said("alice", text)...)
		}
		h.expect(p, want[:len(granted())+5])
		for p.got.Len() < len(want) {
			p.flow(1)
			if pollEvery == 0 {
				bob.Progress()
			}
			h.Turn()
		}
		h.expect(p, want)
		if got := h.count.BytesOut.Load(); got != int64(2*len(want)) {
			t.Errorf("%d octets out were counted of %d", got, 2*len(want))
		}
	}
}

// TestFinish: a closing session gets its last words and then FIN, and is closed when the
// client sends nothing for Linger.
func TestFinish(t *testing.T) {
	h := newFixture(t, loopadapter.Library{})
	alice, p := h.enter("alice", plenty)
	alice.Feed([]byte{9})
	if p.fin != 1 || p.closed != 0 {
		t.Fatalf("after the last words: %d FINs, %d closes", p.fin, p.closed)
	}
	if !bytes.HasSuffix(p.got.Bytes(), wire.AppendClose(nil)) {
		t.Errorf("the last words were %q", p.got.Bytes())
	}
	in := h.count.BytesIn.Load()
	alice.Feed(say("too late"))
	if h.count.BytesIn.Load() != in {
		t.Errorf("what comes after FIN was fed")
	}
	for p.closed == 0 {
		time.Sleep(time.Millisecond)
		h.Turn()
	}
	alice.Ended(core.ReasonEOF)
	h.Turn()
	if st := h.room.Snapshot(); st.Clients != 0 || st.Ends[core.ReasonBadType] != 1 {
		t.Errorf("afterwards the room counts %+v", st)
	}
	h.Turn()
	if p.closed != 1 {
		t.Errorf("closed %d times", p.closed)
	}
}

// TestNoCopy: a client that is cut off while the library has octets of the core's own is
// closed before the core reuses them. If the library has a copy the client is sent it,
// and then FIN.
func TestNoCopy(t *testing.T) {
	for _, noCopy := range []bool{false, true} {
		h := newFixture(t, loopadapter.Library{NoCopy: noCopy})
		alice, p := h.enter("alice", len(granted())+5)
		alice.Feed(say("hello"))
		h.Turn()
		alice.Feed(wire.AppendClose(nil)) // which asks for no answer
		h.Turn()
		if noCopy {
			if p.closed != 1 || p.fin != 0 {
				t.Errorf("not copied: %d closes, %d FINs", p.closed, p.fin)
			}
			continue
		}
		if p.closed != 0 || p.fin != 0 {
			t.Errorf("copied: %d closes, %d FINs while octets are buffered", p.closed, p.fin)
		}
		p.flow(plenty)
		alice.Progress()
		h.Turn()
		if p.fin != 1 {
			t.Errorf("copied: %d FINs when all is sent", p.fin)
		}
		h.expect(p, append(granted(), said("alice", "hello")...))
	}
}

// TestPiecesAreNoStall: a library is given much output in pieces. In between the room must
// not conclude that the client takes no more.
func TestPiecesAreNoStall(t *testing.T) {
	h := newNarrowFixture(t, loopadapter.Library{}, 80<<10)
	alice, p := h.enter("alice", plenty)
	pieces := 0
	p.onSend = func() {
		if pieces++; pieces == 2 {
			h.room.Tick(time.Now())
		}
	}
	text := string(bytes.Repeat([]byte("x"), 1000))
	want := granted()
	for range 200 {
		alice.Feed(say(text))
		want = append(want, said("alice", text)...)
	}
	for alice.HasUnfed() {
		h.Turn()
	}
	h.Turn()
	h.expect(p, want)
	if n := h.room.Snapshot().Ends[core.ReasonSlow]; n > 0 || h.room.Snapshot().Granted != 1 || pieces < 2 {
		t.Errorf("%d ends as slow, %d still in the room, %d pieces", n, h.room.Snapshot().Granted, pieces)
	}
}

// TestWriteError: after a write error nothing more is written, but what the client has
// sent is still fed.
func TestWriteError(t *testing.T) {
	h := newFixture(t, loopadapter.Library{})
	alice, p := h.enter("alice", plenty)
	_, q := h.enter("bob", plenty)
	p.fails = errors.New("broken")
	alice.Feed(say("one"))
	h.Turn()
	p.fails = nil
	alice.Feed(say("two"))
	h.Turn()
	h.expect(p, granted())
	h.expect(q, append(granted(), said("alice", "one", "two")...))
	alice.Ended(core.ReasonReset)
	h.Turn()
	if n := h.room.Snapshot().Ends[core.ReasonReset]; n != 1 {
		t.Errorf("%d ends by reset", n)
	}
}

// TestReadWithinWrite: a library may read a connection within Send. Nothing is written
// twice or out of order.
func TestReadWithinWrite(t *testing.T) {
	h := newFixture(t, loopadapter.Library{})
	alice, p := h.enter("alice", plenty)
	p.onSend = func() {
		p.onSend = nil
		alice.Feed([]byte("\x00two\x00\x09"))
	}
	alice.Feed(say("one"))
	h.Turn()
	h.Turn()
	if !bytes.HasPrefix(p.got.Bytes(), append(granted(), said("alice", "one", "two")...)) || p.fin != 1 {
		t.Errorf("sent %q and %d FINs", p.got.Bytes(), p.fin)
	}
}
