package ring

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A receive goes on from piece to piece, and ends with the end of the stream.
func TestReceive(t *testing.T) {
	const size = 8
	r := open(t, 8, 8)
	b, err := r.NewBuffers(3, 4, size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Free)
	ours, theirs := pair(t)
	r.Receive(ours, 3, 9)
	r.none(t)
	text := ""
	for i := range 100 { // every buffer is used again and again
		piece := strings.Repeat(string(rune('a'+i%26)), 1+i%size)
		write(t, theirs, piece)
		done := r.one(t)
		id, ok := done.Buffer()
		if !ok || !done.More() || done.UserData != 9 {
			t.Fatalf("piece %d: %+v", i, done)
		}
		if got := string(b.Octets(id, int(done.Res))); got != piece {
			t.Fatalf("piece %d is %q, was %q", i, got, piece)
		}
		b.GiveBack(id)
		text += piece
	}
	unix.Shutdown(theirs, unix.SHUT_WR)
	if done := r.one(t); done.Res != 0 || done.More() {
		t.Errorf("at the end: %+v", done)
	}
}

// When no buffer is left a receive ends and loses nothing: another goes on.
func TestReceiveWithoutBuffers(t *testing.T) {
	const count, size = 4, 8
	r := open(t, 8, 16)
	b, err := r.NewBuffers(0, count, size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Free)
	ours, theirs := pair(t)
	want := ""
	for i := range count + 2 {
		want += strings.Repeat(string(rune('a'+i)), size)
	}
	write(t, theirs, want)
	r.Receive(ours, 0, 1)
	got := ""
	var full []uint16
	for {
		done := r.one(t)
		if id, ok := done.Buffer(); ok {
			got += string(b.Octets(id, int(done.Res)))
			full = append(full, id)
		}
		if !done.More() {
			if done.Err() != unix.ENOBUFS || len(full) != count {
				t.Fatalf("%d buffers were filled, and then came %+v", len(full), done)
			}
			break
		}
	}
	for _, id := range full {
		b.GiveBack(id)
	}
	r.Receive(ours, 0, 2)
	for len(got) < len(want) {
		done := r.one(t)
		id, ok := done.Buffer()
		if !ok || done.UserData != 2 {
			t.Fatalf("%+v", done)
		}
		got += string(b.Octets(id, int(done.Res)))
		b.GiveBack(id)
	}
	if got != want {
		t.Errorf("%q came, %q was sent", got, want)
	}
}
