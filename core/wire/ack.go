package wire

import (
	"bytes"
	"net/netip"
	"strconv"
)

// TokenSize is the length of a token in a DnAck, in lower-case hex digits.
const TokenSize = 32

// Ack is the parsed body of a DnAck frame: File can be fetched at Addr and Port with
// Token. Name is the addressee in a frame from a client, and the sender in one from the
// server. The slices alias what was parsed.
type Ack struct {
	Name, File []byte
	Addr       netip.Addr
	Port       uint16
	Token      []byte // TokenSize octets; empty: the sharer requires none
}

// ParseAck parses the body of a DnAck frame, from the right, because a file name may
// contain spaces. ok is false if a field is missing, empty or invalid. It allocates
// only for an IPv6 address.
func ParseAck(body []byte) (a Ack, ok bool) {
	name, rest, _ := bytes.Cut(body, []byte{' '})
	rest, last := cutLast(rest)
	// No port is as long as a token, so a port at the end is not mistaken for one.
	if isToken(last) {
		a.Token = last
		rest, last = cutLast(rest)
	}
	port, isPort := parseDecimal(last, 1<<16-1)
	file, ip := cutLast(rest)
	addr, isAddr := parseAddr(ip)
	if !isPort || !isAddr || len(name) == 0 || len(file) == 0 {
		return Ack{}, false
	}
	a.Name, a.File, a.Addr, a.Port = name, file, addr, uint16(port)
	return a, true
}

// AppendAck appends a DnAck frame. The address is written without its zone, which has
// a meaning on one machine only.
func AppendAck(dst []byte, a Ack) []byte {
	dst = append(dst, byte(File), byte(DnAck))
	dst = append(dst, a.Name...)
	dst = append(dst, ' ')
	dst = append(dst, a.File...)
	dst = append(dst, ' ')
	dst = a.Addr.WithZone("").AppendTo(dst)
	dst = append(dst, ' ')
	dst = strconv.AppendUint(dst, uint64(a.Port), 10)
	if len(a.Token) > 0 {
		dst = append(dst, ' ')
		dst = append(dst, a.Token...)
	}
	return append(dst, 0)
}

// cutLast cuts p around its last space. before is empty if there is none.
func cutLast(p []byte) (before, last []byte) {
	i := bytes.LastIndexByte(p, ' ')
	return p[:max(i, 0)], p[i+1:]
}

func isToken(p []byte) bool {
	for _, c := range p {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(p) == TokenSize
}

// parseDecimal parses digits without a leading zero.
func parseDecimal(p []byte, most int) (n int, ok bool) {
	if len(p) == 0 || len(p) > 5 || p[0] == '0' && len(p) > 1 {
		return 0, false
	}
	for _, c := range p {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, n <= most
}

// parseAddr parses an IP address without a zone. It parses IPv4 itself, because netip
// accepts only strings, and a string would have to be allocated.
func parseAddr(p []byte) (netip.Addr, bool) {
	if bytes.IndexByte(p, ':') >= 0 {
		addr, err := netip.ParseAddr(string(p))
		return addr, err == nil && addr.Zone() == ""
	}
	var four [4]byte
	for i := range four {
		field, rest, dot := bytes.Cut(p, []byte{'.'})
		n, ok := parseDecimal(field, 255)
		if !ok || dot != (i < len(four)-1) {
			return netip.Addr{}, false
		}
		four[i], p = byte(n), rest
	}
	return netip.AddrFrom4(four), true
}
