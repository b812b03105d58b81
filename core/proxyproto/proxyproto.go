// Package proxyproto reads and writes the header in which a proxy names the client
// for which it connects: HAProxy's PROXY protocol, versions 1 and 2
// (https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt).
//
// A Policy decides which connections begin with a header. A header is accepted if the
// connection comes from a trusted address, or if it has a proof that the front of this
// process wrote it, which connects over loopback. Any other header is refused: it would
// let anybody claim any address.
//
// The proof is a TLV of type E0, for which the front and the Policy share a secret:
//
//	HMAC-SHA256(secret, "FRONT CLIENT")
//
// FRONT is the address and port from which the front has connected, CLIENT those that
// the header names, both as text as in 127.0.0.1:40000 or [2001:db8::9]:51000, and
// IPv4 in IPv4 form. So a header that somebody has seen can be used for no other client,
// and only from the same port.
//
// The package does not read from connections: it is given octets as they come, and
// keeps at most one header. A Policy does not change and may be used from any
// goroutine; what its Preface returns belongs to one goroutine at a time.
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
	// fixedPart is the length of the first part of a version 2 header, which ends with
	// the length of the rest.
	fixedPart = 16
	// longestRest bounds the rest: addresses take at most 216 octets, TLVs the others.
	longestRest = 4096
)

// ErrHeader is wrapped by all errors of a Preface.
var ErrHeader = errors.New("proxyproto: bad header")

// Policy says which connections begin with a header.
type Policy struct {
	// Trusted are the addresses of proxies. Each connection from them must begin
	// with a header.
	Trusted []netip.Prefix
	// Secret is the secret of the front of this process, nil if there is none. A
	// connection from a loopback address may begin with a header that has a proof made
	// with it.
	Secret []byte
	// SecretOnly means that every connection must begin with such a header.
	SecretOnly bool
}

// Preface returns the reader for a connection from peer; nil: it begins with frames.
// It is made for core.Config.Preface.
func (p *Policy) Preface(peer netip.AddrPort) core.Preface {
	addr := normalized(peer).Addr()
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
	needsProof bool // the header must have a proof
	secret     []byte
	peer       netip.AddrPort
	seen       []byte // the octets of the header that have come
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

// headerLength is the length of the header at the beginning of b; 0: the header is
// not complete yet.
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
		return 0, fmt.Errorf("%w: %d octets follow the fixed part, at most %d are allowed", ErrHeader, rest, longestRest)
	}
	if len(b) < fixedPart+rest {
		return 0, nil
	}
	return fixedPart + rest, nil
}

// parse parses a complete header.
func (r *reader) parse(b []byte) (client netip.AddrPort, err error) {
	h, err := pp.Read(bufio.NewReader(bytes.NewReader(b)))
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%w: %w", ErrHeader, err)
	}
	source, _, isTCP := h.TCPAddrs()
	if isTCP && !h.Command.IsLocal() { // otherwise it names no client: the proxy connects for itself
		client = normalized(source.AddrPort())
	}
	if r.needsProof && !r.proven(h, client) {
		return netip.AddrPort{}, fmt.Errorf("%w: this process did not write it", ErrHeader)
	}
	return client, nil
}

// proven says whether a header that names a client has the proof. Without a secret it
// is false.
func (r *reader) proven(h *pp.Header, client netip.AddrPort) bool {
	want := proof(r.secret, r.peer, client)
	tlvs, err := h.TLVs()
	return err == nil && len(r.secret) > 0 && slices.ContainsFunc(tlvs, func(t pp.TLV) bool {
		return t.Type == proofType && hmac.Equal(t.Value, want)
	})
}

// proof is the proof that the front, which connects from an address, names a client.
func proof(secret []byte, front, client netip.AddrPort) []byte {
	mac := hmac.New(sha256.New, secret)
	fmt.Fprint(mac, normalized(front), " ", normalized(client))
	return mac.Sum(nil)
}

// normalized is an address in the form that is the same on both sides of a connection.
func normalized(addr netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(addr.Addr().Unmap().WithZone(""), addr.Port())
}

// Header is a header of version 2 that names a client, for a connection from local, the
// address that the other end of the connection sees. With a secret it has the proof that a
// Policy requires.
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
