package thread

import (
	"fmt"

	"chatbench/backends/internal/tasks"
)

const (
	// maxClients have 8,000 threads. Go's runtime needs some itself, and ends a process that
	// has more than 10,000.
	maxClients = 4000
	// spareThreads are left for the runtime, for everything else in the process, and for
	// other processes that count against the same limit. If the runtime cannot start a
	// thread it ends the process.
	spareThreads = 32
)

// checkThreads returns an error if the system does not have enough threads left for so many
// clients. Other processes may take them later, so take checks again for each client.
func checkThreads(clients int) error {
	need := 2*(clients+maxTurnedAway) + spareThreads
	left, by := tasks.Left(need, true)
	if need <= left {
		return nil
	}
	return fmt.Errorf("thread: %d clients need up to %d threads, but %s allows only %d more: allow at most %d clients",
		clients, need, by, left, max((left-spareThreads)/2-maxTurnedAway, 0))
}
