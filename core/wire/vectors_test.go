package wire

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// A vector is a frame written down by hand: its octets in hex, text in quotes.
type vector struct {
	name   string
	octets string
	frame  Frame
	append func(dst []byte) []byte
}

const token = "00112233445566778899aabbccddeeff"

var vectors = []vector{
	{"empty chat", `00 00`, Frame{Chat, 0, nil},
		func(d []byte) []byte { return AppendChat(d, "") }},
	{"chat", `00 "hi" 00`, Frame{Chat, 0, []byte("hi")},
		func(d []byte) []byte { return AppendChat(d, "hi") }},
	{"hangul", `00 ed 95 9c ea b8 80 00`, Frame{Chat, 0, []byte("한글")},
		func(d []byte) []byte { return AppendChat(d, "한글") }},
	{"octets of other frames in a chat", `00 01 02 03 04 ff 00`, Frame{Chat, 0, []byte("\x01\x02\x03\x04\xff")},
		func(d []byte) []byte { return AppendChat(d, "\x01\x02\x03\x04\xff") }},
	{"said", `00 "bob: " "hi" 00`, Frame{Chat, 0, []byte("bob: hi")},
		func(d []byte) []byte { return AppendSaid(d, "bob", []byte("hi")) }},
	{"empty said", `00 "bob: " 00`, Frame{Chat, 0, []byte("bob: ")},
		func(d []byte) []byte { return AppendSaid(d, "bob", nil) }},
	{"notice", `00 "server: No such user: eve" 00`, Frame{Chat, 0, []byte("server: No such user: eve")},
		func(d []byte) []byte { return AppendNotice(d, "No such user: eve") }},
	{"cred", `01 "bob" 20 "pass word" 00`, Frame{Cred, 0, []byte("bob pass word")},
		func(d []byte) []byte { return AppendCred(d, "bob", "pass word") }},
	{"cred without a password", `01 "bob" 20 00`, Frame{Cred, 0, []byte("bob ")},
		func(d []byte) []byte { return AppendCred(d, "bob", "") }},
	{"granted", `01 "granted" 00`, Frame{Cred, 0, []byte("granted")}, AppendGranted},
	{"denied", `01 "denied name is taken" 00`, Frame{Cred, 0, []byte("denied name is taken")},
		func(d []byte) []byte { return AppendDenied(d, "name is taken") }},
	{"close", `03 00`, Frame{Close, 0, nil}, AppendClose},
	{"list request: the command is NUL", `02 00 "bob" 00`, Frame{File, LsReq, []byte("bob")},
		func(d []byte) []byte { return AppendFile(d, LsReq, "bob", nil) }},
	{"list request to nobody: three NULs in sight of each other", `02 00 00`, Frame{File, LsReq, nil},
		func(d []byte) []byte { return AppendFile(d, LsReq, "", nil) }},
	{"list start", `02 01 "bob" 00`, Frame{File, LsStart, []byte("bob")},
		func(d []byte) []byte { return AppendFile(d, LsStart, "bob", nil) }},
	{"list body", `02 02 "bob" 20 "a b 1.txt" 00`, Frame{File, LsBody, []byte("bob a b 1.txt")},
		func(d []byte) []byte { return AppendFile(d, LsBody, "bob", []byte(" a b 1.txt")) }},
	{"list end", `02 03 "bob" 00`, Frame{File, LsEnd, []byte("bob")},
		func(d []byte) []byte { return AppendFile(d, LsEnd, "bob", nil) }},
	{"download request", `02 04 "bob" 20 "a.txt" 00`, Frame{File, DnReq, []byte("bob a.txt")},
		func(d []byte) []byte { return AppendFile(d, DnReq, "bob", []byte(" a.txt")) }},
	{"download ack", `02 05 "bob" 20 "a.txt" 20 "127.0.0.1" 20 "5000" 00`,
		Frame{File, DnAck, []byte("bob a.txt 127.0.0.1 5000")},
		func(d []byte) []byte {
			return AppendAck(d, Ack{[]byte("bob"), []byte("a.txt"), netip.MustParseAddr("127.0.0.1"), 5000, nil})
		}},
	{"download ack with a token", `02 05 "bob" 20 "a b" 20 "::1" 20 "65535" 20 "` + token + `" 00`,
		Frame{File, DnAck, []byte("bob a b ::1 65535 " + token)},
		func(d []byte) []byte {
			return AppendAck(d, Ack{[]byte("bob"), []byte("a b"), netip.MustParseAddr("::1"), 65535, []byte(token)})
		}},
	{"download nack", `02 06 "bob" 20 "a.txt" 00`, Frame{File, DnNack, []byte("bob a.txt")},
		func(d []byte) []byte { return AppendFile(d, DnNack, "bob", []byte(" a.txt")) }},
}

// octets turns a vector's notation into bytes.
func octets(t testing.TB, notation string) []byte {
	t.Helper()
	var out []byte
	for i, part := range strings.Split(notation, `"`) {
		if i%2 == 1 {
			out = append(out, part...)
			continue
		}
		b, err := hex.DecodeString(strings.ReplaceAll(part, " ", ""))
		if err != nil {
			t.Fatalf("vector %s: %v", notation, err)
		}
		out = append(out, b...)
	}
	return out
}

// conversation is all vectors one behind the other.
func conversation(t testing.TB) (in []byte, want []Frame) {
	for _, v := range vectors {
		in = append(in, octets(t, v.octets)...)
		want = append(want, v.frame)
	}
	return in, want
}

// feed gives pieces to d and copies out the frames. It spoils each piece when
// it is taken, as a reader does that uses its buffer again.
func feed(d *Decoder, pieces ...[]byte) (frames []Frame, err error) {
	for _, piece := range pieces {
		buf := bytes.Clone(piece)
		for rest := buf; ; {
			f, more, ok, err := d.Next(rest)
			if err != nil {
				return frames, err
			}
			if !ok {
				if len(more) > 0 {
					panic(fmt.Sprintf("Next left %d octets and gave no frame", len(more)))
				}
				break
			}
			f.Body = bytes.Clone(f.Body)
			frames, rest = append(frames, f), more
		}
		for i := range buf {
			buf[i] = 0xaa
		}
	}
	return frames, nil
}

func sameFrames(a, b []Frame) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Type != b[i].Type || a[i].Command != b[i].Command || !bytes.Equal(a[i].Body, b[i].Body) {
			return false
		}
	}
	return true
}

func TestVectorsEncode(t *testing.T) {
	for _, v := range vectors {
		want := append([]byte("before"), octets(t, v.octets)...)
		if got := v.append([]byte("before")); !bytes.Equal(got, want) {
			t.Errorf("%s: encoded as % x, want % x", v.name, got, want)
		}
	}
}

func TestVectorsDecodeSplitEverywhere(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			splitEverywhere(t, octets(t, v.octets), []Frame{v.frame})
		})
	}
	t.Run("all in one read", func(t *testing.T) {
		in, want := conversation(t)
		splitEverywhere(t, in, want)
	})
}

// splitEverywhere feeds in whole, byte by byte, and cut at every byte and at
// every pair of bytes.
func splitEverywhere(t *testing.T, in []byte, want []Frame) {
	t.Helper()
	check := func(how string, pieces ...[]byte) {
		t.Helper()
		var d Decoder
		got, err := feed(&d, pieces...)
		if err != nil || !sameFrames(got, want) || d.Held() != 0 {
			t.Fatalf("%s: got %v, error %v, %d octets held; want %v", how, got, err, d.Held(), want)
		}
	}
	check("whole", in)
	var single [][]byte
	for i := range in {
		single = append(single, in[i:i+1])
	}
	check("byte by byte", single...)
	for i := range in {
		for j := i; j < len(in); j++ {
			check(fmt.Sprintf("cut at %d and %d", i, j), in[:i], in[i:j], in[j:])
		}
	}
}

func TestHeldTellsHowMuchIsUnfinished(t *testing.T) {
	in, _ := conversation(t)
	var d Decoder
	ended := 0
	for i := range in {
		frames, err := feed(&d, in[i:i+1])
		if err != nil {
			t.Fatal(err)
		}
		if len(frames) > 0 {
			ended = i + 1
		}
		if d.Held() != i+1-ended {
			t.Fatalf("after %d octets %d are held, want %d", i+1, d.Held(), i+1-ended)
		}
	}
}

func TestBodyCannotGrowIntoTheNextFrame(t *testing.T) {
	in := []byte("\x00ab\x00\x00cd\x00")
	var d Decoder
	f, rest, _, _ := d.Next(in)
	_ = append(f.Body, "xyz"...)
	if f, _, _, _ = d.Next(rest); string(f.Body) != "cd" {
		t.Errorf("the next frame's body became %q", f.Body)
	}
}
