//go:build race

package stats

// raceEnabled says that the race detector is on.
const raceEnabled = true
