package wire

import (
	"bytes"
	"net/netip"
	"testing"
)

func TestParseAck(t *testing.T) {
	cases := []struct {
		body                   string
		name, file, addr, hash string
		port                   uint16
	}{
		{"bob a.txt 127.0.0.1 5000", "bob", "a.txt", "127.0.0.1", "", 5000},
		{"bob a.txt 127.0.0.1 5000 " + token, "bob", "a.txt", "127.0.0.1", token, 5000},
		{"bob a b 1 2.txt 10.0.0.255 65535", "bob", "a b 1 2.txt", "10.0.0.255", "", 65535},
		{"민수 한글 파일.txt 1.2.3.4 1024 " + token, "민수", "한글 파일.txt", "1.2.3.4", token, 1024},
		// Names that look like the fields behind them.
		{"bob 1.2.3.4 5.6.7.8 80", "bob", "1.2.3.4", "5.6.7.8", "", 80},
		{"bob 1.2.3.4 5000 5.6.7.8 80", "bob", "1.2.3.4 5000", "5.6.7.8", "", 80},
		{"bob " + token + " 5.6.7.8 80", "bob", token, "5.6.7.8", "", 80},
		{"bob 1.2.3.4 5000 " + token + " 5.6.7.8 80 " + token, "bob", "1.2.3.4 5000 " + token, "5.6.7.8", token, 80},
		{"bob   1.2.3.4 80", "bob", " ", "1.2.3.4", "", 80},
		{"bob a  1.2.3.4 80", "bob", "a ", "1.2.3.4", "", 80},
		// A port that may not be used is the room's affair.
		{"bob a 1.2.3.4 0", "bob", "a", "1.2.3.4", "", 0},
		{"bob a 0.0.0.0 22", "bob", "a", "0.0.0.0", "", 22},
		{"bob a ::1 5000", "bob", "a", "::1", "", 5000},
		{"bob a 2001:db8::1 5000 " + token, "bob", "a", "2001:db8::1", token, 5000},
		{"bob a ::ffff:1.2.3.4 5000", "bob", "a", "::ffff:1.2.3.4", "", 5000},
	}
	for _, c := range cases {
		a, ok := ParseAck([]byte(c.body))
		if !ok || string(a.Name) != c.name || string(a.File) != c.file || a.Addr.String() != c.addr ||
			a.Port != c.port || string(a.Token) != c.hash {
			t.Errorf("%q: got %q %q %v %d %q, %v", c.body, a.Name, a.File, a.Addr, a.Port, a.Token, ok)
		}
		want := append(append([]byte{2, 5}, c.body...), 0)
		if got := AppendAck(nil, a); !bytes.Equal(got, want) {
			t.Errorf("%q: written as %q", want, got)
		}
	}
}

func TestParseAckRefuses(t *testing.T) {
	for _, body := range []string{
		"", " ", "bob", "bob a", "bob a 1.2.3.4", "bob 1.2.3.4 80", "bob  1.2.3.4 80", " a 1.2.3.4 80",
		"bob 1.2.3.4 80 " + token, "bob a 80 " + token, "bob a 1.2.3.4 " + token,
		"bob a 1.2.3.4 65536", "bob a 1.2.3.4 99999", "bob a 1.2.3.4 100000", "bob a 1.2.3.4 -1",
		"bob a 1.2.3.4 +80", "bob a 1.2.3.4 080", "bob a 1.2.3.4 8o", "bob a 1.2.3.4 ", "bob a 1.2.3.4 80 ",
		"bob a 1.2.3.4 80 " + token[1:], "bob a 1.2.3.4 80 " + token + "0",
		"bob a 1.2.3.4 80 " + token[:31] + "F", "bob a 1.2.3.4 80 " + token[:31] + "g",
		"bob a 1.2.3 80", "bob a 1.2.3.4.5 80", "bob a 1.2.3.256 80", "bob a 1.2.3.04 80", "bob a 1.2..4 80",
		"bob a 1.2.3.4. 80", "bob a .1.2.3.4 80", "bob a localhost 80", "bob a  80", "bob a ::g 80",
		"bob a fe80::1%eth0 80", "bob a [::1] 80", "bob a 1.2.3.4\t80", "bob a 1.2.3.4:80 80",
	} {
		if a, ok := ParseAck([]byte(body)); ok || a.Name != nil || a.Addr.IsValid() {
			t.Errorf("%q was taken: %+v, %v", body, a, ok)
		}
	}
}

func TestAppendAckLeavesTheZoneOut(t *testing.T) {
	a := Ack{Name: []byte("bob"), File: []byte("a"), Addr: netip.MustParseAddr("fe80::1%eth0"), Port: 5000}
	if got := AppendAck(nil, a); string(got) != "\x02\x05bob a fe80::1 5000\x00" {
		t.Errorf("written as %q", got)
	}
}

func TestAckAllocatesNothing(t *testing.T) {
	body := []byte("bob a b.txt 192.168.100.200 50000 " + token)
	buf := make([]byte, 0, 128)
	run := func() {
		a, ok := ParseAck(body)
		if !ok {
			panic("not parsed")
		}
		AppendAck(buf, a)
	}
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzAck: what parses is written and parsed again as the same, and addresses
// are read as net/netip reads them.
func FuzzAck(f *testing.F) {
	f.Fuzz(func(t *testing.T, body []byte) {
		want, err := netip.ParseAddr(string(body))
		if addr, ok := parseAddr(body); ok != (err == nil && want.Zone() == "") || ok && addr != want {
			t.Fatalf("address %q read as %v, %v; netip reads %v, %v", body, addr, ok, want, err)
		}
		a, ok := ParseAck(body)
		if !ok {
			return
		}
		frame := AppendAck(nil, a)
		if frame[0] != byte(File) || frame[1] != byte(DnAck) || frame[len(frame)-1] != 0 {
			t.Fatalf("%q written as %q", body, frame)
		}
		if a.Addr.Is4() && !bytes.Equal(frame[2:len(frame)-1], body) {
			t.Fatalf("%q written as %q", body, frame)
		}
		b, ok := ParseAck(frame[2 : len(frame)-1])
		if !ok || !bytes.Equal(a.Name, b.Name) || !bytes.Equal(a.File, b.File) || a.Addr != b.Addr ||
			a.Port != b.Port || !bytes.Equal(a.Token, b.Token) {
			t.Fatalf("%q parsed as %+v, then %+v, %v", body, a, b, ok)
		}
	})
}
