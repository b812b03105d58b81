package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"chatbench/bench/machine"
	"chatbench/loadgen/pin"
)

// bursts is a noisy neighbour that uses each CPU for busy, leaves it for idle, and so on.
type bursts struct {
	Busy time.Duration `json:"busy_ns"`
	Idle time.Duration `json:"idle_ns"`
}

// at returns whether the neighbour spins at a time after the beginning of a burst, and
// for how long it continues to.
func (b bursts) at(since time.Duration) (spins bool, left time.Duration) {
	if place := since % (b.Busy + b.Idle); place < b.Busy {
		return true, b.Busy - place
	} else {
		return false, b.Busy + b.Idle - place
	}
}

func (b bursts) check() error {
	if b.Busy <= 0 || b.Idle < 0 || b.Busy > time.Hour || b.Idle > time.Hour {
		return fmt.Errorf("bursts of %v with %v in between; give -busy above 0 and -idle of 0 or more, an hour at most", b.Busy, b.Idle)
	}
	return nil
}

// spin is the neighbour: for the given time it uses the CPUs in bursts, with a locked
// and pinned thread on each, whose bursts begin at random times.
func (b bursts) spin(ctx context.Context, cpus []int, long time.Duration, seed uint64) error {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(len(cpus) + 1))
	ctx, cancel := context.WithTimeout(ctx, long)
	defer cancel()
	source := rand.New(rand.NewPCG(seed, 0x6e6f697365)) // "noise"
	var all sync.WaitGroup
	failed := make(chan error, len(cpus))
	for _, cpu := range cpus {
		began := time.Now().Add(-time.Duration(source.Int64N(int64(b.Busy + b.Idle))))
		all.Go(func() {
			runtime.LockOSThread() // for good: the thread ends with its goroutine
			if err := pin.Thread([]int{cpu}); err != nil {
				failed <- err
				cancel()
				return
			}
			for ctx.Err() == nil {
				spins, left := b.at(time.Since(began))
				until := time.Now().Add(min(left, 50*time.Millisecond)) // so that it ends soon after it is told to
				for spins && time.Now().Before(until) {
				}
				time.Sleep(time.Until(until))
			}
		})
	}
	all.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// noise is a neighbour that runs at the same time as something else, in a process of its own.
type noise struct {
	cmd   *exec.Cmd
	began time.Time
	cpus  int
}

// noiseMost is how long a neighbour runs at most, if nothing ends it.
const noiseMost = 2 * time.Hour

// startNoise starts a neighbour on all CPUs; it ends with this process at the latest.
func startNoise(b bursts, seed uint64) (*noise, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cpus, err := machine.Allowed()
	if err != nil {
		return nil, err
	}
	n := &noise{began: time.Now(), cpus: len(cpus)}
	n.cmd = exec.Command(self, "neighbour", "-cpus", machine.FormatCPUs(cpus), "-busy", b.Busy.String(), "-idle", b.Idle.String(),
		"-for", noiseMost.String(), "-seed", fmt.Sprint(seed))
	n.cmd.Stderr = os.Stderr
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return n, n.cmd.Start()
}

// stop ends it and returns the share of each CPU that it used: another process that
// wants the CPU during its bursts gets a part of them.
func (n *noise) stop() (share float64, err error) {
	took := time.Since(n.began)
	n.cmd.Process.Kill()
	n.cmd.Wait()
	state := n.cmd.ProcessState
	if status, ok := state.Sys().(syscall.WaitStatus); !ok || !status.Signaled() {
		return 0, fmt.Errorf("the neighbour ended before it was told to: %v", state)
	}
	return float64(state.UserTime()+state.SystemTime()) / float64(took) / float64(n.cpus), nil
}
