package wire

import (
	"bytes"
	"testing"
)

// reference decodes a whole stream in the plainest way there is, an octet at a
// time. It shares nothing with Decoder but the frames it gives.
func reference(in []byte, limit int) (frames []Frame, unfinished []byte, err error) {
	var p []byte
	for _, c := range in {
		p = append(p, c)
		isFile := p[0] == 2
		switch {
		case p[0] > 3:
			return frames, p, ErrType
		case isFile && len(p) == 2 && c > 6:
			return frames, p, ErrCommand
		case isFile && len(p) >= 3 && c == 0:
			frames = append(frames, Frame{File, Command(p[1]), p[2 : len(p)-1]})
			p = nil
		case !isFile && len(p) >= 2 && c == 0:
			frames = append(frames, Frame{Type(p[0]), 0, p[1 : len(p)-1]})
			p = nil
		case len(p) == limit:
			return frames, p, ErrTooLong
		}
	}
	return frames, p, nil
}

// cutInto cuts in into pieces of the lengths given, over and over; a length of
// nothing is an empty read.
func cutInto(in, lengths []byte) (pieces [][]byte) {
	for progress := true; len(in) > 0 && progress; {
		progress = false
		for _, n := range lengths {
			k := min(int(n), len(in))
			pieces, in = append(pieces, in[:k]), in[k:]
			progress = progress || k > 0
		}
	}
	return append(pieces, in)
}

// FuzzDecoder: however a stream is cut, it gives the reference's frames, its
// error and its remainder, and never holds more than the limit.
func FuzzDecoder(f *testing.F) {
	f.Fuzz(func(t *testing.T, in, lengths []byte, limit uint16) {
		if len(in) > 1<<14 || len(lengths) > 1<<8 {
			return
		}
		d := Decoder{Max: int(limit)}
		want, unfinished, wantErr := reference(in, d.limit())
		var got []Frame
		var err error
		for _, piece := range cutInto(in, lengths) {
			var some []Frame
			some, err = feed(&d, piece)
			got = append(got, some...)
			if d.Held() > d.limit() {
				t.Fatalf("%d octets held, limit %d", d.Held(), d.limit())
			}
			if err != nil {
				break
			}
		}
		if err != wantErr || !sameFrames(got, want) {
			t.Fatalf("% x cut by %v, limit %d:\ngot  %v, %v\nwant %v, %v", in, lengths, limit, got, err, want, wantErr)
		}
		if err == nil && d.Held() != len(unfinished) {
			t.Fatalf("% x cut by %v: %d octets held, want %d", in, lengths, d.Held(), len(unfinished))
		}
		rewrite(t, in, got, unfinished)
	})
}

// rewrite encodes the frames again: they and the remainder are the stream.
func rewrite(t *testing.T, in []byte, frames []Frame, unfinished []byte) {
	var out []byte
	for _, f := range frames {
		switch f.Type {
		case Chat:
			out = AppendChat(out, string(f.Body))
		case File:
			name, rest := SplitName(f.Body)
			out = AppendFile(out, f.Command, string(name), rest)
		default:
			out = append(append(append(out, byte(f.Type)), f.Body...), 0)
		}
	}
	if out = append(out, unfinished...); !bytes.HasPrefix(in, out) {
		t.Fatalf("% x decoded and encoded again is % x", in, out)
	}
}
