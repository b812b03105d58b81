package nemesis

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"time"

	"chatbench/core/wire"
)

// talk is a connection of a client, on which it speaks the protocol. One goroutine reads, and
// one writes.
type talk struct {
	net.Conn
	dec  wire.Decoder
	buf  []byte
	rest []byte // read, and not decoded yet
}

func newTalk(conn net.Conn) *talk {
	return &talk{Conn: conn, dec: wire.Decoder{Max: wire.MaxFromServer}, buf: make([]byte, 16<<10)}
}

// next reads the next frame.
func (c *talk) next() (wire.Frame, error) {
	for {
		f, rest, ok, err := c.dec.Next(c.rest)
		c.rest = rest
		if err != nil || ok {
			f.Body = bytes.Clone(f.Body)
			return f, err
		}
		n, err := c.Read(c.buf)
		if err != nil {
			return f, err
		}
		c.rest = c.buf[:n]
	}
}

// login logs in. denied is why the server does not want that, "" if it does.
func (c *talk) login(name string, patience time.Duration) (denied string, err error) {
	c.SetDeadline(time.Now().Add(patience))
	defer c.SetDeadline(time.Time{})
	if _, err := c.Write(wire.AppendCred(nil, name, "x")); err != nil {
		return "", err
	}
	for {
		f, err := c.next()
		if err != nil {
			return "", err
		}
		if f.Type != wire.Cred {
			continue
		}
		if denied, is := bytes.CutPrefix(f.Body, []byte(wire.DeniedPrefix)); is {
			return string(denied), nil
		}
		if string(f.Body) != wire.Granted {
			return "", fmt.Errorf("the login is answered %q", f.Body)
		}
		return "", nil
	}
}

// say says a text to the room.
func (c *talk) say(text string) error {
	_, err := c.Write(wire.AppendChat(nil, text))
	return err
}

// whoNames is the names of an answer to /who, which a notice may be.
func whoNames(notice string) (names []string, is bool) {
	count, list, found := strings.Cut(notice, " here: ")
	names = strings.Split(list, ", ")
	return names, found && count == fmt.Sprint(len(names))
}
