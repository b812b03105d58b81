package command

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"

	"chatbench/loadgen/price"
)

// priceOf is the verb: it prints as JSON what system calls and context switches cost.
func priceOf(_ context.Context, args []string, env Env) int {
	if status, ok := parse(flag.NewFlagSet("price", flag.ContinueOnError), args, env); !ok {
		return status
	}
	p, err := price.Measure()
	if err != nil {
		return failed(env, exitFailed, err)
	}
	text, err := json.Marshal(p)
	if err != nil {
		return failed(env, exitFailed, err)
	}
	fmt.Fprintf(env.Stdout, "%s\n", text)
	return exitOK
}
