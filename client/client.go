// Package client is a chat client as a library: connect and log in, send messages,
// receive what others say, leave.
//
// It does not draw on a screen, read a keyboard or reconnect by itself: only its user
// knows what a lost connection means.
//
// A Client has one goroutine of its own, the reader. It reads what the server sends,
// answers what needs no person, passes frames about files to Config.Files, and sends
// the rest to Events, in order. Everything else happens in the caller's goroutine.
// Say, File, Ack and Close may be called from any goroutine; one alone may receive
// from Events.
package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/text/unicode/norm"

	"chatbench/core/wire"
	"chatbench/internal/tcp"
)

const (
	// writeTimeout is how long one write may take.
	writeTimeout = 10 * time.Second
	// goodbyeTimeout is how long Close waits for the server's FIN.
	goodbyeTimeout = 2 * time.Second
	// maxEventsWaiting is how many events may wait for the caller. Beyond that the
	// reader stops reading.
	maxEventsWaiting = 64
)

// MaxText is the longest text Say takes, in octets.
const MaxText = wire.MaxFrame - 2

// Why a connection ended, or a message could not be sent.
var (
	ErrClosed   = errors.New("client: the server has closed the conversation")
	ErrGone     = errors.New("client: lost the connection to the server")
	ErrRemoved  = errors.New("client: removed from the room") // reconnecting would be useless or unwelcome
	ErrText     = errors.New("client: invalid message")
	ErrServer   = errors.New("client: invalid server address")
	ErrProtocol = errors.New("client: not a chat server")
)

// DeniedError is a login that the server denied.
type DeniedError struct {
	Reason string // the server's words, made safe
}

func (e *DeniedError) Error() string { return "client: denied: " + e.Reason }

// WrongPassword says whether the name or the password was wrong. It recognizes
// chatd's words; with another server's it may be false.
func (e *DeniedError) WrongPassword() bool {
	return strings.Contains(strings.ToLower(e.Reason), wire.WrongPassword)
}

// Final says whether another try would be denied too, as far as the server's words
// tell. After any other denial a later login may succeed.
func (e *DeniedError) Final() bool { return wire.Final(e.Reason) }

// Config is where and as whom to log in.
type Config struct {
	Server   string // HOST:PORT
	User     string
	Password string
	Files    Files // nil: nothing is shared or fetched
	// TLS, if not nil, is used for the connection to the server. If its ServerName is
	// empty, the host in Server is used. Files are transferred without TLS.
	TLS *tls.Config
}

// Check returns the error that Dial would return before it connects: for a server
// that is not HOST:PORT (ErrServer), or for what a login frame cannot carry. The
// password may still be missing.
func (cfg Config) Check() error {
	cfg.User = norm.NFC.String(cfg.User)
	_, port, err := net.SplitHostPort(cfg.Server)
	if _, unknown := net.LookupPort("tcp", port); err == nil && unknown != nil {
		err = unknown
	}
	switch {
	case port == "":
		return fmt.Errorf("%w: %q is not HOST:PORT, like 127.0.0.1:9000 or [::1]:9000", ErrServer, cfg.Server)
	case err != nil:
		return fmt.Errorf("%w: there is no port %q; write HOST:PORT, like 127.0.0.1:9000", ErrServer, port)
	case cfg.User == "" || strings.ContainsAny(cfg.User, " \x00"):
		return fmt.Errorf("client: invalid user name %q: it must not be empty or contain a space", cfg.User)
	case strings.Contains(cfg.Password, "\x00"):
		return errors.New("client: invalid password: it must not contain a NUL")
	case len(cfg.User)+len(cfg.Password)+3 > wire.MaxFrame:
		return fmt.Errorf("client: name and password have more than %d octets together", wire.MaxFrame-3)
	}
	return nil
}

// Client is one connection to a server, logged in.
type Client struct {
	name   string
	conn   net.Conn
	files  Files
	events chan Event
	leave  chan struct{} // closed by Close: nobody receives events any more
	ended  chan struct{} // closed when the reader has ended
	err    error         // why it ended; valid after ended is closed

	closing sync.Once

	write sync.Mutex // one frame at a time
	frame []byte
	stuck atomic.Pointer[error] // a write that timed out: the reader's err
}

// Dial connects and logs in. ctx bounds only that, not the conversation. The error is
// a *DeniedError if the server denied the login.
func Dial(ctx context.Context, cfg Config) (*Client, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	cfg.User = norm.NFC.String(cfg.User) // as the server will write it
	conn, err := connect(ctx, cfg)
	if err != nil {
		return nil, err
	}
	c := &Client{
		name: cfg.User, conn: conn, files: cfg.Files,
		events: make(chan Event, maxEventsWaiting),
		leave:  make(chan struct{}),
		ended:  make(chan struct{}),
	}
	verdict := make(chan error, 1)
	go c.read(verdict)
	if c.send(func(b []byte) []byte { return wire.AppendCred(b, cfg.User, cfg.Password) }) != nil {
		// A server that closes the connection before the login has sent a reason.
		conn.SetReadDeadline(time.Now().Add(goodbyeTimeout))
	}
	select {
	case err = <-verdict:
	case <-ctx.Done():
		err = fmt.Errorf("client: no answer to the login from %s: %w", cfg.Server, ctx.Err())
	}
	if err != nil {
		c.hangUp()
		return nil, err
	}
	return c, nil
}

// connect connects to the server, with TLS if that is configured.
func connect(ctx context.Context, cfg Config) (net.Conn, error) {
	dialer := net.Dialer{Control: configure, KeepAlive: -1} // package net's keepalive would overwrite configure's
	conn, err := dialer.DialContext(ctx, "tcp", cfg.Server)
	switch {
	case err != nil:
		return nil, fmt.Errorf("client: cannot reach %s: %w: is the server running there?", cfg.Server, Cause(err))
	case cfg.TLS == nil:
		return conn, nil
	}
	return secure(ctx, conn, cfg)
}

// configure sets the same socket options as the server does. With them a broken network
// is noticed 45 s after something was sent; by default the kernel retries for a quarter
// of an hour.
func configure(_, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) { failed = tcp.Configure(int(fd), 0) })
	return errors.Join(err, failed)
}

// Name is the name that the server knows the client by.
func (c *Client) Name() string { return c.name }

// Events gives what the server sends, in order. It is closed when the conversation
// has ended; Err says why. If the caller does not receive them, the server sees a
// slow client, and ends it.
func (c *Client) Events() <-chan Event { return c.events }

// Err waits until the conversation has ended and says why: ErrClosed, ErrGone with
// its cause, or nil after Close.
func (c *Client) Err() error {
	<-c.ended
	return c.err
}

// Say sends a message to the room. It is delivered when it comes back: the server
// sends it to everybody, its sender included.
func (c *Client) Say(text string) error {
	switch {
	case strings.Contains(text, "\x00"):
		return fmt.Errorf("%w: it contains a NUL", ErrText)
	case len(text) > MaxText:
		return fmt.Errorf("%w: it has %d octets, at most %d are allowed", ErrText, len(text), MaxText)
	}
	return c.send(func(b []byte) []byte { return wire.AppendChat(b, text) })
}

// Close leaves the room and returns when the conversation has ended. Messages sent
// before are delivered. Later calls do nothing.
func (c *Client) Close() {
	c.closing.Do(func() {
		close(c.leave)
		if c.send(wire.AppendClose) == nil {
			// The reader goes on to the server's FIN: closing with unread input would
			// make the kernel send a reset, which can overtake the last messages.
			c.conn.SetReadDeadline(time.Now().Add(goodbyeTimeout))
			<-c.ended
		}
	})
	c.conn.Close()
	<-c.ended
}

// hangUp closes the connection without a Close frame.
func (c *Client) hangUp() {
	c.closing.Do(func() { close(c.leave) })
	c.conn.Close()
	<-c.ended
}

// send writes one frame.
func (c *Client) send(appendFrame func([]byte) []byte) error {
	c.write.Lock()
	defer c.write.Unlock()
	c.frame = appendFrame(c.frame[:0])
	return c.flush(time.Now().Add(writeTimeout))
}

// flush writes the frame; the caller holds the lock.
func (c *Client) flush(deadline time.Time) error {
	c.conn.SetWriteDeadline(deadline)
	_, err := c.conn.Write(c.frame)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		// A part of the frame may have been sent, so nothing can follow it. Of other
		// errors the reader learns by itself, and may learn more.
		err = fmt.Errorf("%w: it accepts no more data", ErrGone)
		c.stuck.CompareAndSwap(nil, &err)
		c.conn.Close()
		return err
	case err != nil:
		return fmt.Errorf("%w: %w", ErrGone, Cause(err))
	}
	return nil
}

// Cause strips what package net puts around an error, for messages that name the address
// already.
func Cause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}
