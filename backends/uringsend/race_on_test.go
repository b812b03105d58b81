//go:build race

package uringsend

// racing says that the race detector is on. sync.Pool then drops values at random, so that
// allocations cannot be counted.
const racing = true
