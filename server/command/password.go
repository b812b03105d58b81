package command

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/signal"
	"strings"

	"golang.org/x/term"

	"chatbench/internal/askpass"
)

// newPassword asks twice, so that a slip of the finger locks nobody out.
func newPassword() (string, error) {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		line, err := bufio.NewReader(os.Stdin).ReadString('\n')
		if err != nil && line == "" {
			return "", errors.New("no password on standard input: one line is read")
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	password, err := askpass.Ask(ctx, "Password: ")
	if err != nil {
		return "", err
	}
	again, err := askpass.Ask(ctx, "Once more: ")
	if err == nil && again != password {
		err = errors.New("the two passwords differ: nothing was changed")
	}
	return password, err
}
