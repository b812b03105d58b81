package client

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"chatbench/core/wire"
)

// ErrFrame is that a File frame cannot carry what it was given.
var ErrFrame = errors.New("client: this does not fit into a request for a file")

// Files takes what the server passes on about files. The reader calls it, one
// call at a time, and reads nothing else meanwhile: it must not block.
type Files interface {
	// FileFrame is a File frame from somebody in the room. Its body is good
	// until FileFrame returns.
	FileFrame(c *Client, f wire.Frame)
	// Notice is a notice of the server's, as it came. It is among the Events
	// already.
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
		return fmt.Errorf("%w: a name without spaces is needed", ErrFrame)
	case len(to)+len(rest)+3 > wire.MaxFrame:
		return fmt.Errorf("%w: it is longer than %d octets", ErrFrame, wire.MaxFrame)
	}
	return c.send(func(b []byte) []byte { return wire.AppendFile(b, command, to, []byte(rest)) })
}

// List sends all of a list of files at once.
func (c *Client) List(to string, files []string) error {
	return c.send(func(b []byte) []byte {
		b = wire.AppendFile(b, wire.LsStart, to, nil)
		for _, file := range files {
			b = wire.AppendFile(b, wire.LsBody, to, []byte(" "+file))
		}
		return wire.AppendFile(b, wire.LsEnd, to, nil)
	})
}

// Ack says where somebody can fetch a file.
func (c *Client) Ack(a wire.Ack) error {
	return c.send(func(b []byte) []byte { return wire.AppendAck(b, a) })
}

// LocalAddr is the address we reach the server from.
func (c *Client) LocalAddr() netip.Addr {
	return c.conn.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
}

// Ended is closed when the conversation has ended.
func (c *Client) Ended() <-chan struct{} { return c.ended }
