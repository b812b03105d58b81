package backendtest

import (
	"net"
	"net/netip"
	"syscall"
	"testing"

	"chatbench/backends"
	"chatbench/core"
)

// Conn is a client's connection.
type Conn interface {
	net.Conn
	CloseWrite() error                     // sends a FIN, or what corresponds to it
	SetLinger(sec int) error               // 0: Close resets the connection
	SyscallConn() (syscall.RawConn, error) // of its socket
}

// Through is something between clients and a transport, such as a front that speaks TLS.
type Through struct {
	// Room configures a room for what comes through.
	Room func(*core.Config)
	// Ahead is how many octets the transport reads before a client's own first octet.
	Ahead int64
	// Open starts it, for a transport that listens at target and has the configuration
	// as. Clients connect to at, and wrap makes the connection that they use from theirs.
	// end is called when the transport has ended; cut says whether connections were cut.
	Open func(target netip.AddrPort, as backends.Config) (at netip.AddrPort, wrap func(*net.TCPConn) (Conn, error), end func(cut bool))
	// Skip says why a case is left out, or "" if it is run.
	Skip func(name string) (why string)
}

// RunThrough checks a transport together with what its clients come through: to clients
// there must be no difference.
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
			s.run(&harness{tester: t, backend: b, timeout: timeout, through: &way})
		})
	}
}
