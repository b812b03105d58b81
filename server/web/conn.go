package web

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/coder/websocket"
)

// goodbyeMost is how long the end of a WebSocket may take that is told to the browser.
const goodbyeMost = time.Second

// conn is a WebSocket as a connection: what its binary messages hold, one after the
// other. The end of the WebSocket is io.EOF; a message of text, or one over the limit,
// ends it. It is for one goroutine that reads and one that writes; any may call Close.
//
// The library's own NetConn is not used: it waits without a deadline for what a
// browser has announced and does not send, it ends a WebSocket on which nothing was
// written for a while, and it lifts the limit of a message.
type conn struct {
	net.Conn // below the WebSocket, and below TLS: deadlines and addresses
	ws       *websocket.Conn
	message  io.Reader // the one that is being read; nil: between two
}

var errText = errors.New("web: a message of text: all are binary")

// NetConn is the connection below. Closing it ends all that is under way at once.
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
			// The library has told the browser. What is unread of the message would
			// reset the connection, and destroy that.
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

// Close tells the browser that this is the end, and closes.
func (c *conn) Close() error { return c.end(websocket.StatusNormalClosure, "") }

// end tells the browser why this is the end, and closes: after goodbyeMost in any
// case, whatever the browser sends or takes.
func (c *conn) end(why websocket.StatusCode, text string) error {
	defer time.AfterFunc(goodbyeMost, func() { c.Conn.Close() }).Stop()
	return c.ws.Close(why, text)
}
