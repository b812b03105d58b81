package backendtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/core/wire"
)

// client is a chat client of a case.
type client struct {
	rig  *rig
	name string
	conn *timedConn
	dec  wire.Decoder
	buf  []byte
	pace time.Duration // pause before each read
	rest []byte        // read, but not decoded
	got  int64         // octets read
	sent int64         // octets written
}

// dial connects. The connection is closed when the case ends.
func (r *rig) dial() *client { r.Helper(); return r.dialWith(nil) }

// dialRead connects, and waits until the transport has read what comes before the
// client's own octets.
func (r *rig) dialRead() *client {
	r.Helper()
	if r.through == nil {
		return r.dial()
	}
	before := r.counters.BytesIn.Load()
	c := r.dial()
	r.eventually(func() bool { return r.counters.BytesIn.Load() == before+r.through.Ahead }, "what comes before the client's first octet is read")
	return c
}

// dialNarrow connects with a small receive buffer (SO_RCVBUF).
func (r *rig) dialNarrow() *client {
	r.Helper()
	return r.dialWith(func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) {
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<10)
		})
	})
}

func (r *rig) dialWith(control func(string, string, syscall.RawConn) error) *client {
	r.Helper()
	c, err := r.tryDial(control)
	if err != nil {
		r.Fatalf("dial: %v", err)
	}
	r.Cleanup(c.hangUp)
	return c
}

// tryDial connects. The caller closes the connection.
func (r *rig) tryDial(control func(string, string, syscall.RawConn) error) (*client, error) {
	d := net.Dialer{Timeout: r.timeout, Control: control}
	conn, err := d.Dial("tcp", r.at.String())
	if err != nil {
		return nil, err
	}
	c := &client{rig: r, conn: &timedConn{Conn: conn.(*net.TCPConn), limit: r.timeout}}
	c.dec.Max = 1 << 20 // a name in front of a message may exceed the frame limit
	if r.wrap != nil {
		conn.SetDeadline(time.Now().Add(r.timeout))
		c.conn.Conn, err = r.wrap(conn.(*net.TCPConn))
	}
	return c, err
}

// timedConn is a connection on which each call waits for a limited time. A limit for all of
// a case would be too short for a long case on a busy machine.
type timedConn struct {
	Conn
	limit time.Duration
}

func (c *timedConn) Read(p []byte) (int, error) { return c.readWithin(c.limit, p) }

func (c *timedConn) Write(p []byte) (int, error) { return c.writeWithin(c.limit, p) }

func (c *timedConn) readWithin(limit time.Duration, p []byte) (int, error) {
	c.SetReadDeadline(time.Now().Add(limit))
	return c.Conn.Read(p)
}

func (c *timedConn) writeWithin(limit time.Duration, p []byte) (int, error) {
	c.SetWriteDeadline(time.Now().Add(limit))
	return c.Conn.Write(p)
}

// login connects and logs in.
func (r *rig) login(name string) *client {
	r.Helper()
	c := r.dial()
	c.logIn(name)
	return c
}

// logins logs several clients in, named prefix0, prefix1 and so on.
func (r *rig) logins(prefix string, n int) []*client {
	r.Helper()
	var all []*client
	for i := range n {
		all = append(all, r.login(fmt.Sprint(prefix, i)))
	}
	return all
}

// logIn logs a connected client in.
func (c *client) logIn(name string) {
	c.rig.Helper()
	if err := c.tryLogIn(name); err != nil {
		c.rig.Fatalf("%s: log in: %v", name, err)
	}
}

func (c *client) tryLogIn(name string) error {
	c.name = name
	if err := c.trySend(wire.AppendCred(nil, name, "password")); err != nil {
		return err
	}
	f, err := c.read()
	if err != nil {
		return err
	}
	if f.Type != wire.Cred || string(f.Body) != wire.Granted {
		return fmt.Errorf("was sent %s, want granted", show(f))
	}
	return nil
}

func (c *client) hangUp() { c.conn.Close() }

// finish sends a FIN.
func (c *client) finish() {
	c.rig.Helper()
	if err := c.conn.CloseWrite(); err != nil {
		c.rig.Fatalf("%s: half-close: %v", c.name, err)
	}
}

// reset sends a RST.
func (c *client) reset() {
	c.conn.SetLinger(0)
	c.conn.Close()
}

func (c *client) trySend(p []byte) error {
	n, err := c.conn.Write(p)
	c.sent += int64(n)
	return err
}

func (c *client) send(p []byte) {
	c.rig.Helper()
	if err := c.trySend(p); err != nil {
		c.rig.Fatalf("%s: send: %v", c.name, err)
	}
}

func (c *client) say(format string, args ...any) {
	c.rig.Helper()
	c.send(wire.AppendChat(nil, fmt.Sprintf(format, args...)))
}

// read reads the next frame. The error is io.EOF after the server's FIN, and
// io.ErrUnexpectedEOF if that came within a frame.
func (c *client) read() (wire.Frame, error) {
	if c.buf == nil {
		c.buf = make([]byte, 32<<10)
	}
	for {
		f, rest, ok, err := c.dec.Next(c.rest)
		c.rest = rest
		if err != nil || ok {
			f.Body = bytes.Clone(f.Body)
			return f, err
		}
		time.Sleep(c.pace)
		n, err := c.conn.Read(c.buf)
		c.got += int64(n)
		if err == io.EOF && c.dec.Held() > 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return wire.Frame{}, err
		}
		c.rest = c.buf[:n]
	}
}

// expect reads the next frame, which has to be as given.
func (c *client) expect(t wire.Type, cmd wire.Command, body string) {
	c.rig.Helper()
	want := wire.Frame{Type: t, Command: cmd, Body: []byte(body)}
	f, err := c.read()
	if err != nil {
		c.rig.Fatalf("%s: %v, want %s", c.name, err, show(want))
	}
	if show(f) != show(want) {
		c.rig.Fatalf("%s: was sent %s, want %s", c.name, show(f), show(want))
	}
}

func (c *client) expectChat(format string, args ...any) {
	c.rig.Helper()
	c.expect(wire.Chat, 0, fmt.Sprintf(format, args...))
}

// expectClosed reads the server's Close frame and its FIN.
func (c *client) expectClosed() {
	c.rig.Helper()
	c.expect(wire.Close, 0, "")
	c.expectEOF()
}

func (c *client) expectEOF() {
	c.rig.Helper()
	if f, err := c.read(); err != io.EOF {
		if err == nil {
			err = errors.New(show(f))
		}
		c.rig.Fatalf("%s: %v, want the end of the stream", c.name, err)
	}
}

// expectNotice reads a notice of the server's and returns its text.
func (c *client) expectNotice() string {
	c.rig.Helper()
	f, err := c.read()
	if err != nil {
		c.rig.Fatalf("%s: %v, want a notice", c.name, err)
	}
	text, ok := bytes.CutPrefix(f.Body, []byte(wire.ServerName+": "))
	if f.Type != wire.Chat || !ok {
		c.rig.Fatalf("%s: was sent %s, want a notice", c.name, show(f))
	}
	return string(text)
}

// show formats a frame for messages.
func show(f wire.Frame) string {
	body := fmt.Sprintf("%q", f.Body)
	if len(f.Body) > 80 {
		body = fmt.Sprintf("%q… (%d octets, sum %08x)", f.Body[:80], len(f.Body), sum(f.Body))
	}
	switch f.Type {
	case wire.Chat:
		return "CHAT " + body
	case wire.Cred:
		return "CRED " + body
	case wire.File:
		return fmt.Sprintf("FILE %d %s", f.Command, body)
	}
	return "CLOSE"
}
