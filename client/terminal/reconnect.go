package terminal

import (
	"context"
	"errors"
	"time"

	"chatbench/client"
)

// noTLSMost is how many failures of TLS in a row end the tries to come back: one alone
// may be a server that is just starting.
const noTLSMost = 5

// comeBack dials until it is let in. The user may leave meanwhile, and is asked for
// the password if the server does not take it any more.
func (v *conversation) comeBack(ctx context.Context) (*client.Client, error) {
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
	var answers <-chan string // to the question for the password; nil: it is not asked, and a try is under way
	var denied error          // what it is asked for
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
			v.status("the server does not let us in: " + trim(r.err))
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
		case do := <-v.asides:
			do()
		case text := <-v.told:
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

// wrongPassword says whether a try ended because the password is not taken.
func wrongPassword(err error) bool {
	denied := new(client.DeniedError)
	return errors.As(err, &denied) && denied.WrongPassword()
}

// redial tries again and again, later and later. Being denied is no reason to give up:
// the server may be full, or may not have noticed yet that we were gone. Why is told
// once. A password that it does not take, and a denial for good, are reasons.
func (v *conversation) redial(ctx context.Context) (*client.Client, error) {
	v.backoff.Reset()
	told := ""
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
			if noTLS++; noTLS >= noTLSMost {
				return nil, err
			}
			continue
		case !errors.As(err, &denied):
		case denied.Final() || denied.WrongPassword():
			return nil, err
		case denied.Reason != told:
			told = denied.Reason
			v.tell("the server does not let us in yet: " + trim(err) + "; trying on")
		}
		noTLS = 0
	}
}
