// Package proxyproto reads and writes the header in which a proxy says on whose
// behalf it connects: HAProxy's PROXY protocol, versions 1 and 2
// (https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt).
//
// Policy decides which connections begin with one. A header is believed if the
// connection comes from a trusted address, or if it holds the proof that a front of
// this process wrote it, which connects over loopback. Any other is refused: it would
// let anybody claim any address.
//
// The proof is a TLV of type E0, for which the front and the Policy share a secret:
//
//	HMAC-SHA256(secret, "FRONT CLIENT")
//
// FRONT is the address and port from which the front has connected, CLIENT those that
// the header names, both as text as in 127.0.0.1:40000 or [2001:db8::9]:51000, and
// IPv4 as IPv4. So whoever sees a header can claim with it no other client, and that
// one only from the same port.
//
// The package refuses to read from connections: it is given octets as they come,
// and keeps at most one header of them. A Policy may be used from any goroutine
// and does not change; what its Preface returns belongs to one goroutine at a time.
package proxyproto

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	pp "github.com/pires/go-proxyproto"

	"chatbench/core"
)

const (
	// proofType is the type of the TLV with the proof: the first of those that the
	// protocol leaves to applications.
	proofType = pp.PP2Type(0xE0)
	// longestLine is the longest header of version 1, in octets, its CR LF included.
	longestLine = 107
	// fixedPart is how long the part of a version 2 header is that says how long
	// the rest is.
	fixedPart = 16
	// longestRest bounds that rest: addresses take at most 216 octets, the others
	// are for TLVs.
	longestRest = 4096
)

// ErrHeader is what all errors of a Preface are.
var ErrHeader = errors.New("proxyproto: bad header")

// Policy says which connections begin with a header.
type Policy struct {
	// Trusted are the addresses of proxies. Each connection from them must begin
	// with a header.
	Trusted []netip.Prefix
	// Secret is that of the front of this process, nil if there is none: a
	// connection from a loopback address may begin with a header that proves to
	// come from who knows it.
	Secret []byte
	// SecretOnly: every connection must.
	SecretOnly bool
}

// Preface gives the reader for a connection from peer; nil: it begins with frames.
// It is made for core.Config.Preface.
func (p *Policy) Preface(peer netip.AddrPort) core.Preface {
	addr := plain(peer).Addr()
	trusted := !p.SecretOnly && slices.ContainsFunc(p.Trusted, func(one netip.Prefix) bool { return one.Contains(addr) })
	switch {
	case trusted:
		return &reader{required: true}
	case p.SecretOnly, p.Secret != nil && addr.IsLoopback():
		return &reader{required: p.SecretOnly, secret: p.Secret, needsProof: true, peer: peer}
	}
	return nil
}

// reader reads the header of one connection.
type reader struct {
	required   bool
	needsProof bool // that its writer knows secret
	secret     []byte
	peer       netip.AddrPort
	seen       []byte // of the header
}

// Required says that the connection must begin with a header.
func (r *reader) Required() bool { return r.required }

// Take reads on. See core.Preface.
func (r *reader) Take(in []byte) (rest []byte, done bool, client netip.AddrPort, err error) {
	if len(r.seen) == 0 && len(in) > 0 && !r.required && in[0] != pp.SIGV1[0] && in[0] != pp.SIGV2[0] {
		return in, true, netip.AddrPort{}, nil // no frame begins like a header
	}
	r.seen = append(r.seen, in...)
	n, err := headerLength(r.seen)
	if err != nil || n == 0 {
		return nil, false, netip.AddrPort{}, err
	}
	client, err = r.parse(r.seen[:n])
	return r.seen[n:], err == nil, client, err
}

// headerLength is how long the header is that b begins with; 0: that is not known
// yet, or it has not all come.
func headerLength(b []byte) (n int, err error) {
	begins := func(signature []byte) bool {
		k := min(len(b), len(signature))
		return k > 0 && bytes.Equal(b[:k], signature[:k])
	}
	switch {
	case len(b) == 0:
		return 0, nil
	case begins(append(slices.Clone(pp.SIGV1), ' ')):
		if end := bytes.IndexByte(b[:min(len(b), longestLine)], '\n'); end >= 0 {
			return end + 1, nil
		}
		if len(b) >= longestLine {
			return 0, fmt.Errorf("%w: no end of line within %d octets", ErrHeader, longestLine)
		}
		return 0, nil
	case !begins(pp.SIGV2):
		return 0, fmt.Errorf("%w: it is neither of version 1 nor of version 2", ErrHeader)
	case len(b) < fixedPart:
		return 0, nil
	}
	rest := int(binary.BigEndian.Uint16(b[fixedPart-2:]))
	if rest > longestRest {
		return 0, fmt.Errorf("%w: %d octets follow, %d may", ErrHeader, rest, longestRest)
	}
	if len(b) < fixedPart+rest {
		return 0, nil
	}
	return fixedPart + rest, nil
}

// parse reads a header that is all there.
func (r *reader) parse(b []byte) (client netip.AddrPort, err error) {
	h, err := pp.Read(bufio.NewReader(bytes.NewReader(b)))
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%w: %w", ErrHeader, err)
	}
	source, _, isTCP := h.TCPAddrs()
	if isTCP && !h.Command.IsLocal() { // otherwise it names no client: the proxy connects for itself
		client = plain(source.AddrPort())
	}
	if r.needsProof && !r.proven(h, client) {
		return netip.AddrPort{}, fmt.Errorf("%w: it does not come from here", ErrHeader)
	}
	return client, nil
}

// proven says whether a header that names a client holds the proof, for which there
// must be a secret.
func (r *reader) proven(h *pp.Header, client netip.AddrPort) bool {
	want := proof(r.secret, r.peer, client)
	tlvs, err := h.TLVs()
	return err == nil && len(r.secret) > 0 && slices.ContainsFunc(tlvs, func(t pp.TLV) bool {
		return t.Type == proofType && hmac.Equal(t.Value, want)
	})
}

// proof is what shows that the front, connected from an address, names a client.
func proof(secret []byte, front, client netip.AddrPort) []byte {
	mac := hmac.New(sha256.New, secret)
	fmt.Fprint(mac, plain(front), " ", plain(client))
	return mac.Sum(nil)
}

// plain is an address in the one form in which both sides of a connection know it.
func plain(addr netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(addr.Addr().Unmap().WithZone(""), addr.Port())
}

// Header is a header of version 2 that names a client, for a connection that was made
// from local, the address that its other end sees. With a secret it holds the proof
// that a Policy asks for.
func Header(client, local netip.AddrPort, secret []byte) ([]byte, error) {
	h := pp.HeaderProxyFromAddrs(2, net.TCPAddrFromAddrPort(client), net.TCPAddrFromAddrPort(local))
	if len(secret) > 0 {
		if err := h.SetTLVs([]pp.TLV{{Type: proofType, Value: proof(secret, local, client)}}); err != nil {
			return nil, fmt.Errorf("proxyproto: %w", err)
		}
	}
	b, err := h.Format()
	if err != nil {
		return nil, fmt.Errorf("proxyproto: %w", err)
	}
	return b, nil
}
