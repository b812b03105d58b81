// Package client is a chat client as a library: dial and log in, say things,
// receive what others say, leave.
//
// It refuses to draw on a screen, to read a keyboard and to reconnect by
// itself: whoever shows the conversation knows best what a lost one means.
//
// A Client has one goroutine of its own, the reader: it takes what the server
// sends, answers on its own what needs no person, and hands the rest to Events
// in order. What concerns files it hands to the Files of the Config. Everything
// else happens in the caller's goroutine: Say, File, Ack and Close may be called
// from any, Events is for one.
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
	// writeTimeout is how long a server may leave us waiting to say something.
	writeTimeout = 10 * time.Second
	// goodbyeTimeout is how long Close waits for the server's FIN.
	goodbyeTimeout = 2 * time.Second
	// eventsWaiting is how many events may wait for the caller before the
	// reader stops reading.
	eventsWaiting = 64
)

// MaxText is the longest text Say takes, in octets.
const MaxText = wire.MaxFrame - 2

// Why a connection ended, or a text could not be said.
var (
	ErrClosed   = errors.New("client: the server has closed the conversation")
	ErrGone     = errors.New("client: the server is gone")
	ErrRemoved  = errors.New("client: removed from the room") // coming back by itself would be rude, or in vain
	ErrText     = errors.New("client: unfit text")
	ErrServer   = errors.New("client: unfit server address")
	ErrProtocol = errors.New("client: this is no chat server")
)

// DeniedError is a login the server turned away.
type DeniedError struct {
	Reason string // the server's words, made safe
}

func (e *DeniedError) Error() string { return "client: denied: " + e.Reason }

// WrongPassword says whether it was for the password, as far as the server's words
// tell: chatd's do, another server's may not, and then it is false.
func (e *DeniedError) WrongPassword() bool {
	return strings.Contains(strings.ToLower(e.Reason), wire.WrongPassword)
}

// Final says whether another try would end in the same way, as far as the server's
// words tell. After any other denial it may be let in later.
func (e *DeniedError) Final() bool { return wire.Final(e.Reason) }

// Config is how to get in.
type Config struct {
	Server   string // HOST:PORT
	User     string
	Password string
	Files    Files // nil: nothing is shared, and nobody may ask
	// TLS, if set, is how the server is spoken to, and made sure of; without a
	// ServerName it is that of Server. Files come and go without it.
	TLS *tls.Config
}

// Check refuses what Dial would refuse without trying: a server that is no HOST:PORT
// (ErrServer), and what the login frame cannot carry. It needs no password yet.
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
		return fmt.Errorf("client: a user name is not empty and holds no space, %q will not do", cfg.User)
	case strings.Contains(cfg.Password, "\x00"):
		return errors.New("client: a password cannot hold a NUL")
	case len(cfg.User)+len(cfg.Password)+3 > wire.MaxFrame:
		return fmt.Errorf("client: name and password are longer than %d octets", wire.MaxFrame-3)
	}
	return nil
}

// Client is one conversation.
type Client struct {
	name   string
	conn   net.Conn
	files  Files
	events chan Event
	leave  chan struct{} // closed by Close: nobody takes events any more
	ended  chan struct{} // closed when the reader has ended
	err    error         // why; the reader's until ended is closed

	closing sync.Once

	write sync.Mutex // one frame at a time
	frame []byte
	stuck atomic.Pointer[error] // a write that timed out: the reader's err
}

// Dial connects and logs in. ctx bounds that, not the conversation. The error
// is a *DeniedError if the server did not want us.
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
		events: make(chan Event, eventsWaiting),
		leave:  make(chan struct{}),
		ended:  make(chan struct{}),
	}
	verdict := make(chan error, 1)
	go c.read(verdict)
	if c.send(func(b []byte) []byte { return wire.AppendCred(b, cfg.User, cfg.Password) }) != nil {
		// A server that hangs up before it is asked has said why.
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

// connect connects to the server, by TLS if that is wanted.
func connect(ctx context.Context, cfg Config) (net.Conn, error) {
	dialer := net.Dialer{Control: configure, KeepAlive: -1} // or package net would set its own over ours
	conn, err := dialer.DialContext(ctx, "tcp", cfg.Server)
	switch {
	case err != nil:
		return nil, fmt.Errorf("client: cannot reach %s: %w: is the server running there?", cfg.Server, cause(err))
	case cfg.TLS == nil:
		return conn, nil
	}
	return secure(ctx, conn, cfg)
}

// configure sets on our side of a connection what the server sets on its own. So 45 s
// after something is said into a network that is gone we know; by itself the kernel
// tries for a quarter of an hour.
func configure(_, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) { failed = tcp.Configure(int(fd), 0) })
	return errors.Join(err, failed)
}

// Name is what the server calls us.
func (c *Client) Name() string { return c.name }

// Events is what the server sends, in order. It is closed when the
// conversation has ended; Err says why. A caller that does not take them makes
// the server see a slow client.
func (c *Client) Events() <-chan Event { return c.events }

// Err is why the conversation ended: ErrClosed, ErrGone with its cause, or nil
// after Close. It waits for the end.
func (c *Client) Err() error {
	<-c.ended
	return c.err
}

// Say says a text to the room. The server sends it back to everybody, us
// included: only then is it said.
func (c *Client) Say(text string) error {
	switch {
	case strings.Contains(text, "\x00"):
		return fmt.Errorf("%w: it holds a NUL", ErrText)
	case len(text) > MaxText:
		return fmt.Errorf("%w: it has %d octets, %d fit", ErrText, len(text), MaxText)
	}
	return c.send(func(b []byte) []byte { return wire.AppendChat(b, text) })
}

// Close says goodbye and returns when the conversation has ended; what was
// said before is said. Later calls do nothing.
func (c *Client) Close() {
	c.closing.Do(func() {
		close(c.leave)
		if c.send(wire.AppendClose) == nil {
			// Reading on to the server's FIN: closing with unread input would
			// make the kernel send a reset, which can overtake what was said.
			c.conn.SetReadDeadline(time.Now().Add(goodbyeTimeout))
			<-c.ended
		}
	})
	c.conn.Close()
	<-c.ended
}

// hangUp ends the conversation without a goodbye.
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
		// A part of the frame may be on its way: nothing can follow it. Of
		// other errors the reader learns by itself, and may learn more.
		err = fmt.Errorf("%w: it takes nothing any more", ErrGone)
		c.stuck.CompareAndSwap(nil, &err)
		c.conn.Close()
		return err
	case err != nil:
		return fmt.Errorf("%w: %w", ErrGone, cause(err))
	}
	return nil
}

// cause strips what net puts around an error: the address is said already.
func cause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}
