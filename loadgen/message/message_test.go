package message

import (
	"bytes"
	"testing"

	"chatbench/core/wire"
)

// What a client sends is what AppendChat encodes, and what the server sends is what
// AppendSaid encodes, for every size around the filler's word.
func TestFramesAreTheWires(t *testing.T) {
	for size := MinSize; size < MinSize+20; size++ {
		s := Script{Seed: 7, Size: size}
		sent := make([]byte, s.FrameLen())
		s.PutFrame(sent, 42, 123)
		text := sent[1 : len(sent)-1]
		if !bytes.Equal(sent, wire.AppendChat(nil, string(text))) {
			t.Fatalf("size %d: %q is no CHAT frame", size, sent)
		}
		if len(text) != size || !bytes.HasPrefix(text, []byte("000000123 ")) || !wire.IsSafe(text) || bytes.IndexByte(text, 0) >= 0 {
			t.Fatalf("size %d: text %q", size, text)
		}
		said := make([]byte, s.BroadcastLen())
		s.PutBroadcast(said, 42, 123)
		if !bytes.Equal(said, wire.AppendSaid(nil, Name(42), text)) {
			t.Fatalf("size %d: %q is not what the server says", size, said)
		}
		user, seq, ok := s.ParseBroadcast(said)
		if user != 42 || seq != 123 || !ok || !MayBegin(said[:1]) || !MayBegin(said[:5]) {
			t.Fatalf("size %d: parsed as %d, %d, %v", size, user, seq, ok)
		}
	}
}

// Texts of the least size differ by each of seed, user and sequence, in
// the filler too: a server that mixes texts up is found.
func TestFillerTellsMessagesApart(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(10) {
		s := Script{Seed: seed, Size: MinSize}
		frame := make([]byte, s.FrameLen())
		for user := range uint64(10) {
			for seq := range uint64(100) {
				s.PutFrame(frame, user, seq)
				filler := string(frame[1+SequenceDigits:])
				if seen[filler] {
					t.Fatalf("seed %d, user %d, seq %d: filler %q was there before", seed, user, seq, filler)
				}
				seen[filler] = true
			}
		}
	}
}

func TestParseRefusesOthers(t *testing.T) {
	s := Script{Size: MinSize}
	good := make([]byte, s.BroadcastLen())
	s.PutBroadcast(good, 1, 2)
	for _, at := range []int{0, 1, 2, NameLen, 3 + NameLen, 2 + NameLen + SequenceDigits} {
		bad := bytes.Clone(good)
		bad[at] ^= 0x40
		if _, _, ok := s.ParseBroadcast(bad); ok {
			t.Errorf("octet %d altered: %q is still parsed", at, bad)
		}
	}
	for _, p := range []string{"\x00server: hi", "\x03", "\x01granted"} {
		if MayBegin([]byte(p)) {
			t.Errorf("%q may begin a message", p)
		}
	}
}

func TestNothingAllocated(t *testing.T) {
	s := Script{Size: 100}
	frame := make([]byte, s.BroadcastLen())
	if n := testing.AllocsPerRun(100, func() {
		s.PutFrame(frame, 1, 2)
		s.PutBroadcast(frame, 1, 2)
		s.ParseBroadcast(frame)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkPutBroadcast(b *testing.B) {
	s := Script{Size: 64}
	frame := make([]byte, s.BroadcastLen())
	for b.Loop() {
		s.PutBroadcast(frame, 1, 2)
	}
}
