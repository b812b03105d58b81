package command

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	osuser "os/user"
	"strings"

	"chatbench/backends"
	"chatbench/internal/cmdline"
	"chatbench/server"
)

// check prints all that keeps the server from starting with these settings, and settings that
// may be mistakes: problems, which were found in the settings, and the result of server.Check.
// Each has one line. If there are no problems, another line says what would be served.
func check(t table, f *flags, problems []error) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	backend, err := t.find(f.backend)
	if err != nil {
		problems = append(problems, err)
		backend, f.o.SpawnAhead, f.o.Coalesce, f.o.Loops = t[0], 0, backends.CoalesceOff, 0 // so that the other settings can be checked
	}
	if f.o.Sockets, err = sockets(); err != nil {
		problems = append(problems, err)
	}
	found := server.Check(ctx, f.options(t, backend))
	problems = append(problems, found.Problems...)
	var b strings.Builder
	for _, err := range problems {
		fmt.Fprintf(&b, "error: %s\n", cmdline.Text(err))
	}
	for _, text := range found.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", text)
	}
	if len(problems) == 0 {
		fmt.Fprintf(&b, "ok: %s would listen on %s, for %d clients at most, as %s\n", backend.Name, found.Listen, found.MaxClients, whoami())
	}
	if _, err := os.Stdout.WriteString(b.String()); err != nil {
		return cmdline.Fail("chatd check", cmdline.Failed, fmt.Errorf("standard output: %w", err))
	}
	if len(problems) > 0 {
		return cmdline.Failed
	}
	return cmdline.OK
}

// whoami is the user as whom the check ran: root may read files that the user of chatd may
// not.
func whoami() string {
	if u, err := osuser.Current(); err == nil {
		return "user " + u.Username
	}
	return fmt.Sprintf("user %d", os.Geteuid())
}
