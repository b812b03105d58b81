package guest_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"chatbench/backends"
	"chatbench/backends/internal/guest"
	"chatbench/core"
	"chatbench/core/wire"
)

// pipe is a Line whose kernel takes only as much as the test allows.
type pipe struct {
	t       *testing.T
	room    int // octets that are taken, of those to come
	pending []byte
	taken   int // not told yet
	got     bytes.Buffer
	fin     int
	closed  int
	fails   error
	onSend  func()
}

func (p *pipe) Send(b []byte) (int, error) {
	if len(p.pending) > 0 {
		p.t.Errorf("given %d octets while %d are kept", len(b), len(p.pending))
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

// flow lets so many more octets through.
func (p *pipe) flow(n int) {
	p.room += n
	k := min(p.room, len(p.pending))
	p.got.Write(p.pending[:k])
	p.pending, p.room, p.taken = p.pending[k:], p.room-k, p.taken+k
}

func (p *pipe) Finish() { p.fin++ }
func (p *pipe) Close()  { p.closed++ }

// house is a guest with nobody's loop under it: the test takes the turns.
type house struct {
	*guest.Guest
	t     *testing.T
	room  *core.Room
	count backends.Counters
	rings int
}

func newHouse(t *testing.T, lib guest.Library) *house { return newNarrowHouse(t, lib, 1<<20) }

// newNarrowHouse has clients that may be so many octets behind.
func newNarrowHouse(t *testing.T, lib guest.Library, lag int) *house {
	h := &house{t: t}
	h.room = core.NewRoom(core.Config{Authenticator: core.OpenDoor{}, LagLimit: lag})
	lib.Ring = func() { h.rings++ }
	h.Guest = guest.New(backends.Config{
		Room: h.room, Counters: &h.count, Linger: time.Millisecond, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}, lib)
	return h
}

// enter joins and logs a client in.
func (h *house) enter(name string, room int) (*guest.Client, *pipe) {
	p := &pipe{t: h.t, room: room}
	h.Coming()
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

func (h *house) expect(p *pipe, want []byte) {
	h.t.Helper()
	if !bytes.Equal(p.got.Bytes(), want) {
		h.t.Fatalf("sent %q in place of %q", p.got.Bytes(), want)
	}
}

// TestOneRingForManyNotes: however much is said, one ring calls for one turn,
// and the turn writes once.
func TestOneRingForManyNotes(t *testing.T) {
	h := newHouse(t, guest.Library{})
	alice, p := h.enter("alice", plenty)
	rings, writes := h.rings, h.count.Writes.Load()
	for range 50 {
		alice.Feed(say("x"))
	}
	h.Turn()
	if h.rings-rings != 1 || h.count.Writes.Load()-writes != 1 {
		t.Errorf("%d rings and %d writes for 50 messages", h.rings-rings, h.count.Writes.Load()-writes)
	}
	if want := len(granted()) + 50*len(said("alice", "x")); p.got.Len() != want {
		t.Errorf("%d octets were sent of %d", p.got.Len(), want)
	}
}

// TestKept: while the library keeps octets it is given no more, and when it is
// rid of them, what came meanwhile follows.
func TestKept(t *testing.T) {
	for _, mute := range []bool{false, true} {
		h := newHouse(t, guest.Library{Mute: mute})
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
			if !mute {
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

// TestFinish: a session that is closing gets its last words, then FIN, and is
// closed when the client says nothing for the time of Linger.
func TestFinish(t *testing.T) {
	h := newHouse(t, guest.Library{})
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

// TestBorrowed: a client that is cut off while the library keeps octets of the
// core's own is closed before the core lets go of them; one whose library has
// a copy is sent what is kept, and then FIN.
func TestBorrowed(t *testing.T) {
	for _, borrows := range []bool{false, true} {
		h := newHouse(t, guest.Library{Borrows: borrows})
		alice, p := h.enter("alice", len(granted())+5)
		alice.Feed(say("hello"))
		h.Turn()
		alice.Feed(wire.AppendClose(nil)) // which asks for no answer
		h.Turn()
		if borrows {
			if p.closed != 1 || p.fin != 0 {
				t.Errorf("borrowed: %d closes, %d FINs", p.closed, p.fin)
			}
			continue
		}
		if p.closed != 0 || p.fin != 0 {
			t.Errorf("copied: %d closes, %d FINs while octets are kept", p.closed, p.fin)
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

// TestPiecesAreNoRefusal: a library is given much in pieces. The room must not
// think in between that the client took no more.
func TestPiecesAreNoRefusal(t *testing.T) {
	h := newNarrowHouse(t, guest.Library{}, 80<<10)
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
	for alice.Waits() {
		h.Turn()
	}
	h.Turn()
	h.expect(p, want)
	if n := h.room.Snapshot().Ends[core.ReasonSlow]; n > 0 || h.room.Snapshot().Granted != 1 || pieces < 2 {
		t.Errorf("%d ends as slow, %d still in the room, %d pieces", n, h.room.Snapshot().Granted, pieces)
	}
}

// TestDeaf: after an error of writing nothing more is written, but what the
// client sent is still fed.
func TestDeaf(t *testing.T) {
	h := newHouse(t, guest.Library{})
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

// TestReadWithinWrite: a library may read a connection while it is given
// output for it. Nothing is written twice, nor out of order.
func TestReadWithinWrite(t *testing.T) {
	h := newHouse(t, guest.Library{})
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
