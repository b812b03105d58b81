package wire

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
)

// heads of every kind of frame: a frame of n octets is its head, filling and a NUL.
var heads = []string{"\x00", "\x01", "\x03", "\x02\x00", "\x02\x06"}

func frameOf(head string, n int) []byte {
	p := append([]byte(head), bytes.Repeat([]byte("x"), n-len(head)-1)...)
	return append(p, 0)
}

func TestLimitIsExact(t *testing.T) {
	for _, head := range heads {
		for _, limit := range []int{len(head) + 1, 3, 16, MaxFrame} {
			fits, over := frameOf(head, limit), frameOf(head, limit+1)
			setting := limit
			if limit == MaxFrame {
				setting = 0
			}
			for i := range over {
				d := Decoder{Max: setting}
				got, err := feed(&d, over[:i], over[i:])
				if err != ErrTooLong || len(got) != 0 {
					t.Fatalf("frame % x… one octet over %d cut at %d: %d frames, error %v", head, limit, i, len(got), err)
				}
				d, i = Decoder{Max: setting}, min(i, limit)
				got, err = feed(&d, fits[:i], fits[i:])
				if err != nil || len(got) != 1 || len(got[0].Body) != limit-len(head)-1 {
					t.Fatalf("frame % x… of exactly %d octets cut at %d: %d frames, error %v", head, limit, i, len(got), err)
				}
			}
		}
	}
}

func TestLimitSplitAtEveryPair(t *testing.T) {
	const limit = 24
	for _, head := range heads {
		before := []byte("\x00hi\x00")
		in := append(bytes.Clone(before), frameOf(head, limit+1)...)
		for i := range in {
			for j := i; j < len(in); j++ {
				d := Decoder{Max: limit}
				got, err := feed(&d, in[:i], in[i:j], in[j:])
				if err != ErrTooLong || len(got) != 1 {
					t.Fatalf("head % x cut at %d and %d: %d frames, error %v; want 1 and too long", head, i, j, len(got), err)
				}
			}
		}
	}
}

// A limit that no frame fits into refuses every frame and does nothing worse.
func TestLimitTooSmallForAnyFrame(t *testing.T) {
	for _, head := range heads {
		for limit := 1; limit <= len(head); limit++ {
			in := frameOf(head, 8)
			for i := range in {
				d := Decoder{Max: limit}
				if got, err := feed(&d, in[:i], in[i:]); err != ErrTooLong || len(got) != 0 {
					t.Fatalf("limit %d, head % x cut at %d: %d frames, error %v", limit, head, i, len(got), err)
				}
			}
		}
	}
}

// A frame that never ends costs no more memory than its limit, however it comes.
func TestEndlessFrameIsBounded(t *testing.T) {
	for _, head := range heads {
		for _, piece := range []int{1, 7, 100, 4095, 4096, 1 << 16} {
			in := append([]byte(head), bytes.Repeat([]byte("x"), piece)...)
			var d Decoder
			for fed := 0; ; {
				_, err := feed(&d, in)
				if d.Held() >= MaxFrame || cap(d.held) > 2*MaxFrame {
					t.Fatalf("pieces of %d: %d octets held in a buffer of %d", piece, d.Held(), cap(d.held))
				}
				if fed += len(in); err == ErrTooLong {
					break
				} else if err != nil || fed > 2*MaxFrame+len(in) {
					t.Fatalf("pieces of %d: error %v after %d octets", piece, err, fed)
				}
				in = in[len(in)-piece:]
			}
		}
	}
}

func TestUnknownTypeAndCommandAreRefusedAtOnce(t *testing.T) {
	cases := []struct {
		in   string
		want error
	}{
		{"\x04", ErrType}, {"\xff", ErrType}, {"GET / HTTP/1.1\r\n", ErrType}, {"\x16\x03\x01", ErrType},
		{"\x02\x07", ErrCommand}, {"\x02\xff\x00", ErrCommand},
	}
	for _, c := range cases {
		in := append([]byte("\x00first\x00"), c.in...)
		for i := range in {
			var d Decoder
			got, err := feed(&d, in[:i], in[i:])
			if !errors.Is(err, c.want) || len(got) != 1 || string(got[0].Body) != "first" {
				t.Errorf("%q cut at %d: frames %v, error %v; want %v", in, i, got, err, c.want)
			}
		}
	}
}

func TestAllTypesAndCommands(t *testing.T) {
	for typ := range 256 {
		for cmd := range 256 {
			in := []byte{byte(typ), byte(cmd), 'x', 0}
			var d Decoder
			got, err := feed(&d, in)
			var want error
			frames := 1
			switch {
			case typ > 3:
				want, frames = ErrType, 0
			case typ == 2 && cmd > 6:
				want, frames = ErrCommand, 0
			case typ != 2 && cmd == 0: // the frame ends there, and 'x' is a type
				want = ErrType
			}
			if err != want || len(got) != frames {
				t.Fatalf("% x: %d frames, error %v; want %d, %v", in, len(got), err, frames, want)
			}
		}
	}
}

// A buffer that one long frame needed is let go when the stream is idle.
func TestIdleDecoderKeepsLittle(t *testing.T) {
	var d Decoder
	long := frameOf("\x00", MaxFrame)
	if _, err := feed(&d, long[:4000], long[4000:]); err != nil || cap(d.held) > keepHeld {
		t.Errorf("%d octets kept, error %v", cap(d.held), err)
	}
}

func TestDecodingAllocatesNothing(t *testing.T) {
	in, frames := conversation(t)
	var d Decoder
	read := func(in []byte) (n int) {
		for {
			_, rest, ok, err := d.Next(in)
			if err != nil {
				panic(err)
			}
			if !ok {
				return n
			}
			in, n = rest, n+1
		}
	}
	whole := func() {
		if n := read(in); n != len(frames) {
			panic(fmt.Sprint(n, " frames"))
		}
	}
	if n := testing.AllocsPerRun(100, whole); n != 0 {
		t.Errorf("whole frames: %v allocations", n)
	}
	cut := len(in) - 20
	split := func() {
		if n := read(in[:cut]) + read(in[cut:]); n != len(frames) {
			panic(fmt.Sprint(n, " frames"))
		}
	}
	if n := testing.AllocsPerRun(100, split); n != 0 {
		t.Errorf("a short frame cut in two: %v allocations", n)
	}
}

func TestEncodingAllocatesNothing(t *testing.T) {
	buf := make([]byte, 0, 256)
	for _, v := range vectors {
		if v.frame.Command == DnAck {
			continue // TestAckAllocatesNothing
		}
		if n := testing.AllocsPerRun(100, func() { v.append(buf) }); n != 0 {
			t.Errorf("%s: %v allocations", v.name, n)
		}
	}
}
