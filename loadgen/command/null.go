package command

import (
	"context"
	"flag"
	"fmt"

	"chatbench/loadgen/null"
)

// nullServer is the verb: it serves until it is interrupted.
func nullServer(ctx context.Context, args []string, env Env) int {
	var cpu cpus
	f := flag.NewFlagSet("null", flag.ContinueOnError)
	listen := f.String("listen", "127.0.0.1:9000", "`HOST:PORT` to listen on; port 0 picks a free one")
	f.Var(&cpu, "cpu", "`CPU` or CPUs that the server's thread is pinned to, like 0 (none: not pinned)")
	if status, ok := parse(f, args, env); !ok {
		return status
	}
	s, err := null.Listen(*listen)
	if err != nil {
		return failed(env, exitFailed, err)
	}
	s.CPU = cpu
	fmt.Fprintf(env.Stdout, "loadgen: null server listening on %s\n", s.Addr())
	if err := s.Serve(ctx); err != nil {
		return failed(env, exitFailed, err)
	}
	return exitOK
}
