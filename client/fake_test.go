package client

import (
	"bytes"
	"errors"
	"net"
	"testing"
	"time"

	"chatbench/core/wire"
)

// fake is a server for one connection that runs a test's script.
type fake struct {
	t    *testing.T
	l    net.Listener
	conn net.Conn
	d    wire.Decoder
	rest []byte
}

// serve runs script on the first connection, in the background. The test waits for its
// end.
func serve(t *testing.T, script func(*fake)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		script(&fake{t: t, l: l, conn: conn})
	}()
	return l.Addr().String()
}

// want reads one frame and compares its octets.
func (f *fake) want(octets []byte) {
	f.t.Helper()
	buf := make([]byte, 4096)
	for {
		frame, rest, ok, err := f.d.Next(f.rest)
		f.rest = rest
		switch {
		case err != nil:
			f.t.Errorf("the client sent something that is not a frame: %v", err)
			return
		case ok:
			got := []byte{byte(frame.Type)}
			if frame.Type == wire.File {
				got = append(got, byte(frame.Command))
			}
			if got = append(append(got, frame.Body...), 0); !bytes.Equal(got, octets) {
				f.t.Errorf("the client sent %q, want %q", got, octets)
			}
			return
		}
		n, err := f.conn.Read(buf)
		if err != nil {
			f.t.Errorf("waiting for %q: %v", octets, err)
			return
		}
		f.rest = buf[:n]
	}
}

// wantEOF checks that the client sends nothing more.
func (f *fake) wantEOF() {
	f.t.Helper()
	if n, err := f.conn.Read(make([]byte, 1)); n != 0 {
		f.t.Errorf("the client sent something, want the end of its stream (%v)", err)
	}
}

func (f *fake) send(octets ...byte) { f.write(octets) }

func (f *fake) write(octets []byte) {
	f.t.Helper()
	if _, err := f.conn.Write(octets); err != nil && !errors.Is(err, net.ErrClosed) {
		f.t.Log(err)
	}
}

// grant reads alice's login and grants it.
func (f *fake) grant() {
	f.t.Helper()
	f.want([]byte("\x01alice pass word\x00"))
	f.write([]byte("\x01granted\x00"))
}

// eachByte sends octets one by one.
func (f *fake) eachByte(octets string) {
	for i := range len(octets) {
		f.send(octets[i])
		time.Sleep(100 * time.Microsecond)
	}
}

func dial(t *testing.T, addr string) (*Client, error) {
	t.Helper()
	c, err := Dial(t.Context(), Config{Server: addr, User: "alice", Password: "pass word"})
	if err == nil {
		t.Cleanup(c.Close)
	}
	return c, err
}

func mustDial(t *testing.T, addr string) *Client {
	t.Helper()
	c, err := dial(t, addr)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// next waits for the next event; nil at the end.
func next(t *testing.T, c *Client) Event {
	t.Helper()
	select {
	case e := <-c.Events():
		return e
	case <-time.After(20 * time.Second):
		t.Fatal("no event")
		return nil
	}
}
