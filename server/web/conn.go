package web

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/coder/websocket"
)

// closeTimeout is how long closing a WebSocket with a close frame may take.
const closeTimeout = time.Second

// conn is a WebSocket as a net.Conn: the contents of its binary messages, one after the
// other. The end of the WebSocket is io.EOF. A text message, or one over the limit, ends
// it. One goroutine may read and one may write; any may call Close.
//
// The library's own NetConn is not used, because it waits without a deadline for
// octets that a browser has announced and does not send, it ends a WebSocket on which
// nothing was written for a while, and it removes the limit on messages.
type conn struct {
	net.Conn // below the WebSocket, and below TLS: deadlines and addresses
	ws       *websocket.Conn
	message  io.Reader // the message that is being read; nil: between two messages
}

var errText = errors.New("web: text message: messages must be binary")

// NetConn is the underlying connection. Closing it ends all calls at once.
func (c *conn) NetConn() net.Conn { return c.Conn }

func (c *conn) Read(p []byte) (int, error) {
	for {
		if c.message == nil {
			if err := c.next(); err != nil {
				return 0, err
			}
		}
		n, err := c.message.Read(p)
		switch {
		case errors.Is(err, io.EOF):
			c.message, err = nil, nil
		case errors.Is(err, websocket.ErrMessageTooBig):
			// The library has sent a close frame. Closing with unread input would reset the
			// connection, and discard the frame.
			c.end(websocket.StatusMessageTooBig, "")
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// next waits for a message.
func (c *conn) next() error {
	kind, message, err := c.ws.Reader(context.Background())
	switch status := websocket.CloseStatus(err); {
	case status == websocket.StatusNormalClosure || status == websocket.StatusGoingAway || status == websocket.StatusNoStatusRcvd:
		return io.EOF
	case err != nil:
		return err
	case kind != websocket.MessageBinary:
		c.end(websocket.StatusUnsupportedData, "messages are binary")
		return errText
	}
	c.message = message
	return nil
}

func (c *conn) Write(p []byte) (int, error) {
	if err := c.ws.Write(context.Background(), websocket.MessageBinary, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close sends a close frame, and closes.
func (c *conn) Close() error { return c.end(websocket.StatusNormalClosure, "") }

// end sends a close frame with a reason, and closes, at the latest after closeTimeout,
// whatever the browser does.
func (c *conn) end(why websocket.StatusCode, text string) error {
	defer time.AfterFunc(closeTimeout, func() { c.Conn.Close() }).Stop()
	return c.ws.Close(why, text)
}
