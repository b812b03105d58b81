package terminal

import (
	"context"
	"errors"
	"time"

	"chatbench/client"
)

// comeBack dials until it is let in. The user may leave meanwhile, and is asked for
// the password if the server does not take it any more.
func (v *conversation) comeBack(ctx context.Context) (*client.Client, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		client *client.Client
		err    error
	}
	results := make(chan result, 1)
	try := func() {
		c, err := v.redial(ctx)
		results <- result{c, err}
	}
	go try()
	var answers <-chan string // to the question for the password; nil: it is not asked, and a try is under way
	var denied error          // what it is asked for
	typed := v.typed
	if !v.interactive {
		typed = nil // what is piped in waits for the connection
	}
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	for {
		select {
		case r := <-results:
			if !wrongPassword(r.err) {
				return r.client, r.err
			}
			denied = r.err
			v.status("the server does not let us in: " + trim(r.err))
			answers = v.ask(ctx)
		case password, ok := <-answers:
			if !ok {
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
			if ok && !v.offline(line) {
				continue
			}
			cancel()
			if answers != nil {
				return nil, errLeft
			}
			if r := <-results; r.client != nil {
				r.client.Close()
			}
			return nil, errLeft
		}
	}
}

// wrongPassword says whether a try ended because the password is not taken.
func wrongPassword(err error) bool {
	denied := new(client.DeniedError)
	return errors.As(err, &denied) && denied.WrongPassword()
}

// redial tries again and again, later and later. Being denied once is no reason to
// give up: the server may not have noticed yet that we were gone. A password that it
// does not take is.
func (v *conversation) redial(ctx context.Context) (*client.Client, error) {
	v.backoff.Reset()
	for denials := 0; ; {
		select {
		case <-time.After(v.backoff.Next()):
		case <-ctx.Done():
			return nil, errLeft
		}
		c, err := dial(ctx, v.Client)
		switch {
		case err == nil:
			return c, nil
		case ctx.Err() != nil:
			return nil, errLeft
		case wrongPassword(err):
			return nil, err
		case errors.As(err, new(*client.DeniedError)), errors.Is(err, client.ErrTLS):
			if denials++; denials >= denialsMost {
				return nil, err
			}
		default:
			denials = 0
		}
	}
}
