// Command chatd is the chat server.
//
//	chatd user add users.txt alice
//	chatd -users users.txt -backend epoll -listen 127.0.0.1:9000
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"chatbench/backends/all"
	"chatbench/backends/server"
	"chatbench/cmd/internal/cmdline"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	if len(args) > 0 && args[0] == "user" {
		return user(args[1:])
	}
	f := newFlags()
	if code, done := cmdline.Parse(f.set, intro, args); done {
		return code
	}
	if f.list {
		return list(f.o.JSON)
	}
	backend, known := all.Find(f.backend)
	if !known {
		return cmdline.Fail("chatd", cmdline.Usage,
			fmt.Errorf("there is no backend %q, there are %s: see chatd -list", f.backend, strings.Join(all.Names(), ", ")))
	}
	err := server.Run(context.Background(), f.options(backend))
	switch {
	case errors.As(err, new(server.Misuse)):
		return cmdline.Fail("chatd", cmdline.Usage, err)
	case err != nil:
		return cmdline.Fail("chatd", cmdline.Failed, err)
	}
	return cmdline.OK
}
