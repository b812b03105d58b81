package server

import (
	"bytes"
	"net"
	"testing"

	"chatbench/core/wire"
)

// talker is a client on a connection of any kind.
type talker struct {
	t    *testing.T
	conn net.Conn
	dec  wire.Decoder
	rest []byte
}

func talk(t *testing.T, conn net.Conn) *talker {
	return &talker{t: t, conn: conn, dec: wire.Decoder{Max: wire.MaxFromServer}}
}

func (c *talker) send(b []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// await reads until a frame is of a type, and has this in it.
func (c *talker) await(kind wire.Type, part string) wire.Frame {
	c.t.Helper()
	buf := make([]byte, 4096)
	for {
		f, rest, ok, err := c.dec.Next(c.rest)
		c.rest = rest
		if ok && f.Type == kind && bytes.Contains(f.Body, []byte(part)) {
			f.Body = bytes.Clone(f.Body)
			return f
		}
		if ok {
			continue
		}
		var n int
		if err == nil {
			n, err = c.conn.Read(buf)
		}
		if err != nil {
			c.t.Fatalf("%q awaited: %v", part, err)
		}
		c.rest = bytes.Clone(buf[:n])
	}
}

func (c *talker) enter(name string) *talker {
	c.t.Helper()
	c.send(wire.AppendCred(nil, name, "x"))
	c.await(wire.Cred, wire.Granted)
	return c
}
