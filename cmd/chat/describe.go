package main

import (
	"flag"

	"chatbench/internal/cmdline"
)

// describe is the command, for manual and completion.
func describe(fs *flag.FlagSet) cmdline.Command {
	return cmdline.Command{Name: "chat", Summary: "chat client for the terminal", Text: intro, Flags: fs, See: []string{"chatd", "loadgen", "bench"}}
}
