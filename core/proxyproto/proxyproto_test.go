package proxyproto

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	pp "github.com/pires/go-proxyproto"

	"chatbench/core"
)

var (
	secret = bytes.Repeat([]byte{7}, 32)
	here   = netip.MustParseAddrPort("127.0.0.1:9000")
	client = netip.MustParseAddrPort("203.0.113.9:51000")
	proxy  = netip.MustParseAddrPort("192.0.2.1:40000")
)

func header(t testing.TB, client, local netip.AddrPort, secret []byte) []byte {
	t.Helper()
	b, err := Header(client, local, secret)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// v2 is a header of version 2 of these parts.
func v2(command, family byte, rest string) string {
	return string(pp.SIGV2) + string([]byte{command, family}) + string(binary.BigEndian.AppendUint16(nil, uint16(len(rest)))) + rest
}

// take gives octets to a preface in pieces of a size, and returns what follows it.
func take(p core.Preface, in []byte, size int) (rest []byte, done bool, client netip.AddrPort, err error) {
	for len(in) > 0 && !done && err == nil {
		n := min(size, len(in))
		rest, done, client, err = p.Take(in[:n])
		in = in[n:]
	}
	return append(bytes.Clone(rest), in...), done, client, err
}

// Whatever the pieces are in which it comes, a header is read, or refused, alike.
func TestHeaders(t *testing.T) {
	trusted := &Policy{Trusted: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
	front := &Policy{Secret: secret, SecretOnly: true}
	mixed := &Policy{Secret: secret}
	for name, c := range map[string]struct {
		policy *Policy
		peer   netip.AddrPort
		in     string
		client string // "" with an error; "none" if it names none
		bad    bool
		short  bool // it has not all come
	}{
		"v1":                   {policy: trusted, peer: proxy, in: "PROXY TCP4 203.0.113.9 192.0.2.1 51000 9000\r\n", client: "203.0.113.9:51000"},
		"v1 of IPv6":           {policy: trusted, peer: proxy, in: "PROXY TCP6 2001:db8::9 2001:db8::1 51000 9000\r\n", client: "[2001:db8::9]:51000"},
		"v1 unknown":           {policy: trusted, peer: proxy, in: "PROXY UNKNOWN\r\n", client: "none"},
		"v1 without CR":        {policy: trusted, peer: proxy, in: "PROXY TCP4 203.0.113.9 192.0.2.1 51000 9000\n", bad: true},
		"v1 without end":       {policy: trusted, peer: proxy, in: "PROXY " + strings.Repeat("x", 120), bad: true},
		"v1 of nonsense":       {policy: trusted, peer: proxy, in: "PROXY TCP4 you me 1 2\r\n", bad: true},
		"v2 of a proxy":        {policy: trusted, peer: proxy, in: string(header(t, client, here, nil)), client: client.String()},
		"v2 local":             {policy: trusted, peer: proxy, in: v2(0x20, 0, ""), client: "none"},
		"v2 local, addresses":  {policy: trusted, peer: proxy, in: v2(0x20, 0x11, strings.Repeat("\x01", 12)), client: "none"},
		"front and proxy":      {policy: &Policy{Trusted: trusted.Trusted, Secret: secret, SecretOnly: true}, peer: proxy, in: string(header(t, client, here, nil)), bad: true},
		"v2 of UDP":            {policy: trusted, peer: proxy, in: v2(0x21, 0x12, strings.Repeat("\x01", 12)), client: "none"},
		"v2 too short":         {policy: trusted, peer: proxy, in: v2(0x21, 0x11, "abc"), bad: true},
		"v2 too long":          {policy: trusted, peer: proxy, in: v2(0x21, 0x11, strings.Repeat("x", longestRest+1)), bad: true},
		"v2 of the largest":    {policy: trusted, peer: proxy, in: v2(0x21, 0x11, strings.Repeat("\x01", 12)+"\xee"+string(binary.BigEndian.AppendUint16(nil, longestRest-15))+strings.Repeat("x", longestRest-15)), client: "1.1.1.1:257"},
		"v2 cut":               {policy: trusted, peer: proxy, in: string(header(t, client, here, nil))[:20], short: true},
		"v3":                   {policy: trusted, peer: proxy, in: v2(0x31, 0x11, strings.Repeat("\x01", 12)), bad: true},
		"frames of a proxy":    {policy: trusted, peer: proxy, in: "\x01alice x\x00", bad: true},
		"front":                {policy: front, peer: here, in: string(header(t, client, here, secret)), client: client.String()},
		"front of mixed":       {policy: front, peer: here, in: string(header(t, netip.MustParseAddrPort("[2001:db8::9]:1"), here, secret)), client: "[2001:db8::9]:1"},
		"front, no secret":     {policy: front, peer: here, in: string(header(t, client, here, nil)), bad: true},
		"front, wrong secret":  {policy: front, peer: here, in: string(header(t, client, here, secret[1:])), bad: true},
		"front, mapped":        {policy: front, peer: netip.MustParseAddrPort("[::ffff:127.0.0.1]:9000"), in: string(header(t, netip.MustParseAddrPort("[::ffff:203.0.113.9]:51000"), here, secret)), client: client.String()},
		"front, zone":          {policy: front, peer: here, in: string(header(t, netip.MustParseAddrPort("[fe80::9%lo]:1"), here, secret)), client: "[fe80::9]:1"},
		"front of IPv6":        {policy: front, peer: netip.MustParseAddrPort("[::1]:9000"), in: string(header(t, client, netip.MustParseAddrPort("[::1]:9000"), secret)), client: client.String()},
		"front, no client":     {policy: front, peer: here, in: v2(0x20, 0, "\xe0\x00\x20"+string(proof(secret, here, netip.AddrPort{}))), client: "none"},
		"front, v1":            {policy: front, peer: here, in: "PROXY TCP4 203.0.113.9 192.0.2.1 51000 9000\r\n", bad: true},
		"front, frames":        {policy: front, peer: here, in: "\x01alice x\x00", bad: true},
		"mixed, front":         {policy: mixed, peer: here, in: string(header(t, client, here, secret)), client: client.String()},
		"mixed, frames":        {policy: mixed, peer: here, in: "", client: "none"},
		"mixed, forged":        {policy: mixed, peer: here, in: string(header(t, client, here, nil)), bad: true},
		"mixed, a line forged": {policy: mixed, peer: here, in: "PROXY TCP4 203.0.113.9 192.0.2.1 51000 9000\r\n", bad: true},
	} {
		const frames = "\x01alice x\x00\x00hello\x00"
		for _, size := range []int{1, 2, 7, 16, 1 << 20} {
			rest, done, got, err := take(c.policy.Preface(c.peer), []byte(c.in+frames), size)
			switch {
			case c.short:
				rest, done, _, err = take(c.policy.Preface(c.peer), []byte(c.in), size)
				if err != nil || done || len(rest) > 0 {
					t.Errorf("%s, by %d: done %v with %q left, %v", name, size, done, rest, err)
				}
			case c.bad:
				if !errors.Is(err, ErrHeader) || done {
					t.Errorf("%s, by %d: done %v, %v", name, size, done, err)
				}
			default:
				text := "none"
				if got.IsValid() {
					text = got.String()
				}
				if err != nil || !done || text != c.client || string(rest) != frames {
					t.Errorf("%s, by %d: done %v, client %s, %q left, %v; want client %s", name, size, done, text, rest, err, c.client)
				}
			}
		}
	}
}

// The proof does not hold the secret, is as the documentation has it, and is good for
// one client on one connection.
func TestProof(t *testing.T) {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("127.0.0.1:9000 203.0.113.9:51000"))
	h := header(t, client, here, secret)
	if bytes.Contains(h, secret) || !bytes.HasSuffix(h, mac.Sum([]byte{0xe0, 0, sha256.Size})) {
		t.Errorf("the header is %x", h)
	}
	front := &Policy{Secret: secret, SecretOnly: true}
	for name, c := range map[string]struct {
		peer netip.AddrPort
		in   string
		good bool
	}{
		"as it is":       {here, string(h), true},
		"another port":   {netip.AddrPortFrom(here.Addr(), here.Port()+1), string(h), false},
		"another client": {here, strings.Replace(string(h), "\xcb\x00\x71\x09", "\xcb\x00\x71\x0a", 1), false},
		"the secret":     {here, v2(0x21, 0x11, strings.Repeat("\x01", 12)+"\xe0\x00\x20"+string(secret)), false},
	} {
		_, done, got, err := front.Preface(c.peer).Take([]byte(c.in))
		if done != c.good || c.good && got != client || !c.good && !errors.Is(err, ErrHeader) {
			t.Errorf("%s: done %v, client %v, %v", name, done, got, err)
		}
	}
}

// Who must and who may begin with a header.
func TestPolicy(t *testing.T) {
	const must, may, no = "must", "may", "no"
	trusted := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("::1/128")}
	for _, c := range []struct {
		policy Policy
		peer   string
		want   string
	}{
		{Policy{}, "127.0.0.1:1", no},
		{Policy{Trusted: trusted}, "192.0.2.77:1", must},
		{Policy{Trusted: trusted}, "[::ffff:192.0.2.77]:1", must},
		{Policy{Trusted: trusted}, "[::1%lo]:1", must},
		{Policy{Trusted: trusted}, "192.0.3.1:1", no},
		{Policy{Trusted: trusted, Secret: secret}, "127.0.0.1:1", may},
		{Policy{Trusted: trusted, Secret: secret}, "[::1]:1", must},
		{Policy{Secret: secret}, "198.51.100.1:1", no},
		{Policy{Secret: secret, SecretOnly: true}, "127.0.0.1:1", must},
		{Policy{Secret: secret, SecretOnly: true}, "198.51.100.1:1", must},
	} {
		got := no
		if p := c.policy.Preface(netip.MustParseAddrPort(c.peer)); p != nil {
			got = map[bool]string{true: must, false: may}[p.Required()]
		}
		if got != c.want {
			t.Errorf("%s with %+v %s begin with a header, want %s", c.peer, c.policy, got, c.want)
		}
	}
}

// FuzzTake: no octets make it panic, take more than a header, or behave in another
// way because of the pieces in which they come.
func FuzzTake(f *testing.F) {
	f.Add(header(f, client, here, secret), byte(3))
	f.Add([]byte("PROXY TCP4 203.0.113.9 192.0.2.1 51000 9000\r\n\x03\x00"), byte(1))
	f.Add([]byte(v2(0x20, 0, "")), byte(200))
	f.Fuzz(func(t *testing.T, in []byte, size byte) {
		for _, policy := range []*Policy{{Trusted: []netip.Prefix{netip.PrefixFrom(proxy.Addr(), 32)}}, {Secret: secret, SecretOnly: true}} {
			whole, done, who, err := take(policy.Preface(proxy), in, len(in)+1)
			parts, done2, who2, err2 := take(policy.Preface(proxy), in, int(size)+1)
			a, b := fmt.Sprint(done, who, err), fmt.Sprint(done2, who2, err2)
			if a != b && (err == nil) != (err2 == nil) || done && (!bytes.Equal(whole, parts) || !bytes.HasSuffix(in, whole)) {
				t.Fatalf("in one piece %s, %q left; by %d %s, %q left", a, whole, int(size)+1, b, parts)
			}
		}
	})
}
