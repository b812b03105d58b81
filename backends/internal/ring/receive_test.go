package ring

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// A receive that is submitted when input and a reset are there reports both.
func TestReceiveReset(t *testing.T) {
	r := open(t, 8, 8)
	b, err := r.NewBuffers(0, 4, 64)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Free)
	ours, theirs := connection(t)
	theirs.Write([]byte("last"))
	theirs.SetLinger(0)
	theirs.Close()
	r.Receive(ours, 0, 1)
	if done := r.one(t); done.Res != 4 {
		t.Fatalf("%+v, want what was sent", done)
	}
	if done := r.one(t); done.Err() != unix.ECONNRESET || done.More() {
		t.Errorf("%+v, want the reset", done)
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
