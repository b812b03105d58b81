package ring

import (
	"testing"

	"golang.org/x/sys/unix"

	"chatbench/internal/tcptest"
)

// A receive that is submitted when input and a reset are there reports both.
func TestReceiveReset(t *testing.T) {
	r := open(t, 8, 8)
	b, err := r.NewBuffers(0, 4, 64)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Free)
	theirs, served := tcptest.Pair(t)
	file, err := served.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	theirs.Write([]byte("last"))
	theirs.SetLinger(0)
	theirs.Close()
	r.Receive(int(file.Fd()), 0, 1)
	if done := r.one(t); done.Res != 4 {
		t.Fatalf("%+v, want what was sent", done)
	}
	if done := r.one(t); done.Err() != unix.ECONNRESET || done.More() {
		t.Errorf("%+v, want the reset", done)
	}
}
