package transfer

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"

	"chatbench/server"
)

// A sharer behind a tunnel or a router can name the address to connect to. If its
// machine has that address it listens only there, otherwise on all addresses.
func TestShareAddress(t *testing.T) {
	addr := serve(t, func(o *server.Options) { o.AdvertiseClaimed = true })
	alice := join(t, addr, "alice", nil)
	straight := alice.p.dial
	for name, c := range map[string]struct {
		address string
		own     bool
	}{
		"local":  {"127.0.0.2", true},
		"router": {"192.0.2.1", false}, // an address for documentation, which nobody has
	} {
		bob := join(t, addr, name, func(o *Options) { o.Address = netip.MustParseAddr(c.address) })
		bob.put("a.txt", 1000)
		if !c.own {
			bob.wantTold("192.0.2.1 is not an address of this machine: files are offered on all")
		}
		alice.p.dial = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			if to.Addr().String() != c.address {
				t.Errorf("%s: told to connect to %v", name, to)
			}
			elsewhere := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.3"), to.Port())
			conn, err := straight(ctx, elsewhere)
			if (err == nil) == c.own {
				t.Errorf("%s: connecting to %v: %v", name, elsewhere, err)
			}
			if err == nil {
				return conn, nil // as through a tunnel
			}
			return straight(ctx, to)
		}
		s, err := alice.fetch(name, "a.txt")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		alice.has(s.Name, bob, "a.txt")
	}
}

func TestLookUpAddress(t *testing.T) {
	for host, want := range map[string]string{
		"203.0.113.7": "203.0.113.7", "2001:db8::1": "2001:db8::1", "::ffff:203.0.113.7": "203.0.113.7",
		"0.0.0.0": "nobody can connect", "::": "nobody can connect", "224.0.0.1": "nobody can connect",
		"fe80::1%eth0": "nobody can connect", "203.0.113.7:9000": "without a port", "": "without a port",
	} {
		got, err := LookUpAddress(t.Context(), host)
		if err == nil && got.String() != want || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want %s", host, got, err, want)
		}
	}
	if got, err := LookUpAddress(t.Context(), "localhost"); err != nil || !got.IsLoopback() {
		t.Errorf("localhost: %v, %v", got, err)
	}
}
