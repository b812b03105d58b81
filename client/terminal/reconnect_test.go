package terminal

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chatbench/client"
	"chatbench/client/command"
)

const (
	let    = "\x01granted\x00"
	closed = "\x03\x00"
)

func denied(reason string) string { return "\x01denied " + reason + "\x00" + closed }

// answering is a server that gives each login the next answer, and the last one to all
// that follow. logins is how many there were.
func answering(t *testing.T, answers ...string) (addr string, logins *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	logins = new(atomic.Int64)
	var work sync.WaitGroup
	t.Cleanup(func() { l.Close(); work.Wait() })
	work.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			answer := answers[min(int(logins.Add(1)), len(answers))-1]
			work.Go(func() {
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(20 * time.Second))
				in := bufio.NewReader(conn)
				if _, err := in.ReadString(0); err == nil {
					io.WriteString(conn, answer)
					in.ReadString(0) // the goodbye, or the end
				}
			})
		}
	})
	return l.Addr().String(), logins
}

// away is a conversation that has lost its server and tries often to come back.
func away(addr string) *conversation {
	return &conversation{
		Options: Options{Client: client.Config{Server: addr, User: "alice", Password: "x"}},
		memory:  new(command.Memory), told: make(chan string, toldWaiting),
		backoff: client.Backoff{Least: time.Millisecond, Most: 2 * time.Millisecond},
	}
}

// However often a login is denied for something that passes, it is tried again. Why
// is told once.
func TestPassingDenials(t *testing.T) {
	var answers []string
	for _, reason := range []string{
		"name is taken", "server is full", "server is busy, try again", "server is going down", "no login in time",
		"too many logins from your address at once, try again", "too many wrong passwords, wait a minute", "in other words",
	} {
		for range 6 {
			answers = append(answers, denied(reason))
		}
	}
	addr, logins := answering(t, append(answers, let)...)
	v := away(addr)
	c, err := v.redial(t.Context())
	if err != nil {
		t.Fatalf("given up after %d tries: %v", logins.Load(), err)
	}
	c.Close()
	if n := int(logins.Load()); n != len(answers)+1 {
		t.Errorf("%d tries, want %d", n, len(answers)+1)
	}
	close(v.told)
	var told []string
	for text := range v.told {
		told = append(told, text)
	}
	if len(told) != 8 || !strings.Contains(told[0], "does not let us in yet: denied: name is taken") || !strings.Contains(told[7], "in other words") {
		t.Errorf("told %q", told)
	}
}

// A denial for good, and one for the password, end the tries at once.
func TestFinalDenials(t *testing.T) {
	for _, reason := range []string{"you are banned", "name is reserved", "this server speaks TLS: connect with -tls", "wrong name or password"} {
		addr, logins := answering(t, denied(reason), let)
		c, err := away(addr).redial(t.Context())
		if c != nil {
			c.Close()
		}
		refused := new(client.DeniedError)
		if !errors.As(err, &refused) || refused.Reason != reason || logins.Load() != 1 {
			t.Errorf("%s: %v after %d tries", reason, err, logins.Load())
		}
	}
}

// A server that speaks no TLS may be just starting, but not for ever.
func TestNoTLSAnyMore(t *testing.T) {
	addr, logins := answering(t, denied("name is taken"))
	v := away(addr)
	v.Client.TLS = new(tls.Config)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := v.redial(ctx); !errors.Is(err, client.ErrTLS) || logins.Load() != noTLSMost {
		t.Errorf("%v after %d tries", err, logins.Load())
	}
}

// run holds a conversation of pipes with a server, whose input does not end.
func run(t *testing.T, ctx context.Context, addr string, ask func(context.Context) (string, error)) error {
	t.Helper()
	in, typing, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { typing.Close(); in.Close() })
	out, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	return Run(ctx, Options{
		Client:    client.Config{Server: addr, User: "alice", Password: "x"},
		Reconnect: true, AskPassword: ask, In: in, Out: out, Err: out,
	})
}

// Who is removed from the room does not come back by itself.
func TestRemoved(t *testing.T) {
	for _, reason := range []string{"you were asked to leave", "you are banned"} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		addr, logins := answering(t, let+"\x00server: "+reason+"\x00"+closed, let)
		err := run(t, ctx, addr, nil)
		cancel()
		if !errors.Is(err, client.ErrRemoved) || !strings.HasSuffix(err.Error(), reason) || logins.Load() != 1 {
			t.Errorf("%s: %v after %d logins", reason, err, logins.Load())
		}
	}
}

// A signal while the password is asked for ends the conversation, and not before the
// terminal is as it was.
func TestEndAtTheQuestion(t *testing.T) {
	addr, _ := answering(t, let+closed, denied("wrong name or password"))
	ctx, signal := context.WithCancel(t.Context())
	var restored atomic.Bool
	err := run(t, ctx, addr, func(ctx context.Context) (string, error) {
		signal()
		<-ctx.Done()
		time.Sleep(20 * time.Millisecond) // as giving the terminal back may take
		restored.Store(true)
		return "", ctx.Err()
	})
	if err != nil || !restored.Load() {
		t.Errorf("%v; the terminal is as it was: %v", err, restored.Load())
	}
}

// mute is a screen that shows nothing, and has the password asked for as a test wants.
type mute struct {
	screen
	answers chan string
	asked   chan struct{}
}

func (m *mute) status(string)     {}
func (m *mute) progress([]string) {}
func (m *mute) ask(context.Context) <-chan string {
	close(m.asked)
	return m.answers
}

// A signal that ends the question as well is a way to leave, whichever is seen first.
func TestEndOfTheQuestion(t *testing.T) {
	addr, _ := answering(t, denied("wrong name or password"))
	for range 20 {
		ctx, signal := context.WithCancel(t.Context())
		m := &mute{answers: make(chan string), asked: make(chan struct{})}
		v := away(addr)
		v.screen, v.asides = m, make(chan func())
		go func() {
			<-m.asked
			v.asides <- func() { signal(); close(m.answers) }
		}()
		if _, err := v.comeBack(ctx); !errors.Is(err, errLeft) {
			t.Fatal(err)
		}
	}
}
