package terminal

import (
	"context"
	"errors"
	"time"

	"chatbench/client"
)

// maxTLSFailures is after how many TLS failures in a row reconnecting is given up. A
// single one may come from a server that is just starting.
const maxTLSFailures = 5

// reconnect dials until it is let in. The user may leave meanwhile, and is asked for
// the password if the server no longer accepts it.
func (v *conversation) reconnect(ctx context.Context) (*client.Client, error) {
	trying, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		client *client.Client
		err    error
	}
	results := make(chan result, 1)
	try := func() {
		c, err := v.redial(trying)
		results <- result{c, err}
	}
	go try()
	var answers <-chan string // the password that is asked for; nil while a try is under way
	var denied error          // why the password is asked for
	leave := func() error {
		cancel()
		if answers == nil {
			if r := <-results; r.client != nil {
				r.client.Close()
			}
		}
		return errLeft
	}
	typed := v.typed
	if !v.interactive {
		typed = nil // what is piped in waits for the connection
	}
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, leave()
		case r := <-results:
			if !wrongPassword(r.err) {
				return r.client, r.err
			}
			denied = r.err
			v.status("cannot log in: " + trim(r.err))
			answers = v.ask(trying)
		case password, ok := <-answers:
			switch {
			case ctx.Err() != nil:
				return nil, leave()
			case !ok:
				return nil, denied
			}
			answers = nil
			v.Client.Password = password // no try is under way
			go try()
		case call := <-v.calls:
			call()
		case text := <-v.statuses:
			v.status(text)
		case <-tick.C:
			v.drawProgress()
		case line, ok := <-typed:
			if !ok || v.offline(line) {
				return nil, leave()
			}
		}
	}
}

// wrongPassword says whether a try failed because of the password.
func wrongPassword(err error) bool {
	denied := new(client.DeniedError)
	return errors.As(err, &denied) && denied.WrongPassword()
}

// redial tries again until it is let in, with growing pauses. It goes on after most
// denials, because the server may be full, or may not have noticed that our old
// connection is gone; each new reason is shown once. It gives up when the password
// is wrong and when the denial is final.
func (v *conversation) redial(ctx context.Context) (*client.Client, error) {
	v.backoff.Reset()
	shown := ""
	for noTLS := 0; ; {
		select {
		case <-time.After(v.backoff.Next()):
		case <-ctx.Done():
			return nil, errLeft
		}
		c, err := dial(ctx, v.Client)
		denied := new(client.DeniedError)
		switch {
		case err == nil:
			return c, nil
		case ctx.Err() != nil:
			return nil, errLeft
		case errors.Is(err, client.ErrTLS):
			if noTLS++; noTLS >= maxTLSFailures {
				return nil, err
			}
			continue
		case !errors.As(err, &denied):
		case denied.Final() || denied.WrongPassword():
			return nil, err
		case denied.Reason != shown:
			shown = denied.Reason
			v.queueStatus("cannot log in yet: " + trim(err) + "; still trying")
		}
		noTLS = 0
	}
}
