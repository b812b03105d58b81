package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"chatbench/loadgen"
	"chatbench/loadgen/agents"
)

// agent is the verb: it drives a part of the load of a bench on another machine, until the bench
// tells it to leave.
func agent(ctx context.Context, args []string, env Env) int {
	var cpu cpus
	host, _ := os.Hostname()
	f := flag.NewFlagSet("agent", flag.ContinueOnError)
	o := agents.Options{Log: func(line string) { fmt.Fprintln(env.Stderr, "loadgen: "+line) }}
	f.StringVar(&o.Join, "join", "", "`HOST:PORT` where bench run -agents accepts agents, like measure1:7420")
	f.StringVar(&o.Name, "name", host, "`NAME` of this agent; each agent needs a name of its own")
	f.IntVar(&o.Threads, "threads", 0, "`number` of threads, each with its share of the clients (0: one for each of -cpu, or one)")
	f.Var(&cpu, "cpu", "`CPU` or CPUs that the threads are pinned to, one each, like 2-5 (none: not pinned)")
	f.DurationVar(&o.Wait, "wait", time.Minute, "how long to wait until bench listens there and the name is free")
	if status, ok := parse(f, args, env); !ok {
		return status
	}
	if o.CPU = cpu; o.Threads == 0 {
		o.Threads = max(1, len(cpu))
	}
	switch {
	case o.Join == "":
		return failed(env, exitUsage, errors.New("loadgen agent: give -join HOST:PORT, where bench run -agents accepts agents"))
	case o.Name == "":
		return failed(env, exitUsage, errors.New("loadgen agent: give a -name"))
	case o.Threads < 1 || o.Threads > 1 && len(cpu) > 0 && len(cpu) != o.Threads:
		return failed(env, exitUsage, fmt.Errorf("loadgen agent: %d threads and %d CPUs; give one CPU for each thread, or none", o.Threads, len(cpu)))
	}
	err := agents.Serve(ctx, o)
	switch {
	case errors.Is(err, loadgen.ErrInterrupted):
		return failed(env, exitFailed, errors.New("loadgen: interrupted"))
	case err != nil:
		return failed(env, exitFailed, err)
	}
	return exitOK
}
