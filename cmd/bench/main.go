// Bench measures chat server backends against one another.
package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"golang.org/x/term"

	"chatbench/bench/command"
	"chatbench/bench/live"
	"chatbench/bench/report"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := command.Run(ctx, os.Args[1:], command.Env{
		Stdout: os.Stdout,
		Stderr: os.Stderr,
		Live:   terminal(),
		Style:  style(),
		Bin:    bin(),
	})
	stop()
	os.Exit(status)
}

// terminal is what stderr can show.
func terminal() live.Terminal {
	stderr := int(os.Stderr.Fd())
	return live.Terminal{
		Moves: term.IsTerminal(stderr) && os.Getenv("TERM") != "dumb",
		Color: os.Getenv("NO_COLOR") == "",
		Size: func() (columns, rows int) {
			columns, rows, _ = term.GetSize(stderr)
			return columns, rows
		},
	}
}

// style is what stdout can show: colour only on a terminal whose user has not
// asked for none.
func style() report.Style {
	out := int(os.Stdout.Fd())
	if !term.IsTerminal(out) {
		return report.Style{Width: 100}
	}
	width, _, err := term.GetSize(out)
	if err != nil {
		width = 0
	}
	return report.Style{Color: os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb", Width: width}
}

// bin is where this program is, and so its neighbours.
func bin() string {
	path, err := os.Executable()
	if err != nil {
		return "bin"
	}
	return filepath.Dir(path)
}
