package child

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"chatbench/core/wire"
)

// TestFramesAsInWire: frames are valid, up to the same octet, exactly if the decoder of package wire
// accepts them, however they are split.
func TestFramesAsInWire(t *testing.T) {
	const longest = 8
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		in := make([]byte, 1+rng.IntN(3*longest))
		for i := range in {
			in[i] = byte(rng.IntN(9)) // every valid type and command, and invalid ones
		}
		f, d := frames{max: longest}, wire.Decoder{Max: longest}
		for at := 0; at < len(in); {
			piece := in[at:min(at+1+rng.IntN(longest), len(in))]
			got, want := f.valid(piece), true
			for rest, ok := piece, true; ok && want; {
				var err error
				_, rest, ok, err = d.Next(rest)
				want = err == nil
			}
			if got != want {
				t.Fatalf("%x in % x: valid is %v, the decoder says %v", piece, in, got, want)
			}
			if !got {
				break
			}
			if at += len(piece); f.seen != d.Held() {
				t.Fatalf("% x: %d octets of a frame are seen, the decoder holds %d", in[:at], f.seen, d.Held())
			}
		}
	}
	f := frames{max: 4096}
	if !f.valid(bytes.Repeat(wire.AppendFile(nil, wire.DnNack, "bob", []byte(" a")), 9)) || f.seen != 0 {
		t.Error("file frames are not valid")
	}
}
