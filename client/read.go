package client

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"chatbench/core/wire"
)

// Event is something that happened in the conversation.
type Event interface{ isEvent() }

// Said is a message to the room, our own included. Both fields are safe to show.
type Said struct{ From, Text string }

// Notice is a message of the server itself, safe to show.
type Notice struct{ Text string }

func (Said) isEvent()   {}
func (Notice) isEvent() {}

// read is the reader's goroutine. It sends one verdict on the login, and closes the
// connection at the end, as the protocol requires of one that receives a Close.
func (c *Client) read(verdict chan<- error) {
	defer close(c.ended)
	defer c.conn.Close()
	defer close(c.events)
	r := reader{Client: c, verdict: verdict, decoder: wire.Decoder{Max: wire.MaxFromServer}}
	err := r.frames()
	if stuck := c.stuck.Load(); stuck != nil {
		err = *stuck
	}
	select {
	case <-c.leave:
		c.err = nil // Close ended it
	default:
		c.err = err
	}
	if !r.granted {
		verdict <- r.beforeLogin(err)
	}
}

// reader is the reader's state.
type reader struct {
	*Client
	verdict chan<- error
	decoder wire.Decoder
	granted bool
	notice  string // the last frame, if it was a notice
}

// frames reads until the conversation ends, and returns why it did.
func (r *reader) frames() error {
	buf := make([]byte, 16<<10)
	for first := true; ; first = false {
		n, err := r.conn.Read(buf)
		if first && speaksTLS(buf[:n]) {
			return fmt.Errorf("%w: it speaks TLS: add -tls", ErrProtocol)
		}
		for in := buf[:n]; ; {
			f, rest, ok, err := r.decoder.Next(in)
			if err != nil {
				return fmt.Errorf("%w: %w", ErrProtocol, err)
			}
			if !ok {
				break
			}
			if err := r.frame(f); err != nil {
				return err
			}
			in = rest
		}
		switch {
		case errors.Is(err, io.EOF):
			return fmt.Errorf("%w: it hung up without a Close", ErrGone)
		case err != nil:
			return fmt.Errorf("%w: %w", ErrGone, Cause(err))
		}
	}
}

func (r *reader) frame(f wire.Frame) error {
	if f.Type == wire.Close {
		if r.granted && wire.Final(r.notice) {
			return fmt.Errorf("%w: %s", ErrRemoved, r.notice)
		}
		return ErrClosed
	}
	r.notice = ""
	switch f.Type {
	case wire.Cred:
		return r.cred(f.Body)
	case wire.Chat:
		r.chat(f.Body)
	case wire.File:
		if r.granted && r.files != nil {
			r.files.FileFrame(r.Client, f)
		} else {
			r.decline(f)
		}
	}
	return nil
}

func (r *reader) cred(body []byte) error {
	if reason, ok := bytes.CutPrefix(body, []byte(wire.DeniedPrefix)); ok {
		return &DeniedError{Safe(reason)}
	}
	if r.granted || string(body) != wire.Granted {
		return fmt.Errorf("%w: unexpected answer to a login", ErrProtocol)
	}
	r.granted = true
	r.verdict <- nil
	return nil
}

func (r *reader) chat(body []byte) {
	from, text, found := bytes.Cut(body, []byte(": "))
	if !found || string(from) == wire.ServerName {
		if !found {
			text = body
		}
		r.notice = Safe(text)
		r.emit(Notice{r.notice})
		if r.granted && r.files != nil {
			r.files.Notice(r.Client, string(text))
		}
		return
	}
	r.emit(Said{Safe(from), Safe(text)})
}

// emit sends an event to Events. Before the login is granted it drops it.
func (r *reader) emit(e Event) {
	if !r.granted {
		return
	}
	select {
	case r.events <- e:
	case <-r.leave:
	}
}

// decline answers when there are no Files: with an empty list, or no such file.
// Without an answer the other side would wait.
func (r *reader) decline(f wire.Frame) {
	name, file := wire.SplitName(f.Body)
	switch f.Command {
	case wire.LsReq:
		r.send(func(b []byte) []byte {
			b = wire.AppendFile(b, wire.LsStart, string(name), nil)
			return wire.AppendFile(b, wire.LsEnd, string(name), nil)
		})
	case wire.DnReq:
		r.send(func(b []byte) []byte { return wire.AppendFile(b, wire.DnNack, string(name), file) })
	}
}

// beforeLogin explains an end before the login was granted with the server's last
// notice.
func (r *reader) beforeLogin(err error) error {
	if r.notice != "" && !errors.As(err, new(*DeniedError)) {
		return fmt.Errorf("%w: it said %q", err, r.notice)
	}
	return err
}
