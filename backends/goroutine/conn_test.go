package goroutine

import (
	"net/netip"
	"testing"
	"time"

	"chatbench/backends"
	"chatbench/core"
	"chatbench/internal/tcptest"
)

// TestReaderEndsBeforeThePark: a client whose reader ends when its writer has found nothing to write, and has
// not parked yet, leaves the room.
func TestReaderEndsBeforeThePark(t *testing.T) {
	room := core.NewRoom(core.Config{Authenticator: core.OpenDoor{}, Now: time.Now()})
	s := &server{cfg: backends.Config{Room: room, Counters: new(backends.Counters)}}
	s.rounds = newRounds(room, s.wakeAll)
	_, nc := tcptest.Pair(t)
	raw, err := nc.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	c := newConn(s, nc, raw)
	s.conns = []*conn{c}
	s.clients.Add(1)
	c.session = room.Join(netip.AddrPort{}, s.rounds, c)
	raw.Control(func(fd uintptr) {
		if !c.write(fd) {
			t.Error("there is something to write")
		}
	})
	c.readerEnds(core.ReasonReset)
	if c.park() {
		t.Error("its writer parks, and nobody ends the connection")
	} else {
		c.writeAll()
	}
	if st := room.Snapshot(); st.Clients != 0 || st.Ends[core.ReasonReset] != 1 {
		t.Errorf("%d clients, ends %v", st.Clients, st.Ends)
	}
}
