// Package askpass asks a person for a password on the terminal, without
// showing it.
//
// It refuses to read passwords from anywhere else and to keep them. Ask is
// called from one goroutine at a time.
package askpass

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/term"
)

// ErrNoTerminal is that there is nobody to ask.
var ErrNoTerminal = errors.New("askpass: no terminal to ask for the password on")

// Ask prints prompt and reads a line. It asks the terminal the process belongs
// to, so that standard input may be a pipe. If ctx ends first (Ctrl-C) the
// terminal is made to show typing again.
func Ask(ctx context.Context, prompt string) (string, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return "", ErrNoTerminal
	}
	defer tty.Close()
	fd := int(tty.Fd())
	state, err := term.GetState(fd)
	if err != nil {
		return "", ErrNoTerminal
	}
	fmt.Fprint(tty, prompt)
	type answer struct {
		password []byte
		err      error
	}
	answers := make(chan answer, 1)
	go func() { // a read of the terminal cannot be broken off
		p, err := term.ReadPassword(fd)
		answers <- answer{p, err}
	}()
	select {
	case a := <-answers:
		fmt.Fprintln(tty)
		if a.err != nil {
			return "", fmt.Errorf("askpass: %w", a.err)
		}
		return string(a.password), nil
	case <-ctx.Done():
		term.Restore(fd, state)
		fmt.Fprintln(tty)
		return "", ctx.Err()
	}
}
