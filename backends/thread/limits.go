package thread

import (
	"fmt"

	"chatbench/backends/internal/tasks"
)

const (
	// mostClients have 8,000 threads: Go's runtime ends a process that has more
	// than 10,000, and needs some itself.
	mostClients = 4000
	// spareThreads are for the runtime, for everything else in the process, and
	// for others whose threads count too. The runtime ends the process if it
	// cannot have one.
	spareThreads = 32
)

// fits is an error if the system does not have as many threads left as so many
// clients take. Others may take them later: each client is asked for anew.
func fits(clients int) error {
	need := 2*(clients+turnedAway) + spareThreads
	left, by := tasks.Left(need)
	if need <= left {
		return nil
	}
	return fmt.Errorf("thread: %d clients take up to %d threads, and %s allows %d more than there are now: allow at most %d clients",
		clients, need, by, left, max((left-spareThreads)/2-turnedAway, 0))
}
