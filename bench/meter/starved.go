package meter

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// Starved looks this many times, at this interval.
const (
	starvedLooks = 10
	starvedEvery = 20 * time.Millisecond
)

// Starved says whether a process tree has work to do but does not get a CPU:
// whether, for a fifth of a second, some thread of it was always ready to run,
// and the whole tree had a CPU for less than half of that time. A server that
// waits for something is not starved, and neither is one that is in an endless loop.
func Starved(root int) bool {
	begun := time.Now()
	before := ranFor(root)
	for look := range starvedLooks {
		if look > 0 {
			time.Sleep(starvedEvery)
		}
		if !ready(root) {
			return false
		}
	}
	return ranFor(root)-before < time.Since(begun)/2
}

// ready says whether a thread of the tree is running or ready to run.
func ready(root int) bool {
	for _, pid := range Tree(root) {
		for _, tid := range threads(pid) {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/stat", pid, tid))
			end := bytes.LastIndexByte(text, ')')
			if err == nil && end+2 < len(text) && text[end+2] == 'R' {
				return true
			}
		}
	}
	return false
}

// ranFor is how long the present threads of the tree have had a CPU so far; 0 if the kernel
// does not say.
func ranFor(root int) (sum time.Duration) {
	for _, pid := range Tree(root) {
		for _, tid := range threads(pid) {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/schedstat", pid, tid))
			if err != nil {
				continue
			}
			ns, _, _ := bytes.Cut(text, []byte(" "))
			if n, err := strconv.ParseInt(string(ns), 10, 64); err == nil {
				sum += time.Duration(n)
			}
		}
	}
	return sum
}
