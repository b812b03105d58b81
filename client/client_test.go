package client

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"chatbench/core/wire"
	"chatbench/internal/tcptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A conversation in which the server sends every frame octet by octet.
func TestConversation(t *testing.T) {
	c := mustDial(t, serve(t, func(f *fake) {
		f.want([]byte("\x01alice pass word\x00"))
		f.eachByte("\x01granted\x00\x00server: here: bob\x00\x00bob: a: b\x00\x00bob: \x00\x00한글: 안녕\x00")
		f.want([]byte("\x00hello\x00"))
		f.want([]byte("\x00\x00"))
		f.want([]byte("\x03\x00"))
		f.wantEOF()
	}))
	for _, want := range []Event{Notice{"here: bob"}, Said{"bob", "a: b"}, Said{"bob", ""}, Said{"한글", "안녕"}} {
		if got := next(t, c); got != want {
			t.Errorf("event %#v, want %#v", got, want)
		}
	}
	for _, text := range []string{"hello", ""} {
		if err := c.Say(text); err != nil {
			t.Error(err)
		}
	}
	// The script's wantEOF keeps the connection open. Only goodbyeTimeout ends it,
	// which must not count as a failure.
	c.Close()
	c.Close()
	if err := c.Err(); err != nil {
		t.Errorf("after Close: %v", err)
	}
	if e, ok := <-c.Events(); ok {
		t.Errorf("an event after the end: %v", e)
	}
	if err := c.Say("late"); !errors.Is(err, ErrGone) {
		t.Errorf("Say after Close: %v", err)
	}
}

// How a login can fail, and the error for it.
func TestLoginFails(t *testing.T) {
	for _, c := range []struct {
		name   string
		script func(*fake)
		want   string
		is     error
	}{
		{"denied", func(f *fake) {
			f.want([]byte("\x01alice pass word\x00"))
			f.write([]byte("\x01denied wrong name or password\x00\x03\x00"))
		}, "denied: wrong name or password", nil},
		{"denied before it asks", func(f *fake) {
			f.write([]byte("\x01denied server is full\x00\x03\x00"))
		}, "denied: server is full", nil},
		{"denied with an escape", func(f *fake) {
			f.write([]byte("\x01denied \x1b]52;c;x\x07\x00"))
		}, "denied: \ufffd]52;c;x\ufffd", nil},
		{"closed", func(f *fake) { f.want([]byte("\x01alice pass word\x00")); f.write([]byte("\x03\x00")) }, "", ErrClosed},
		{"closed with a notice", func(f *fake) {
			f.write([]byte("\x00server: go away\x00\x03\x00"))
		}, `it said "go away"`, ErrClosed},
		{"hung up", func(f *fake) { f.want([]byte("\x01alice pass word\x00")) }, "hung up", ErrGone},
		{"not a chat server", func(f *fake) { f.write([]byte("HTTP/1.1 400 Bad Request\r\n")) }, "not a chat server", ErrProtocol},
		{"a strange answer", func(f *fake) { f.write([]byte("\x01perhaps\x00")) }, "unexpected answer", ErrProtocol},
		{"a frame without end", func(f *fake) {
			f.want([]byte("\x01alice pass word\x00")) // closing with it unread would send a reset
			f.write(append([]byte{0}, bytes.Repeat([]byte("x"), wire.MaxFromServer)...))
		}, "too long", ErrProtocol},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := dial(t, serve(t, c.script))
			if err == nil {
				t.Fatal("let in")
			}
			if denied := new(DeniedError); (c.is == nil) != errors.As(err, &denied) {
				t.Errorf("%v, want a DeniedError: %v", err, c.is == nil)
			}
			if c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %v with %q", err, c.is, c.want)
			}
		})
	}
}

func TestDialUnreachable(t *testing.T) {
	at := tcptest.Free(t).String()
	_, err := dial(t, at)
	if err == nil || !strings.Contains(err.Error(), "cannot reach "+at) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("Dial where nobody listens: %v", err)
	}
}

// Dial waits for an answer until its context ends.
func TestDialContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	addr := serve(t, func(f *fake) {
		f.want([]byte("\x01alice x\x00"))
		cancel()
		f.wantEOF()
	})
	_, err := Dial(ctx, Config{Server: addr, User: "alice", Password: "x"})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Dial: %v", err)
	}
}

func TestUnfit(t *testing.T) {
	for _, cfg := range []Config{
		{User: ""}, {User: "a b"}, {User: "a\x00"}, {User: "a", Password: "\x00"},
		{User: "a", Password: strings.Repeat("x", wire.MaxFrame)},
	} {
		cfg.Server = "127.0.0.1:0"
		if cfg.Check() == nil {
			t.Errorf("Check accepts %.10q with a password of %d octets", cfg.User, len(cfg.Password))
		}
		if _, err := Dial(t.Context(), cfg); err == nil || strings.Contains(err.Error(), "reach") {
			t.Errorf("Dial as %.10q with a password of %d octets: %v", cfg.User, len(cfg.Password), err)
		}
	}
	longest := strings.Repeat("x", MaxText)
	c := mustDial(t, serve(t, func(f *fake) {
		f.grant()
		f.want([]byte("\x00" + longest + "\x00"))
		f.want([]byte("\x03\x00"))
	}))
	for _, text := range []string{"a\x00b", longest + "x"} {
		if err := c.Say(text); !errors.Is(err, ErrText) {
			t.Errorf("Say with %d octets: %v, want ErrText", len(text), err)
		}
	}
	if err := c.Say(longest); err != nil {
		t.Error(err)
	}
	c.Close()
}

// The name is sent as the server will write it: in NFC.
func TestNameForm(t *testing.T) {
	c, err := Dial(t.Context(), Config{Password: "x", User: "\u1112\u1161\u11ab", Server: serve(t, func(f *fake) {
		f.want([]byte("\x01한 x\x00"))
		f.write([]byte("\x01granted\x00"))
		f.want([]byte("\x03\x00"))
	})})
	if err != nil {
		t.Fatal(err)
	}
	if c.Name() != "한" {
		t.Errorf("Name() = %q", c.Name())
	}
	c.Close()
}

// How a conversation can end without us.
func TestEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		last string
		want error
	}{
		{"Close", "\x00bob: last\x00\x03\x00\x00bob: after\x00", ErrClosed},
		{"FIN", "\x00bob: last\x00", ErrGone},
		{"nonsense", "\x00bob: last\x00\x09", ErrProtocol},
		{"a second answer", "\x00bob: last\x00\x01granted\x00", ErrProtocol},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := mustDial(t, serve(t, func(f *fake) { f.grant(); f.write([]byte(c.last)) }))
			if e := next(t, cl); e != (Said{"bob", "last"}) {
				t.Errorf("event %v", e)
			}
			if e := next(t, cl); e != nil {
				t.Errorf("event after the end: %v", e)
			}
			if !errors.Is(cl.Err(), c.want) {
				t.Errorf("Err() = %v, want %v", cl.Err(), c.want)
			}
		})
	}
}

// A server that sends a final reason and closes has removed the client. The same words
// from somebody else, or followed by something, or without a Close, do not count.
func TestRemoved(t *testing.T) {
	for _, c := range []struct {
		last string
		want error
	}{
		{"\x00bob: hi\x00\x00server: you were asked to leave\x00\x03\x00", ErrRemoved},
		{"\x00server: you are banned\x00\x03\x00", ErrRemoved},
		{"\x00server: your account was removed\x00\x03\x00", ErrRemoved},
		{"\x00server: your password was changed: log in again\x00\x03\x00", ErrClosed},
		{"\x00bob: you are banned\x00\x03\x00", ErrClosed},
		{"\x00server: you are banned\x00\x00bob: is he?\x00\x03\x00", ErrClosed},
		{"\x00server: you are banned\x00\x02\x06bob x\x00\x03\x00", ErrClosed},
		{"\x00server: you are banned\x00", ErrGone},
	} {
		cl := mustDial(t, serve(t, func(f *fake) { f.grant(); f.write([]byte(c.last)) }))
		for next(t, cl) != nil {
		}
		err := cl.Err()
		if !errors.Is(err, c.want) {
			t.Errorf("%q: %v, want %v", c.last, err, c.want)
		}
		if _, reason, _ := strings.Cut(err.Error(), "room: "); c.want == ErrRemoved && !strings.Contains(c.last, "server: "+reason+"\x00\x03") {
			t.Errorf("%q: %v does not say why", c.last, err)
		}
	}
}

// The socket options bound how long the kernel retries, and how long a server may be
// silent.
func TestSocketOptions(t *testing.T) {
	c := mustDial(t, serve(t, func(f *fake) { f.grant(); f.want([]byte("\x03\x00")) }))
	raw, err := c.conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []struct {
		name        string
		level, opt  int
		least, most int
	}{
		{"TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 30_000, 45_000},
		{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1, 1},
		{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 10, 60},
		{"TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 5, 20},
		{"TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1, 1},
	} {
		value, failed := 0, error(nil)
		if err := raw.Control(func(fd uintptr) { value, failed = unix.GetsockoptInt(int(fd), o.level, o.opt) }); err != nil || failed != nil {
			t.Fatal(err, failed)
		}
		if value < o.least || value > o.most {
			t.Errorf("%s is %d, want %d to %d", o.name, value, o.least, o.most)
		}
	}
	c.Close()
}

// A client that shares nothing answers with an empty list, and refuses files.
func TestDeclinesFiles(t *testing.T) {
	c := mustDial(t, serve(t, func(f *fake) {
		f.grant()
		f.write([]byte("\x02\x00bob\x00\x02\x04bob a b.txt\x00\x02\x02bob x\x00\x00bob: hi\x00"))
		f.want([]byte("\x02\x01bob\x00"))
		f.want([]byte("\x02\x03bob\x00"))
		f.want([]byte("\x02\x06bob a b.txt\x00"))
		f.want([]byte("\x03\x00"))
	}))
	if e := next(t, c); e != (Said{"bob", "hi"}) {
		t.Errorf("event %v", e)
	}
	c.Close()
}

// Many goroutines may call Say at once: frames stay whole. Close may be called twice.
func TestParallel(t *testing.T) {
	const speakers, each = 8, 50
	c := mustDial(t, serve(t, func(f *fake) {
		f.grant()
		for range speakers * each {
			f.want([]byte("\x00" + strings.Repeat("x", 1000) + "\x00"))
		}
		f.want([]byte("\x03\x00"))
	}))
	var group sync.WaitGroup
	for range speakers {
		group.Go(func() {
			for range each {
				if err := c.Say(strings.Repeat("x", 1000)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	group.Go(c.Close)
	group.Go(c.Close)
	group.Wait()
}

// Close does not wait until somebody receives the events.
func TestCloseWithEventsWaiting(t *testing.T) {
	c := mustDial(t, serve(t, func(f *fake) {
		f.grant()
		f.write(bytes.Repeat([]byte("\x00bob: flood\x00"), 10*maxEventsWaiting))
		f.want([]byte("\x03\x00"))
	}))
	for len(c.Events()) < maxEventsWaiting {
		time.Sleep(time.Millisecond)
	}
	c.Close()
	if err := c.Err(); err != nil {
		t.Error(err)
	}
}

// A server that accepts no more data counts as gone.
func TestStuckServer(t *testing.T) {
	taken := make(chan struct{})
	c := mustDial(t, serve(t, func(f *fake) { f.grant(); <-taken }))
	defer close(taken)
	c.write.Lock()
	c.frame = []byte("x")
	err := c.flush(time.Unix(1, 0))
	c.write.Unlock()
	if !errors.Is(err, ErrGone) || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("flush past its deadline: %v", err)
	}
	if e := next(t, c); e != nil || !errors.Is(c.Err(), ErrGone) || !strings.Contains(c.Err().Error(), "accepts no more data") {
		t.Errorf("event %v, end %v", e, c.Err())
	}
}
