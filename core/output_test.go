package core

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"chatbench/core/wire"
)

// framesOf cuts output into frames; it fails on anything that is none.
func framesOf(t *testing.T, out []byte) (frames []string) {
	t.Helper()
	d := wire.Decoder{Max: wire.MaxFromServer}
	for {
		before := out
		_, rest, ok, err := d.Next(out)
		if err != nil {
			t.Fatalf("%q is no frame: %v", before, err)
		}
		if !ok {
			if d.Held() > 0 {
				t.Fatalf("%q is half a frame", before)
			}
			return frames
		}
		frames = append(frames, string(before[:len(before)-len(rest)]))
		out = rest
	}
}

// write writes n octets of what Next gives, or all if there are fewer.
func write(s *Session, n int) []byte {
	p := s.Next()
	p = slices.Clone(p[:min(n, len(p))])
	s.Wrote(len(p))
	return p
}

// TestPrivateFramesWait: what is for one client alone comes before what the
// room says, but never inside a frame of which a part is written, whatever
// part that is.
func TestPrivateFramesWait(t *testing.T) {
	one, two, ask := "\x00ann: one\x00", "\x00ann: two\x00", "\x02\x00ann\x00"
	for cut := range len(one+two) + 1 {
		r := testRoom(1<<16, Config{})
		ann, bob := enter(t, r, "ann"), enter(t, r, "bob")
		ann.Feed([]byte("\x00one\x00\x00two\x00"))
		want := []string{ask, one, two} // nothing was on its way
		var got []byte
		if cut > 0 {
			got, want = write(bob, cut), []string{one, two, ask}
		}
		ann.Feed([]byte("\x02\x00bob\x00"))
		got = append(got, take(bob)...)
		if frames := framesOf(t, got); !slices.Equal(frames, want) {
			t.Errorf("%d octets written before: got %q, want %q", cut, frames, want)
		}
	}
}

// TestPrivateFramesQueue: frames for one client alone keep their order while
// one of them is half written, and the last words come after them and the log.
func TestPrivateFramesQueue(t *testing.T) {
	ask := "\x02\x00ann\x00"
	for cut := range len(ask) {
		r := testRoom(1<<16, Config{})
		ann, bob := enter(t, r, "ann"), enter(t, r, "bob")
		ann.Feed([]byte("\x02\x00bob\x00"))
		got := write(bob, cut)
		ann.Feed([]byte("\x00one\x00\x02\x02bob f\x00"))
		got = append(got, write(bob, 1)...)
		ann.Feed([]byte("\x02\x03bob\x00"))
		bob.Feed([]byte{9})
		ann.Feed([]byte("\x02\x03bob\x00\x00after\x00"))
		for p := write(bob, 3); len(p) > 0; p = write(bob, 3) {
			got = append(got, p...)
		}
		want := []string{ask, "\x02\x02ann f\x00", "\x02\x03ann\x00", "\x00ann: one\x00",
			"\x00server: unknown frame type\x00", "\x03\x00"}
		if frames := framesOf(t, got); !slices.Equal(frames, want) {
			t.Errorf("%d octets written before: got %q, want %q", cut, frames, want)
		}
		if bob.changed.Load() {
			t.Error("all is written, and the writer still takes the room's lock to look for more")
		}
	}
}

// TestOutputAcrossChunks: nothing is lost, repeated or cut where chunks meet,
// whatever pieces are written, and private frames fit in everywhere.
func TestOutputAcrossChunks(t *testing.T) {
	for step := 1; step < 60; step++ {
		r := testRoom(50, Config{})
		ann, bob := enter(t, r, "ann"), enter(t, r, "bob")
		var got []byte
		var want, private []string
		for i := range 40 {
			text := strings.Repeat("x", i)
			ann.Feed([]byte("\x00" + text + "\x00"))
			want = append(want, "\x00ann: "+text+"\x00")
			take(ann)
			if i%5 == 0 {
				ann.Feed([]byte("\x02\x02bob " + text + "f\x00"))
				private = append(private, "\x02\x02ann "+text+"f\x00")
			}
			got = append(got, write(bob, step)...)
		}
		for p := write(bob, step); len(p) > 0; p = write(bob, step) {
			got = append(got, p...)
		}
		isPrivate := func(f string) bool { return f[0] == 2 }
		frames := framesOf(t, got)
		said := slices.DeleteFunc(slices.Clone(frames), isPrivate)
		own := slices.DeleteFunc(frames, func(f string) bool { return !isPrivate(f) })
		if !slices.Equal(said, want) || !slices.Equal(own, private) {
			t.Fatalf("in steps of %d: got %q and %q", step, said, own)
		}
	}
}

// TestOutputAfterLeave: a writer that comes late is given nothing.
func TestOutputAfterLeave(t *testing.T) {
	r := testRoom(1000, Config{})
	ann, bob := enter(t, r, "ann"), enter(t, r, "bob")
	for _, in := range []string{"\x00hi\x00", "\x02\x00bob\x00"} {
		ann.Feed([]byte(in))
		if bob.Next() == nil {
			t.Fatal("nothing waits")
		}
		bob.Leave(ReasonReset)
		if p := bob.Next(); p != nil {
			t.Errorf("one who has left is given %q", p)
		}
		bob.Wrote(1)
		bob = enter(t, r, "bob")
	}
}

// TestLargestFrame: a frame of the largest size, all of it control octets, is
// said in one piece.
func TestLargestFrame(t *testing.T) {
	r := NewRoom(Config{Authenticator: OpenDoor{}, MaxFrame: LargestFrame})
	ann := enter(t, r, "ann")
	frame := slices.Concat([]byte{0}, bytes.Repeat([]byte{1}, LargestFrame-2), []byte{0})
	for range 10 {
		ann.Feed(frame)
		want := "\x00ann: " + strings.Repeat("\ufffd", LargestFrame-2) + "\x00"
		if frames := framesOf(t, take(ann)); len(frames) != 1 || frames[0] != want {
			t.Fatalf("got %d frames", len(frames))
		}
	}
}

// TestMisusePanics: a broken contract is not worked around.
func TestMisusePanics(t *testing.T) {
	r := testRoom(100, Config{})
	ann, bob := enter(t, r, "ann"), enter(t, r, "bob")
	var keep func(error)
	asker := keeper{&keep}
	for what, misuse := range map[string]func(){
		"no Authenticator": func() { NewRoom(Config{}) },
		"MaxFrame":         func() { NewRoom(Config{Authenticator: OpenDoor{}, MaxFrame: LargestFrame + 1}) },
		"Wrote too much of the log": func() {
			ann.Feed([]byte("\x00hi\x00"))
			ann.Wrote(len(ann.Next()) + 1)
		},
		"Wrote too much of one's own": func() {
			ann.Feed([]byte("\x02\x00bob\x00"))
			bob.Wrote(len(bob.Next()) + 1)
		},
		"Wrote without Next":        func() { enter(t, testRoom(100, Config{}), "cid").Wrote(1) },
		"a frame larger than chunk": func() { enter(t, testRoom(100, Config{}), "cid").Feed(chat(101)) },
		"two answers": func() {
			s := testRoom(100, Config{Authenticator: asker}).Join(netip.AddrPort{}, quiet{}, nil)
			s.Feed(wire.AppendCred(nil, "ann", "x"))
			keep(nil)
			keep(nil)
		},
	} {
		func() {
			defer func() {
				if p := recover(); p == nil || !strings.HasPrefix(fmt.Sprint(p), "core: ") {
					t.Errorf("%s: panic %v, want one of core's", what, p)
				}
			}()
			misuse()
		}()
	}
}

// keeper is an Authenticator that keeps the answer for the test to give.
type keeper struct{ answer *func(error) }

func (k keeper) Authenticate(l *Login) { *k.answer = l.Answer }

func TestDefaults(t *testing.T) {
	got := Config{Authenticator: OpenDoor{}}.withDefaults()
	want := Config{Authenticator: OpenDoor{}, MaxClients: 10_000, MaxPending: 2500,
		MaxFrame: wire.MaxFrame, PrefaceTimeout: 5 * time.Second, LoginTimeout: 10 * time.Second,
		LagLimit: 256 << 10, LagTime: 2 * time.Second, LagMax: 16 << 20, Farewell: 10 * time.Second}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if n := (Config{Authenticator: OpenDoor{}, MaxClients: 100}).withDefaults().MaxPending; n != 64 {
		t.Errorf("of 100 clients %d may log in at once, want 64", n)
	}
}

// TestStatsJSON: every reason is a key, also if its count is 0.
func TestStatsJSON(t *testing.T) {
	r := testRoom(1000, Config{})
	ann := enter(t, r, "ann")
	ann.Feed([]byte("\x00hi\x00\x03\x00"))
	ann.Leave(ReasonEOF)
	text, err := json.Marshal(r.Snapshot())
	if err != nil {
		t.Fatal(err)
	}
	var st struct {
		Said uint64            `json:"said_bytes"`
		Ends map[string]uint64 `json:"ends"`
	}
	if err := json.Unmarshal(text, &st); err != nil {
		t.Fatal(err)
	}
	if st.Said != uint64(len("\x00ann: hi\x00")) || r.Said() != st.Said {
		t.Errorf("said_bytes is %d", st.Said)
	}
	if len(st.Ends) != Reasons || st.Ends["bye"] != 1 || st.Ends["eof"] != 0 {
		t.Errorf("ends are %v", st.Ends)
	}
	for i := range Reasons {
		if _, ok := st.Ends[Reason(i).String()]; !ok {
			t.Errorf("reason %d, %v, is missing", i, Reason(i))
		}
	}
}
