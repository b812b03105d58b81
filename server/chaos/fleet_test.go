package chaos

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"chatbench/core/units"
	"chatbench/internal/spawntest"
	"chatbench/loadgen"
	"chatbench/loadgen/hist"
	"chatbench/loadgen/ledger"
)

// fleetVariable makes this program a load generator: its value is a fleetSpec. The generator
// drives one slice for each line on standard input, and leaves at the end of it.
const fleetVariable = "CHAOS_FLEET"

// fleetSpec is a load: some clients talk, all receive it, and every delivery is checked.
type fleetSpec struct {
	Server  string
	Clients int
	Rate    float64 // messages a second
	Text    int     // octets
	Slice   time.Duration
}

// sliceResult is the result of one slice, or of several.
type sliceResult struct {
	Latency    *hist.Histogram // from when a message was due
	Deliveries uint64          // since the fleet logged in
	Wrong      uint64          // deliveries that were lost, doubled, reordered or altered, and messages that were not sent or read
	Error      string          // why the fleet has ended
}

// driveFleet runs the load generator, and returns its exit status.
func driveFleet(spec string) int {
	answer := json.NewEncoder(os.Stdout)
	failed := func(err error) int {
		answer.Encode(sliceResult{Error: err.Error()})
		return 1
	}
	var s fleetSpec
	if err := json.Unmarshal([]byte(spec), &s); err != nil {
		return failed(err)
	}
	stage, err := loadgen.NewStage(context.Background(), 1, nil)
	if err != nil {
		return failed(err)
	}
	defer stage.Close()
	f, err := stage.Join(loadgen.Config{
		Server: s.Server, Clients: s.Clients, Rate: units.Rate(s.Rate), Size: units.Size(s.Text), Duration: s.Slice,
		Connect: timeout, Drain: timeout,
	})
	if err != nil {
		return failed(err)
	}
	answer.Encode(sliceResult{})
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		r, e, err := f.Slice()
		if err != nil {
			return failed(err)
		}
		answer.Encode(sliceResult{Latency: r.FromDue.Histogram, Deliveries: r.Deliveries.InAll, Wrong: wrong(r.Ledger) + e.Missing + r.Messages.Unsent})
	}
	return 0
}

func wrong(t ledger.Tally) uint64 {
	return t.Lost + t.Duplicated + t.Reordered + t.Altered + t.OtherOrder
}

// fleet is a load generator that runs in a process of its own.
type fleet struct {
	x   *run
	in  io.WriteCloser
	out *json.Decoder
	all sliceResult // of every slice
}

// fleet logs a fleet in.
func (x *run) fleet(s *server, clients int, rate float64, text int) *fleet {
	x.Helper()
	spec, err := json.Marshal(fleetSpec{s.addr, clients, rate, text, x.size.slice})
	if err != nil {
		x.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		x.Fatal(err)
	}
	at, err := spawntest.Shared()
	if err != nil {
		x.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), fleetVariable+"="+string(spec))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := cmp.Or(err1, err2, at.Do(cmd.Start)); err != nil {
		x.Fatal(err)
	}
	f := &fleet{x: x, in: in, out: json.NewDecoder(out), all: sliceResult{Latency: hist.New()}}
	x.Cleanup(func() {
		in.Close()
		if x.Failed() || testContext.Err() != nil {
			cmd.Process.Kill()
		}
		cmd.Wait()
	})
	if _, err := f.next(); err != nil {
		x.Fatal(err)
	}
	return f
}

// next reads the next answer of the generator.
func (f *fleet) next() (h sliceResult, err error) {
	if err = f.out.Decode(&h); err == nil && h.Error != "" {
		err = errors.New(h.Error)
	}
	if err != nil {
		return h, fmt.Errorf("load generator: %w", err)
	}
	return h, nil
}

// talk drives one slice.
func (f *fleet) talk(to *hist.Histogram) error {
	if _, err := io.WriteString(f.in, "slice\n"); err != nil {
		return fmt.Errorf("the load generator has ended: %w", err)
	}
	h, err := f.next()
	if err != nil {
		return err
	}
	to.Merge(h.Latency)
	f.all.Latency.Merge(h.Latency)
	f.all.Deliveries, f.all.Wrong = h.Deliveries, h.Wrong
	return nil
}

// during drives the fleet while fault runs, and returns the p99 latency of that time.
func (f *fleet) during(fault func()) (p99 time.Duration) {
	f.x.Helper()
	seen, over := hist.New(), make(chan struct{})
	var failed error
	var talking sync.WaitGroup
	talking.Go(func() {
		for failed == nil {
			failed = f.talk(seen)
			select {
			case <-over:
				return
			default:
			}
		}
	})
	stop := sync.OnceFunc(func() { close(over); talking.Wait() })
	defer stop() // fault may end the experiment
	fault()
	stop()
	if failed != nil {
		f.x.Fatal(failed)
	}
	return time.Duration(seen.Summary().P99NS)
}

// clean adds the figure of wrong deliveries so far, which must be 0.
func (f *fleet) clean() {
	f.x.Helper()
	f.x.exactly(fmt.Sprintf("of %d deliveries lost, doubled, reordered or altered", f.all.Deliveries), int64(f.all.Wrong), 0)
	if f.all.Deliveries == 0 {
		f.x.Error("nothing was delivered, so nothing was tested")
	}
}
