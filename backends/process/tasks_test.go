package process

import (
	"os/exec"
	"slices"
	"testing"
	"time"
)

// TestCountStarting: a child counts as starting until it has its threads, has ended, or has had long enough.
func TestCountStarting(t *testing.T) {
	single := exec.Command("sleep", "60") // has one thread
	if err := single.Start(); err != nil {
		t.Fatal(err)
	}
	defer single.Wait()
	defer single.Process.Kill()
	now := time.Now()
	starting := &childProc{pid: single.Process.Pid, forked: now}
	l := &loop{starting: []*childProc{
		{pid: single.Process.Pid, forked: now.Add(-startTime - 1)},
		starting,
		{pid: single.Process.Pid, forked: now, reaped: true},
	}}
	if n := l.countStarting(now); n != 1 || !slices.Equal(l.starting, []*childProc{starting}) {
		t.Errorf("%d start, 1 does", n)
	}
	starting.reaped = true
	if n := l.countStarting(now.Add(startingAge - 1)); n != 1 {
		t.Errorf("counted again at once: %d", n)
	}
	if n := l.countStarting(now.Add(startingAge)); n != 0 {
		t.Errorf("%d start, none does", n)
	}
}
