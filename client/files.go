package client

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"chatbench/core/wire"
)

// ErrFrame means that a File frame cannot carry what it was given.
var ErrFrame = errors.New("client: invalid file request")

// Files receives what the server sends about files. The reader makes one call at a
// time and reads nothing meanwhile, so its methods must not block.
type Files interface {
	// FileFrame receives a File frame from somebody in the room. Its body is valid
	// until FileFrame returns.
	FileFrame(c *Client, f wire.Frame)
	// Notice receives a notice of the server's, unchanged. It has also been sent to
	// Events, made safe.
	Notice(c *Client, text string)
}

// File sends a File frame to somebody in the room; file is empty for the
// commands that have none.
func (c *Client) File(command wire.Command, to, file string) error {
	rest := ""
	if file != "" {
		rest = " " + file
	}
	switch {
	case to == "" || strings.ContainsAny(to, " \x00") || strings.Contains(file, "\x00"):
		return fmt.Errorf("%w: the user's name is empty or contains a space, or a name contains a NUL", ErrFrame)
	case len(to)+len(rest)+3 > wire.MaxFrame:
		return fmt.Errorf("%w: it has more than %d octets", ErrFrame, wire.MaxFrame)
	}
	return c.send(func(b []byte) []byte { return wire.AppendFile(b, command, to, []byte(rest)) })
}

// List sends a list of files, in one write.
func (c *Client) List(to string, files []string) error {
	return c.send(func(b []byte) []byte {
		b = wire.AppendFile(b, wire.LsStart, to, nil)
		for _, file := range files {
			b = wire.AppendFile(b, wire.LsBody, to, []byte(" "+file))
		}
		return wire.AppendFile(b, wire.LsEnd, to, nil)
	})
}

// Ack tells somebody where to fetch a file.
func (c *Client) Ack(a wire.Ack) error {
	return c.send(func(b []byte) []byte { return wire.AppendAck(b, a) })
}

// LocalAddr is this side's address of the connection to the server.
func (c *Client) LocalAddr() netip.Addr {
	return c.conn.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
}

// Ended is closed when the conversation has ended.
func (c *Client) Ended() <-chan struct{} { return c.ended }
