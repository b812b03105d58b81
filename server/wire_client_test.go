package server

import (
	"bytes"
	"net"
	"testing"

	"chatbench/core/wire"
)

// wireClient is a client with the protocol on any net.Conn.
type wireClient struct {
	t    *testing.T
	conn net.Conn
	dec  wire.Decoder
	rest []byte
}

func talk(t *testing.T, conn net.Conn) *wireClient {
	return &wireClient{t: t, conn: conn, dec: wire.Decoder{Max: wire.MaxFromServer}}
}

func (c *wireClient) send(b []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// await reads until a frame of a type that contains part.
func (c *wireClient) await(kind wire.Type, part string) wire.Frame {
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
			c.t.Fatalf("waiting for %q: %v", part, err)
		}
		c.rest = bytes.Clone(buf[:n])
	}
}

func (c *wireClient) enter(name string) *wireClient {
	c.t.Helper()
	c.send(wire.AppendCred(nil, name, "x"))
	c.await(wire.Cred, wire.Granted)
	return c
}
