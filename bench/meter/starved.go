package meter

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// How Starved looks: so often, at this distance.
const (
	starvedLooks = 10
	starvedEvery = 20 * time.Millisecond
)

// Starved says whether a process tree has work to do and is kept from it:
// whether, for a fifth of a second, some thread of it was always ready to run,
// and the whole tree had a CPU for less than half of that time. A server that
// waits for something is not starved, and neither is one that runs in a circle.
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

// ready says whether a thread of the tree runs or is ready to.
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

// ranFor is the time for which the threads of the tree that are there now have
// had a CPU; 0 where the kernel does not say.
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
