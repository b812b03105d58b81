// Package command is the command line of chatd, with the transports it is
// given. A program of ten lines is a chatd with another transport, in addition to
// those of this module or instead of them:
//
//	func main() { command.Main(mine.Backend, epoll.Backend) }
//
// The first transport is the default of -backend. The flags, the lines on
// standard output, the signals and the exit codes are those that
// docs/chatd-interface.md promises, so that bench can measure such a program.
//
// A transport with a process for each client starts the same program again, and
// handles that in an init function (see backends/process), before Main.
//
// It knows no transport by name. Main takes over the process: call it once, from
// main, and nothing after it.
package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"chatbench/backends"
	"chatbench/internal/cmdline"
	"chatbench/server"
	"chatbench/server/activation"
	"chatbench/server/config"
)

// Main runs the command line of the process and exits: with 0 after success, with 1
// after an error, with 2 if the arguments are wrong. It panics if there is no
// transport, if two have the same name, or if one has none.
func Main(transports ...backends.Backend) { os.Exit(run(newTable(transports), os.Args[1:])) }

func run(t table, args []string) int {
	var verb string
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		verb = args[0]
	}
	if verb != "" && cmdline.AsksVersion(args) {
		return version(t)
	}
	if code, done := cmdline.Describe(os.Stdout, args, t.describe); done {
		return code
	}
	switch verb {
	case "user":
		return user(args[1:])
	case "ctl":
		return ctl(args[1:])
	case "healthcheck":
		return healthcheck(args[1:])
	case "config", "check":
		args = args[1:]
	}
	f := newFlags(t[0].Name)
	settings, problems, err := config.Load(f.set, args)
	switch {
	case err != nil:
		return cmdline.Refuse(f.set, intro, err)
	case *f.version:
		return version(t)
	case *f.list:
		return list(t, f.o.JSON)
	case verb == "check":
		return check(t, f, problems)
	case len(problems) > 1:
		return cmdline.Refuse(f.set, intro, fmt.Errorf("%w (%d more: chatd check shows all)", problems[0], len(problems)-1))
	case len(problems) == 1:
		return cmdline.Refuse(f.set, intro, problems[0])
	case verb == "config":
		return show(settings)
	}
	return serve(t, f)
}

// serve runs the server.
func serve(t table, f *flags) int {
	backend, err := t.find(f.backend)
	if err == nil {
		f.o.Sockets, err = sockets()
	}
	if err != nil {
		return cmdline.Fail("chatd", cmdline.Usage, err)
	}
	err = server.Run(context.Background(), f.options(t, backend))
	switch {
	case errors.As(err, new(server.Misuse)):
		return cmdline.Fail("chatd", cmdline.Usage, err)
	case err != nil:
		return cmdline.Fail("chatd", cmdline.Failed, err)
	}
	return cmdline.OK
}

// sockets takes over the listening sockets that systemd has opened for this process. A single
// one without a name is the one for clients.
func sockets() (server.Sockets, error) {
	passed, err := activation.Take("chat", "web", "admin")
	return server.Sockets{Chat: passed["chat"], Web: passed["web"], Admin: passed["admin"]}, err
}

// show prints the settings.
func show(settings config.Settings) int {
	if err := settings.Print(os.Stdout); err != nil {
		return cmdline.Fail("chatd config", cmdline.Failed, fmt.Errorf("standard output: %w", err))
	}
	return cmdline.OK
}

// version prints what the program was built from, and with which libraries.
func version(t table) int {
	libraries := []string{"chatbench"} // a dependency of a program in another module
	for _, b := range t {
		module, _, _ := strings.Cut(b.Library, " ")
		libraries = append(libraries, module)
	}
	return cmdline.PrintVersion(os.Stdout, "chatd", libraries...)
}

// table is the transports of a program, in the order in which they are listed.
type table []backends.Backend

func newTable(transports []backends.Backend) table {
	if len(transports) == 0 {
		panic("command: Main needs a transport")
	}
	seen := make(map[string]bool)
	for _, b := range transports {
		if b.Name == "" || seen[b.Name] {
			panic(fmt.Sprintf("command: each transport needs a name of its own: %q", b.Name))
		}
		seen[b.Name] = true
	}
	return transports
}

func (t table) find(name string) (backends.Backend, error) {
	for _, b := range t {
		if b.Name == name {
			return b, nil
		}
	}
	return backends.Backend{}, fmt.Errorf("there is no backend %q, there are %s: see chatd -list", name, strings.Join(t.names(), ", "))
}

func (t table) names() (all []string) {
	for _, b := range t {
		all = append(all, b.Name)
	}
	return all
}
