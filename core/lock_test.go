package core

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"chatbench/core/wire"
)

// TestWakersAreFree: wakers are called without the room's lock.
func TestWakersAreFree(t *testing.T) {
	r := testRoom(200, Config{Announce: true, LagLimit: 100, LagMax: 200, LoginTimeout: time.Second, Flood: Flood{1, 1}})
	w := &trying{t: t, room: r}
	join := func(name string) *Session {
		s := r.Join(netip.AddrPort{}, w, nil)
		s.Feed(wire.AppendCred(nil, name, "x"))
		return s
	}
	ann, bob, cid := join("ann"), join("bob"), join("cid")
	ann.Feed(lines(0, 5))
	ann.Feed(wire.AppendFile(nil, wire.LsReq, "bob", nil))
	cid.Feed(wire.AppendFile(nil, wire.LsReq, "zoe", nil))
	r.Join(netip.AddrPort{}, w, nil)
	for range 30 {
		tick(r)
		take(ann)
	}
	bob.Feed([]byte{9})
	refuse(cid, 0)
	cid.Leave(ReasonReset)
	r.Drain()
	if w.told < 15 {
		t.Errorf("the waker was called %d times", w.told)
	}
}

// trying is a Waker that fails if the room's lock is held.
type trying struct {
	t    *testing.T
	room *Room
	told int
}

func (w *trying) WakeRoom() { w.Wake(nil) }

func (w *trying) Wake(*Session) {
	w.told++
	if !w.room.mu.TryLock() {
		w.t.Fatal("the waker is called under the room's lock")
	}
	w.room.mu.Unlock()
}

// TestCostlyNames: folding or checking a name does not happen under the room's lock.
func TestCostlyNames(t *testing.T) {
	costly := strings.Repeat("\u03b9\u0308\u0301", 32) // decomposed, 192 octets
	for what, in := range map[string][]byte{
		"an addressee": wire.AppendFile(nil, wire.LsReq, costly, nil),
		"a login":      wire.AppendCred(nil, costly, "x"),
	} {
		r := testRoom(1<<20, Config{LagLimit: 1 << 30})
		stop, stopped := make(chan struct{}), make(chan struct{})
		ann := enter(t, r, "ann")
		go func() {
			defer close(stopped)
			for {
				select {
				case <-stop:
					return
				default:
				}
				if what == "a login" {
					s := r.Join(netip.AddrPort{}, quiet{}, nil)
					s.Feed(in)
					s.Leave(ReasonReset)
					continue
				}
				ann.Feed(in)
				take(ann)
			}
		}()
		// On a busy machine the holder of the lock may lose its CPU: one good try is enough.
		locked, looks := 1, 1
		for try := 0; try < 10 && locked*2 > looks; try++ {
			locked, looks = 0, 0
			for end := time.Now().Add(200 * time.Millisecond); time.Now().Before(end); looks++ {
				if r.mu.TryLock() {
					r.mu.Unlock()
				} else {
					locked++
				}
				time.Sleep(10 * time.Microsecond)
			}
		}
		close(stop)
		<-stopped
		if locked*2 > looks {
			t.Errorf("%s with a costly name: the room is locked in %d of %d samples", what, locked, looks)
		}
	}
}

// TestAddressIsPrefix: the limit by address counts the /64 of an IPv6 address.
func TestAddressIsPrefix(t *testing.T) {
	r := testRoom(1<<20, Config{MaxPerAddress: 2})
	join := func(addr string) *Session {
		return r.Join(netip.AddrPortFrom(netip.MustParseAddr(addr), 40000), quiet{}, nil)
	}
	first := join("2001:db8:1:2::1")
	stays(t, first)
	stays(t, join("2001:db8:1:2:ffff::2"))
	ended(t, join("2001:db8:1:2::3"), ReasonAddress)
	stays(t, join("2001:db8:1:3::1"))
	for range 5 {
		stays(t, join("::1"))
		stays(t, join("127.0.0.1"))
	}
	stays(t, join("::ffff:192.0.2.1"))
	stays(t, join("192.0.2.1"))
	ended(t, join("192.0.2.1"), ReasonAddress)
	first.Leave(ReasonEOF)
	stays(t, join("2001:db8:1:2::4"))
}
