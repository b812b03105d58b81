package main

import (
	"context"
	"errors"
	"os"

	"chatbench/client/terminal"
	"chatbench/internal/askpass"
)

// setPassword takes the password from the environment, or asks for it. In the second
// case it is asked for again when the server no longer accepts it.
func setPassword(ctx context.Context, o *terminal.Options) (err error) {
	var given bool
	if o.Client.Password, given = os.LookupEnv("CHAT_PASSWORD"); given {
		return nil
	}
	o.AskPassword = func(ctx context.Context) (string, error) {
		return askpass.Ask(ctx, "Password of "+o.Client.User+": ")
	}
	o.Client.Password, err = o.AskPassword(ctx)
	if errors.Is(err, askpass.ErrNoTerminal) {
		return errors.New("no terminal to ask for the password on: set CHAT_PASSWORD")
	}
	return err
}
