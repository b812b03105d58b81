package command

import (
	"context"
	"flag"
	"strings"

	"chatbench/internal/cmdline"
)

// describe is loadgen with all its verbs, for the manual and for completion. Each verb describes
// its flags itself, where it would have read them.
func describe(ctx context.Context, env Env) cmdline.Command {
	_, text, _ := strings.Cut(usage, "\n") // without the first line: a manual has a synopsis
	c := cmdline.Command{
		Name: "loadgen", Summary: "put load on a chat server and measure it", Text: text, Verbs: cmdline.VerbsOf(usage),
		Exit: "3 if the server broke its contract.", See: []string{"chatd", "chat", "bench"},
	}
	for i := range c.Verbs {
		env.describe = func(f *flag.FlagSet) { c.Verbs[i].Flags = f }
		Run(ctx, []string{c.Verbs[i].Name}, env)
	}
	return c
}
