package command

import (
	"flag"
	"fmt"

	"chatbench/internal/cmdline"
	"chatbench/server/control"
)

// describe describes chatd with these transports, for the manual page and completion.
func (t table) describe() cmdline.Command {
	flags := newFlags(t[0].Name).set
	operator, health := new(ctlFlags).define(), flag.NewFlagSet("chatd healthcheck", flag.ContinueOnError)
	defineHealth(health)
	operator.String("for", "", "`TIME` of a ban, which stands behind it") // parseRequest reads it
	c := cmdline.Command{
		Name: "chatd", Summary: "chat server with a choice of server models", Text: intro, Flags: flags,
		See:    []string{"chat", "loadgen", "bench"},
		Values: map[string][]string{"backend": t.names(), "log-level": {"debug", "info", "warn", "error"}},
		Verbs: []cmdline.Verb{
			{Name: "check", Summary: "list all that would keep the server from starting", Flags: flags},
			{Name: "config", Summary: "print the settings, and where each comes from", Flags: flags},
			{Name: "user", Summary: "make users, change passwords, delete users", Text: userHelp, Takes: "FILE [NAME]", Words: []string{"add", "passwd", "del", "list"}},
			{Name: "ctl", Summary: "inspect and control a running server", Text: fmt.Sprintf(ctlHelp, ctlCommands()), Flags: operator},
			{Name: "healthcheck", Summary: "check whether a server is healthy, for images without a shell", Text: healthHelp, Flags: health},
		},
	}
	for _, one := range control.Commands {
		c.Verbs[3].Words = append(c.Verbs[3].Words, one.Name)
	}
	return c
}
