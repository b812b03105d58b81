package uring

import (
	"net/netip"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends/internal/loopgroup"
	"chatbench/backends/internal/readiness"
	"chatbench/backends/internal/ring"
	"chatbench/core"
	"chatbench/core/wire"
)

// nopWaker is a Waker that does nothing.
type nopWaker struct{}

func (nopWaker) WakeRoom()          {}
func (nopWaker) Wake(*core.Session) {}

// ringLoop returns a loop that does not run, with a ring on the test's thread, and a socket.
func ringLoop(t *testing.T) (*loop, int) {
	t.Helper()
	if err := Backend.Runs(); err != nil {
		t.Skip(err)
	}
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(pair[0]); unix.Close(pair[1]) })
	cfg := testConfig()
	cfg.Room = core.NewRoom(core.Config{Authenticator: core.OpenDoor{}, Now: time.Now()})
	l := &loop{cfg: cfg}
	if l.bell, err = readiness.NewDoorbell(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.bell.Close)
	if err := l.openRing(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.ring.Close(); l.buffers.Free() })
	l.member = loopgroup.New(cfg.Room, l.bell)[0]
	return l, pair[0]
}

// TestSentWaitsForTheNextFlush: after a completion the loop sends what was said before its flush began, and
// what is for the client alone, but not what others have said since. Otherwise a flush would go on for as
// long as they talk.
func TestSentWaitsForTheNextFlush(t *testing.T) {
	l, fd := ringLoop(t)
	c := &conn{loop: l, fd: fd, recipientIndex: -1}
	c.session = l.cfg.Room.Join(netip.AddrPort{}, l, c)
	c.session.Feed(wire.AppendCred(nil, "alice", "x"))
	other := l.cfg.Room.Join(netip.AddrPort{}, nopWaker{}, nil)
	other.Feed(wire.AppendCred(nil, "bob", "x"))
	say := func(text string) { other.Feed(wire.AppendChat(nil, text)) }
	complete := func(short int) { l.sent(c, &ring.CQE{Res: int32(len(c.inFlight) - short)}) }

	l.handleWoken(c) // she is granted
	complete(0)
	if c.sending {
		t.Fatalf("%q is sent to one who is owed nothing", c.inFlight)
	}
	say("one")
	l.member.BeginWriting()
	l.write(c)
	say("two")
	complete(3)
	if !c.sending {
		t.Error("what is left of a send is not sent on")
	}
	complete(0)
	if c.sending || !l.member.Grew() || c.recipientIndex < 0 {
		t.Errorf("sending %v, grew %v, recipientIndex %d: what was said since should wait for the next flush", c.sending, l.member.Grew(), c.recipientIndex)
	}
	l.member.BeginWriting()
	l.write(c)
	c.session.Feed(wire.AppendFile(nil, wire.LsReq, "alice", nil))
	say("three")
	if complete(0); !c.sending {
		t.Error("a frame for the client alone waits")
	}
	if complete(0); c.sending {
		t.Errorf("%q is sent, and should wait for the next flush", c.inFlight)
	}
	c.session.Feed(wire.AppendFile(nil, wire.LsReq, "alice", nil))
	l.handleWoken(c)
	say("four")
	complete(0)
	if want := "\x00bob: three\x00\x00bob: four\x00"; string(c.inFlight) != want {
		t.Errorf("%q goes along with a frame for the client alone, want %q", c.inFlight, want)
	}
	if complete(0); c.sending {
		t.Errorf("%q is sent, and should wait for the next flush", c.inFlight)
	}
	l.cfg.Room.Drain()
	if complete(0); !c.sending {
		t.Error("last words wait")
	}
}
