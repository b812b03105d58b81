package gate

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"chatbench/core"
	"chatbench/core/units"
	"chatbench/core/users"
	"chatbench/core/wire"
)

// slow gives the gate a pool with one thread, and makes each hash last until the test sends to
// turn. When the hashing of a name begins the name is sent to begun.
func slow(t *testing.T, g *Gate, places int) (begun chan string, turn chan struct{}) {
	g.pool.close()
	g.pool = newPool(1, places)
	begun, turn = make(chan string, 1000), make(chan struct{}, 1000)
	verify := g.verify
	g.verify = func(u *users.Users, name, password string) bool {
		begun <- name
		<-turn
		return verify(u, name, password)
	}
	t.Cleanup(func() { close(turn) }) // before the gate is closed
	return begun, turn
}

func (g *Gate) ask(addr, name, password string) <-chan error {
	answers := make(chan error, 2) // with room for a second answer, which would be a bug
	from := netip.AddrPortFrom(netip.MustParseAddr(addr), 4000)
	g.Authenticate(core.NewLogin(from, name, password, func(err error) { answers <- err }))
	return answers
}

// An address that floods with new names does not delay another address: a login from there waits
// for the hash under way, for one of the flood, and for its own.
func TestFloodedByOneAddress(t *testing.T) {
	g := newTestGate(t, units.Rate(10.0/60))
	begun, turn := slow(t, g, 16)
	for i := range 100 {
		g.ask("192.0.2.1", fmt.Sprint("nobody", i), "x")
	}
	<-begun
	alice := g.ask("198.51.100.1", "alice", "apple")
	if err := <-g.ask("192.0.2.1", "onemore", "x"); err != errCrowded || g.counts.crowded.Load() != 1 {
		t.Errorf("one more of the flood: %v, want %v; %d counted", err, errCrowded, g.counts.crowded.Load())
	}
	for hashes := 1; ; hashes++ {
		turn <- struct{}{}
		var name string
		select {
		case name = <-begun:
		case err := <-alice:
			t.Fatalf("from another address: %v, before her password was hashed", err)
		}
		if name == "alice" {
			if hashes > 2 {
				t.Errorf("alice had her turn after %d others", hashes)
			}
			break
		}
	}
	turn <- struct{}{}
	if err := <-alice; err != nil {
		t.Errorf("the right password from another address: %v", err)
	}
	if n := g.counts.busy.Load(); n == 0 {
		t.Error("nothing was refused: the queue was not full")
	}
}

// idleWaker is a transport that writes nothing.
type idleWaker struct{}

func (idleWaker) WakeRoom()          {}
func (idleWaker) Wake(*core.Session) {}

// The password of a client that has gone is not hashed, and does not count as wrong.
func TestAbandonedLogins(t *testing.T) {
	g := newTestGate(t, units.Rate(10.0/60))
	begun, turn := slow(t, g, 100)
	room := core.NewRoom(core.Config{Authenticator: g, Now: time.Now()})
	join := func(name, password string) *core.Session {
		s := room.Join(peer, idleWaker{}, nil)
		s.Feed(wire.AppendCred(nil, name, password))
		return s
	}
	join("first", "x")
	<-begun
	const left = 20
	for i := range left {
		join(fmt.Sprint("gone", i), "x").Leave(core.ReasonReset)
	}
	alice := join("alice", "apple")
	turn <- struct{}{}
	if name := <-begun; name != "alice" {
		t.Errorf("%s is hashed before alice", name)
	}
	turn <- struct{}{}
	waitFor(t, func() bool { return alice.State() == core.StateGrant })
	if n := g.counts.abandoned.Load(); n != left {
		t.Errorf("%d abandoned logins counted, want %d", n, left)
	}
	if n := len(g.throttle.buckets); n != 1 {
		t.Errorf("wrong passwords are counted for %d names, want 1", n)
	}
}

// The throttle cannot be evaded with new names, except from addresses of a local proxy. Right
// passwords do not count.
func TestThrottledAddresses(t *testing.T) {
	const perName = 3
	for addr, limited := range map[string]bool{
		"192.0.2.1": true, "2001:db8::1": true, "127.0.0.1": false, "127.0.0.2": false, "::1": false, "::ffff:127.0.0.1": false,
	} {
		g := newTestGate(t, units.Rate(perName/60.0))
		for i := range 10 * perName * 3 {
			if err := <-g.ask(addr, "alice", "apple"); err != nil {
				t.Fatalf("%s: right password %d: %v", addr, i, err)
			}
		}
		wrong := 0
		for i := range 10 * perName * 3 {
			if <-g.ask(addr, fmt.Sprint("nobody", i), "x") == errWrong {
				wrong++
			}
		}
		if limited != (wrong == perAddress*perName) || !limited && wrong != 10*perName*3 {
			t.Errorf("%s: %d wrong passwords with new names were checked", addr, wrong)
		}
		if err := <-g.ask(addr, "alice", "apple"); limited != (err == errThrottled) {
			t.Errorf("%s: then the right password: %v", addr, err)
		}
	}
}
