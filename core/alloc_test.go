package core

import (
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"unsafe"

	"chatbench/core/wire"
)

// crowd logs n clients in, under names of a form like user%d.
func crowd(t testing.TB, r *Room, n int, form string) []*Session {
	all := make([]*Session, n)
	for i := range all {
		all[i] = enter(t, r, fmt.Sprintf(form, i))
	}
	return all
}

// TestNothingAllocated: neither a message nor its delivery nor a relayed frame
// allocates, however many clients there are.
func TestNothingAllocated(t *testing.T) {
	if racing {
		t.Skip("allocations are not counted under the race detector")
	}
	const clients = 200
	message := func(string) []byte { return chat(64) }
	for _, tt := range []struct {
		what, form string
		pieces     int
		frame      func(to string) []byte
	}{
		{"chat", "user%d", 1, message},
		{"chat in pieces", "user%d", 3, message},
		{"chat to be made safe", "user%d", 1, func(string) []byte { return []byte("\x00\x1b[31m 한글\x00") }},
		{"list", "user%d", 1, func(to string) []byte { return wire.AppendFile(nil, wire.LsReq, to, nil) }},
		{"list in Hangul", "사용자%d", 2, func(to string) []byte {
			return wire.AppendFile(nil, wire.LsBody, to, []byte(" a file"))
		}},
		{"download", "user%d", 1, func(to string) []byte {
			return wire.AppendFile(nil, wire.DnAck, to, []byte(" f 10.0.0.1 5000 0123456789abcdef0123456789abcdef"))
		}},
	} {
		t.Run(tt.what, func(t *testing.T) {
			events := 0
			r := testRoom(1<<16, Config{Observe: func(Event) { events++ }})
			all := crowd(t, r, clients, tt.form)
			frames := make([][]byte, clients)
			for i := range frames {
				frames[i] = tt.frame(fmt.Sprintf(tt.form, (i+1)%clients))
			}
			given := 0
			turn := func() {
				for i, s := range all {
					for piece := range slices.Chunk(frames[i], len(frames[i])/tt.pieces) {
						s.Feed(piece)
					}
				}
				for _, s := range all {
					for p := s.Next(); p != nil; p = s.Next() {
						given += len(p)
						s.Wrote(len(p))
					}
				}
			}
			for range 20 {
				turn() // buffers grow to their size
			}
			given = 0
			if n := testing.AllocsPerRun(50, turn); n != 0 {
				t.Errorf("%v allocations in a turn of %d frames", n, clients)
			}
			if events != clients {
				t.Errorf("%d events of %d logins and no end", events, clients)
			}
			if given < 50*clients*8 {
				t.Errorf("only %d octets were given out", given)
			}
		})
	}
}

// TestPrivateBuffers: private frames that are queued while others are being written use two
// buffers in turn, and none is kept at the end.
func TestPrivateBuffers(t *testing.T) {
	if racing {
		t.Skip("allocations are not counted under the race detector")
	}
	r := testRoom(1<<16, Config{})
	ann, bob := enter(t, r, "ann"), enter(t, r, "bob")
	reader := []*Session{bob}
	ask := wire.AppendFile(nil, wire.LsReq, "bob", nil)
	turn := func() {
		for range 10 {
			ann.Feed(ask)
			p := bob.Next()
			ann.Feed(ask)
			ann.Feed(ask)
			bob.Wrote(len(p))
		}
		takeAll(reader)
	}
	turn()
	if n := testing.AllocsPerRun(50, turn); n > 0 {
		t.Errorf("%v allocations in a turn", n)
	}
	for range 5 {
		for range 2 * keepOutput / len(ask) {
			ann.Feed(ask)
		}
		p := bob.Next()
		for range 2 * keepOutput / len(ask) {
			ann.Feed(ask)
		}
		bob.Wrote(len(p))
		take(bob)
		if bob.mail.private != nil || bob.out.own != nil {
			t.Error("a buffer is kept for a client without private frames")
		}
	}
}

// TestLogIsReused: while all clients keep up, the log uses the same few chunks, however
// much is said.
func TestLogIsReused(t *testing.T) {
	if racing {
		t.Skip("allocations are not counted under the race detector")
	}
	r := NewRoom(Config{Authenticator: OpenDoor{}})
	all := crowd(t, r, 10, "user%d")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	frame := chat(4096)
	for i := 0; r.Said() < 100<<20; i++ {
		for range 16 {
			all[i%len(all)].Feed(frame)
		}
		takeAll(all)
	}
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) / chunkSize; n > 3 {
		t.Errorf("100 MiB said allocated %d MiB", n)
	}
}

// TestLaggardsChunksAreLeft: when a client that was behind has caught up, the log keeps only
// the spare chunks.
func TestLaggardsChunksAreLeft(t *testing.T) {
	r := testRoom(1000, Config{LagLimit: 1 << 20})
	ann, bob := enter(t, r, "ann"), enter(t, r, "bob")
	speak(r, ann, 50_000)
	if n := chunks(r); n < 50 {
		t.Fatalf("%d chunks for one who is 50 behind", n)
	}
	take(ann)
	take(bob)
	speak(r, ann, 1000)
	if n := chunks(r) + len(r.log.spare); n > 2+spareChunks {
		t.Errorf("%d chunks are kept when all is read", n)
	}
}

// TestIdleSession: the memory of a client that is in the room and says nothing.
func TestIdleSession(t *testing.T) {
	if n := unsafe.Sizeof(Session{}); n > 384 {
		t.Errorf("a Session takes %d octets, over 384 it is in the next size of allocations", n)
	}
	const clients = 10_000
	r := NewRoom(Config{Authenticator: OpenDoor{}, MaxPending: clients})
	peer := netip.MustParseAddrPort("192.0.2.1:40000")
	all := make([]*Session, clients)
	creds := make([][]byte, clients)
	for i := range creds {
		creds[i] = wire.AppendCred(nil, fmt.Sprintf("user%d", i), "x")
	}
	before := heap()
	for i := range all {
		s := r.Join(peer, quiet{}, nil)
		s.Feed(creds[i][:3])
		s.Feed(creds[i][3:])
		take(s)
		all[i] = s
	}
	n := (heap() - before) / clients
	if n > 600 {
		t.Errorf("a client in the room takes %d octets", n)
	}
	t.Logf("a client in the room takes %d octets, of them the Session %d", n, unsafe.Sizeof(Session{}))
	runtime.KeepAlive(all)
	runtime.KeepAlive(r)
}

// heap is the octets in use after a collection.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
