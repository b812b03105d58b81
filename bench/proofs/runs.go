package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"chatbench/bench/report"
	"chatbench/bench/stats"
)

// The keys of the figures that the proofs use.
const (
	keyCPU      = "cpu-ns/delivery"
	keySyscalls = "syscalls/delivery"
	keyP50      = "p50-ns"
)

// The exit statuses of bench with which there is a result.
const (
	statusFine      = 0
	statusViolated  = 3
	statusDisturbed = 4
)

// plan is how bench is run again and again: the first line of a series. It contains
// everything that could change the results.
type plan struct {
	Proof     string   `json:"proof"`
	Argv      []string `json:"argv"` // without seed and directory
	Neighbour *bursts  `json:"neighbour,omitempty"`
	Slowdown  *costs   `json:"slowdown,omitempty"`
	Bench     string   `json:"bench_sha256"`
	Chatd     string   `json:"chatd_sha256"`
}

// outcome is one run of bench.
type outcome struct {
	Run       int           `json:"run"` // from 1
	Seed      uint64        `json:"seed"`
	Started   time.Time     `json:"started"`
	Took      time.Duration `json:"took_ns"`
	Status    int           `json:"status"`
	Neighbour float64       `json:"neighbour,omitempty"` // the share of each CPU that it took
	Void      int           `json:"void_rounds"`         // of all arms
	Rounds    int           `json:"rounds"`              // of all arms, including void ones
	Loads     []string      `json:"loads"`
	Judged    []judged      `json:"judged"`
}

// judged is one figure of one arm, compared with the reference.
type judged struct {
	Load   string  `json:"load"`
	Arm    string  `json:"arm"`
	Again  bool    `json:"again,omitempty"` // the reference against itself
	Figure string  `json:"figure"`
	Median float64 `json:"median"` // the arm's own, base units
	report.Versus
}

// different says whether it was called a difference.
func (j judged) different() bool {
	switch j.Verdict {
	case "holds", "fails", string(stats.Tie), string(stats.Unresolved), string(stats.ServerFull):
		return false
	}
	return true
}

// text is the ratio with its interval.
func (j judged) text() string { return ratioText(j.Ratio, j.Low, j.High) }

// ratioText is a ratio with its interval, if there is one.
func ratioText(ratio, low, high float64) string {
	if low == 0 {
		return fmt.Sprintf("%.3f", ratio)
	}
	return fmt.Sprintf("%.3f (%.3f–%.3f)", ratio, low, high)
}

// programs is the directory of bench and chatd.
type programs struct{ bin string }

func (p programs) path(name string) string { return filepath.Join(p.bin, name) }

// plan fills in the builds.
func (p programs) plan(proof string, argv []string) (plan, error) {
	one := plan{Proof: proof, Argv: argv}
	for name, sum := range map[string]*string{"bench": &one.Bench, "chatd": &one.Chatd} {
		data, err := os.ReadFile(p.path(name))
		if err != nil {
			return one, fmt.Errorf("there is no %s in %s; build it with make, or give its directory with -bin", name, p.bin)
		}
		hash := sha256.Sum256(data)
		*sum = hex.EncodeToString(hash[:])
	}
	return one, nil
}

// run runs bench once, with a neighbour if there is one, and reads the
// summary that it prints as JSON.
func (p programs) run(ctx context.Context, argv []string, beside *bursts, seed uint64, dir string) (outcome, error) {
	o := outcome{Seed: seed, Started: time.Now().Round(0)}
	args := append([]string{"run", "-json", "-seed", fmt.Sprint(seed), "-o", dir}, argv...)
	out, status, share, err := p.beside(ctx, beside, seed, "", args)
	o.Took, o.Status, o.Neighbour = time.Since(o.Started), status, share
	if err != nil {
		return o, err
	}
	return o, o.read(out)
}

// beside runs bench with these arguments, with a neighbour if b is not nil, and returns its stdout and exit
// status. An exit status without a result is an error.
func (p programs) beside(ctx context.Context, b *bursts, seed uint64, dir string, args []string) (out []byte, status int, share float64, err error) {
	if b != nil {
		n, err := startNoise(*b, seed)
		if err != nil {
			return nil, 0, 0, fmt.Errorf("cannot start the neighbour: %w", err)
		}
		defer func() {
			var ended error
			share, ended = n.stop()
			err = errors.Join(err, ended)
		}()
	}
	path, err := filepath.Abs(p.path("bench"))
	if err != nil {
		return nil, 0, 0, err
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM} // this process passes Ctrl-C on
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	err = cmd.Run()
	status = cmd.ProcessState.ExitCode()
	switch exit := new(exec.ExitError); {
	case ctx.Err() != nil:
		return nil, status, 0, errInterrupted
	case errors.As(err, &exit) && stdout.Len() > 0:
		err = nil
	case err != nil:
		err = fmt.Errorf("bench %s: %w", args[0], err)
	}
	return stdout.Bytes(), status, 0, err
}

// read extracts from a summary what a proof needs.
func (o *outcome) read(summary []byte) error {
	var s report.Summary
	if err := json.Unmarshal(summary, &s); err != nil {
		return fmt.Errorf("cannot read the summary that bench printed: %w", err)
	}
	o.Void, o.Rounds = s.Checks.VoidRounds, s.Checks.Rounds
	for _, l := range s.Loads {
		o.Loads = append(o.Loads, l.Name)
		for _, a := range l.Arms {
			for key, f := range a.Figures {
				if f.Versus != nil {
					o.Judged = append(o.Judged, judged{Load: l.Name, Arm: a.Name, Again: a.Again, Figure: key, Median: f.Median, Versus: *f.Versus})
				}
			}
		}
	}
	return nil
}

// of returns an arm's primary figures, load by load.
func (o outcome) of(arm string) (primary []judged) {
	for _, j := range o.Judged {
		if j.Arm == arm && j.Primary {
			primary = append(primary, j)
		}
	}
	return sorted(primary)
}
