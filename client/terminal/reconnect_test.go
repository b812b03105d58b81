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

// answering starts a server that gives each login the next answer, and the last one
// to all that follow. logins counts them.
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

// disconnected is a conversation that has lost its server and retries often.
func disconnected(addr string) *conversation {
	return &conversation{
		Options: Options{Client: client.Config{Server: addr, User: "alice", Password: "x"}},
		memory:  new(command.Memory), statuses: make(chan string, maxStatuses),
		backoff: client.Backoff{Least: time.Millisecond, Most: 2 * time.Millisecond},
	}
}

// A login that is denied for a temporary reason is tried again, however often. Each
// reason is shown once.
func TestTemporaryDenials(t *testing.T) {
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
	v := disconnected(addr)
	c, err := v.redial(t.Context())
	if err != nil {
		t.Fatalf("given up after %d tries: %v", logins.Load(), err)
	}
	c.Close()
	if n := int(logins.Load()); n != len(answers)+1 {
		t.Errorf("%d tries, want %d", n, len(answers)+1)
	}
	close(v.statuses)
	var told []string
	for text := range v.statuses {
		told = append(told, text)
	}
	if len(told) != 8 || !strings.Contains(told[0], "cannot log in yet: denied: name is taken") || !strings.Contains(told[7], "in other words") {
		t.Errorf("told %q", told)
	}
}

// A final denial and a wrong password end the tries at once.
func TestFinalDenials(t *testing.T) {
	for _, reason := range []string{"you are banned", "name is reserved", "this server speaks TLS: connect with -tls", "wrong name or password"} {
		addr, logins := answering(t, denied(reason), let)
		c, err := disconnected(addr).redial(t.Context())
		if c != nil {
			c.Close()
		}
		refused := new(client.DeniedError)
		if !errors.As(err, &refused) || refused.Reason != reason || logins.Load() != 1 {
			t.Errorf("%s: %v after %d tries", reason, err, logins.Load())
		}
	}
}

// TLS failures are retried, since the server may be just starting, but not for ever.
func TestTLSFailures(t *testing.T) {
	addr, logins := answering(t, denied("name is taken"))
	v := disconnected(addr)
	v.Client.TLS = new(tls.Config)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := v.redial(ctx); !errors.Is(err, client.ErrTLS) || logins.Load() != maxTLSFailures {
		t.Errorf("%v after %d tries", err, logins.Load())
	}
}

// run runs a conversation over pipes, whose input does not end.
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

// A client that is removed from the room does not reconnect.
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

// A signal while the password is asked for ends the conversation, after the terminal
// is restored.
func TestEndAtTheQuestion(t *testing.T) {
	addr, _ := answering(t, let+closed, denied("wrong name or password"))
	ctx, signal := context.WithCancel(t.Context())
	var restored atomic.Bool
	err := run(t, ctx, addr, func(ctx context.Context) (string, error) {
		signal()
		<-ctx.Done()
		time.Sleep(20 * time.Millisecond) // restoring the terminal may take as long
		restored.Store(true)
		return "", ctx.Err()
	})
	if err != nil || !restored.Load() {
		t.Errorf("%v; the terminal is as it was: %v", err, restored.Load())
	}
}

// mute is a screen that shows nothing, and leaves the answer to the password question
// to the test.
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

// A signal that also ends the password question makes the user leave, whichever of
// the two is seen first.
func TestEndOfTheQuestion(t *testing.T) {
	addr, _ := answering(t, denied("wrong name or password"))
	for range 20 {
		ctx, signal := context.WithCancel(t.Context())
		m := &mute{answers: make(chan string), asked: make(chan struct{})}
		v := disconnected(addr)
		v.screen, v.calls = m, make(chan func())
		go func() {
			<-m.asked
			v.calls <- func() { signal(); close(m.answers) }
		}()
		if _, err := v.reconnect(ctx); !errors.Is(err, errLeft) {
			t.Fatal(err)
		}
	}
}
