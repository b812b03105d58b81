package transfer

import (
	"context"
	"fmt"
	"net"
	"net/netip"
)

// LookUpAddress parses the address that downloaders are told to connect to: an IP
// address, or a name, which is looked up once; its first address is used.
func LookUpAddress(ctx context.Context, host string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		var all []netip.Addr
		if all, err = net.DefaultResolver.LookupNetIP(ctx, "ip", host); err == nil && len(all) > 0 {
			addr = all[0]
		}
	}
	addr = addr.Unmap()
	switch {
	case err != nil:
		return netip.Addr{}, fmt.Errorf("transfer: -share-address: %w: give an IP address, or a name that has one, without a port", err)
	case !addr.IsValid() || addr.IsUnspecified() || addr.IsMulticast() || addr.Zone() != "":
		return netip.Addr{}, fmt.Errorf("transfer: -share-address: nobody can connect to %q: give the address that others have to use", host)
	}
	return addr, nil
}

// listenFor is the address to listen on when downloaders are told to connect to told:
// told itself if this machine has it. Otherwise a router or a tunnel has it, which may
// forward connections to any address of this machine; then all addresses of its family.
func listenFor(told netip.Addr) netip.Addr {
	l, err := listenOn(told, 0)
	if err == nil {
		l.Close()
		return told
	}
	if told.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// listenOn listens on an address of one family, never of both.
func listenOn(addr netip.Addr, port uint16) (*net.TCPListener, error) {
	network := "tcp6"
	if addr.Is4() {
		network = "tcp4"
	}
	return net.ListenTCP(network, net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr, port)))
}
