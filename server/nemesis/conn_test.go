package nemesis

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"time"

	"chatbench/core/wire"
)

// chatConn is a client's connection, with the protocol. One goroutine may read, and one may write.
type chatConn struct {
	net.Conn
	dec  wire.Decoder
	buf  []byte
	rest []byte // octets that were read and not decoded yet
}

func newChatConn(conn net.Conn) *chatConn {
	return &chatConn{Conn: conn, dec: wire.Decoder{Max: wire.MaxFromServer}, buf: make([]byte, 16<<10)}
}

// next reads the next frame.
func (c *chatConn) next() (wire.Frame, error) {
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

// login logs in. denied is the reason if the server denies it, otherwise "".
func (c *chatConn) login(name string, timeout time.Duration) (denied string, err error) {
	c.SetDeadline(time.Now().Add(timeout))
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
func (c *chatConn) say(text string) error {
	_, err := c.Write(wire.AppendChat(nil, text))
	return err
}

// whoNames returns the names in an answer to /who. is says whether the notice is such an answer.
func whoNames(notice string) (names []string, is bool) {
	count, list, found := strings.Cut(notice, " here: ")
	names = strings.Split(list, ", ")
	return names, found && count == fmt.Sprint(len(names))
}
