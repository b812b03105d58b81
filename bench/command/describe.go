package command

import (
	"context"
	"flag"
	"path/filepath"
	"strings"

	"chatbench/bench"
	"chatbench/internal/cmdline"
)

// describe is bench with all its verbs, for the manual and for completion. Each verb describes
// its flags itself, where it would have read them.
func describe(ctx context.Context, env Env) cmdline.Command {
	_, text, _ := strings.Cut(usage, "\n") // without the first line: a manual has a synopsis
	c := cmdline.Command{
		Name: "bench", Summary: "measure chat servers against one another", Text: text, Verbs: cmdline.VerbsOf(usage),
		Exit:   "3 if a server broke its contract or files do not agree, 4 if a run was too disturbed to say anything.",
		See:    []string{"chatd", "chat", "loadgen"},
		Values: map[string][]string{"scenario": bench.Scenarios},
	}
	chatd := filepath.Join(env.Bin, "chatd")
	env.Bin = "bin" // for defaults: the manual must not depend on where it is made
	for i := range c.Verbs {
		v := &c.Verbs[i]
		env.describe = func(f *flag.FlagSet, arguments string) {
			v.Flags = f
			v.Takes, _, _ = strings.Cut(arguments, "\n")
		}
		verbs[v.Name](ctx, nil, env)
	}
	if known, err := bench.Backends(ctx, chatd); err == nil { // without a chatd there are no names to offer
		for _, b := range known {
			c.Values["backends"] = append(c.Values["backends"], b.Name)
		}
		c.Values["against"] = c.Values["backends"]
	}
	return c
}
