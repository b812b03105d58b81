package null

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"chatbench/core/wire"
)

// patience is how long a test may take, which is a hundred times what it needs.
const patience = 2 * time.Minute

// start runs a server; stop ends it and waits for its end.
func start(t *testing.T) (s *Server, stop func()) {
	t.Helper()
	s, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Serve(ctx) }()
	return s, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func dial(t *testing.T, s *Server) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { conn.Close() })
	return conn
}

func login(t *testing.T, s *Server, name string) net.Conn {
	t.Helper()
	conn := dial(t, s)
	conn.Write(wire.AppendCred(nil, name, "any password"))
	expect(t, conn, wire.AppendGranted(nil))
	return conn
}

func expect(t *testing.T, conn net.Conn, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %.60q, %v; want %.60q", got, err, want)
	}
}

func TestEverybodyHearsEverything(t *testing.T) {
	s, stop := start(t)
	defer stop()
	alice, bob := login(t, s, "alice"), login(t, s, "bob")
	two := wire.AppendChat(wire.AppendChat(nil, "one"), "two")
	for i := range two { // octet by octet
		alice.Write(two[i : i+1])
	}
	heard := wire.AppendSaid(wire.AppendSaid(nil, "alice", []byte("one")), "alice", []byte("two"))
	expect(t, alice, heard)
	expect(t, bob, heard)
	alice.Write(wire.AppendClose(nil))
	if n, err := alice.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("after CLOSE: %d, %v", n, err)
	}
	bob.Write(wire.AppendChat(nil, "still here"))
	expect(t, bob, wire.AppendSaid(nil, "bob", []byte("still here")))
}

// A client that sends something before its login, or something that is not a frame, is cut off.
func TestStrangersAreCutOff(t *testing.T) {
	s, stop := start(t)
	defer stop()
	for _, said := range []string{"\x00hi\x00", "\x07", "\x02\x00bob\x00"} {
		conn := dial(t, s)
		io.WriteString(conn, said)
		if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("%q: %d octets, %v", said, n, err)
		}
	}
}

// A client that does not read makes the server wait, and gets everything in the end.
func TestSlowClientIsWaitedFor(t *testing.T) {
	s, stop := start(t)
	defer stop()
	alice, bob := login(t, s, "alice"), login(t, s, "bob")
	frame := wire.AppendChat(nil, strings.Repeat("x", 4000))
	heard := wire.AppendSaid(nil, "alice", frame[1:len(frame)-1])
	const messages = 2 * ringSize / 4000
	go func() {
		for range messages {
			alice.Write(frame)
		}
	}()
	ended := make(chan bool)
	go func() {
		for range messages {
			expect(t, alice, heard)
		}
		close(ended)
	}()
	select {
	case <-ended:
		t.Error("the server did not wait")
	case <-time.After(300 * time.Millisecond):
	}
	for range messages {
		expect(t, bob, heard)
	}
	<-ended
}

// Texts come out of the ring unchanged when it has wrapped around, also across its end.
func TestRing(t *testing.T) {
	s, stop := start(t)
	defer stop()
	conn := login(t, s, "alice")
	text := bytes.Repeat([]byte("0123456789"), 400)
	const burst = 512
	frames := 0
	for said := 0; said < ringSize*5/4; {
		var out, want []byte
		for range burst {
			frames++
			text[frames%len(text)]++
			out = wire.AppendChat(out, string(text))
			want = wire.AppendSaid(want, "alice", text)
			text[frames%len(text)]--
		}
		go conn.Write(out)
		expect(t, conn, want)
		said += len(want)
	}
}

func TestStopLeavesNothing(t *testing.T) {
	files := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip(err)
		}
		return len(entries)
	}
	warm, stop := start(t) // the runtime opens what it needs for itself
	login(t, warm, "first").Close()
	stop()
	before := files()
	for range 3 {
		s, stop := start(t)
		a, b := login(t, s, "a"), login(t, s, "b")
		stop()
		a.Close()
		b.Close()
	}
	for end := time.Now().Add(patience); files() > before; time.Sleep(time.Millisecond) { // an earlier test may close some too
		if time.Now().After(end) {
			t.Fatalf("%d open files before, %d after", before, files())
		}
	}
	if _, err := Listen("256.0.0.1:1"); err == nil {
		t.Error("listens on an impossible address")
	}
}
