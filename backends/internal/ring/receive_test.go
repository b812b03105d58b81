package ring

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// A receive reports what came before a reset, and then the reset, even if both were there before it was
// submitted.
func TestReceiveReset(t *testing.T) {
	r := open(t, 8, 8)
	b, err := r.NewBuffers(0, 4, 64)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Free)
	for _, early := range []bool{true, false} {
		ours, theirs := connection(t)
		if early {
			r.Receive(ours, 0, 1)
			r.none(t)
		}
		theirs.Write([]byte("last"))
		theirs.SetLinger(0)
		theirs.Close()
		if !early {
			r.Receive(ours, 0, 1)
		}
		done := r.one(t)
		if id, ok := done.Buffer(); done.Res != 4 || !ok {
			t.Fatalf("submitted early %v: %+v, want what was sent", early, done)
		} else {
			b.GiveBack(id)
		}
		if done := r.one(t); done.Err() != unix.ECONNRESET || done.More() {
			t.Errorf("submitted early %v: %+v, want the reset", early, done)
		}
	}
}

// connection is a TCP connection: the descriptor of one end, and the other.
func connection(t *testing.T) (ours int, theirs *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	f, err := accepted.(*net.TCPConn).File()
	accepted.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); f.Close() })
	return int(f.Fd()), c.(*net.TCPConn)
}
