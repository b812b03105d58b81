//go:build race

package report

// raceEnabled says that the race detector is on: what is computed takes many times as long.
const raceEnabled = true
