package backendtest

import (
	"net"
	"net/netip"
	"syscall"
	"testing"

	"chatbench/backends"
	"chatbench/core"
)

// Conn is the connection of a client of a test.
type Conn interface {
	net.Conn
	CloseWrite() error                     // a FIN, or what stands for it
	SetLinger(sec int) error               // 0: Close resets the connection
	SyscallConn() (syscall.RawConn, error) // of its socket
}

// Through is what clients come through on their way to a transport, such as a front
// that speaks TLS.
type Through struct {
	// Room has a room take what comes through.
	Room func(*core.Config)
	// Ahead is how many octets the transport reads of a client before its first.
	Ahead int64
	// Open opens the way to a transport that listens at target, for clients as the
	// transport's configuration would have them. Clients connect to at; wrap makes of
	// such a connection the one they speak on. end is called when the transport has ended:
	// whether it had to cut connections.
	Open func(target netip.AddrPort, as backends.Config) (at netip.AddrPort, wrap func(*net.TCPConn) (Conn, error), end func(cut bool))
	// Skip says whether a case is left out, and why: "" if it is not.
	Skip func(name string) (why string)
}

// RunThrough holds a transport and what its clients come through to the contract
// together: what a client sees does not depend on the way.
func RunThrough(t *testing.T, b backends.Backend, way Through) {
	if err := b.Runs(); err != nil {
		t.Skipf("%s cannot run on this machine: %v", b.Name, err)
	}
	for _, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) {
			if why := way.Skip(s.name); why != "" {
				t.Skip(why)
			}
			if reason, gap := b.Gaps[s.name]; gap {
				t.Skipf("gap: %s", reason)
			}
			s.run(&lab{tester: t, backend: b, patience: patience, through: &way})
		})
	}
}
