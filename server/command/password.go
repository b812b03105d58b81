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

// newPassword asks for a password twice, because of typing mistakes. If standard input is
// not a terminal it reads one line from it.
func newPassword() (string, error) {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		line, err := bufio.NewReader(os.Stdin).ReadString('\n')
		if err != nil && line == "" {
			return "", errors.New("no password on standard input: give it as one line")
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
