// Package askpass asks the user for a password on the terminal, without showing it.
//
// It does not read passwords from anywhere else, and does not keep them. Call Ask from one
// goroutine at a time.
package askpass

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/term"
)

// ErrNoTerminal means that the process has no terminal.
var ErrNoTerminal = errors.New("askpass: no terminal to ask for the password on")

// Ask prints prompt and reads a line. It uses the terminal of the process, even if standard
// input is a pipe. If ctx ends first (Ctrl-C) it restores the terminal.
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
	go func() { // a read of the terminal cannot be interrupted
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
