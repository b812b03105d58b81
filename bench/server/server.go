// Package server runs server processes for the bench: started on CPUs of their
// own with the counters already on them, ready when they say so, stopped by
// SIGTERM, and heard on their way out. A whole process tree can be frozen
// meanwhile, so that others can be measured on the same CPUs.
//
// It refuses to know what a backend is: it is given a command line, and takes
// two JSON lines on its stdout, "listening" and "stopped" (or, for a server
// that will only ever be killed, a line "… listening on HOST:PORT"). What it asks of a
// server is written down in docs/chatd-interface.md. It never leaves a
// process behind: whatever Start has started ends at the latest with this
// process. Methods may be called from any goroutine; Start of a Launcher only when the
// process it started before has been stopped.
package server

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"chatbench/bench/meter"
	"chatbench/bench/record"
)

// How long a server may take to listen, and to end after SIGTERM before it is killed.
const (
	startLimit = 10 * time.Second
	stopLimit  = 10 * time.Second
)

// ErrDied is what errors about a server that ended by itself are made of.
var ErrDied = errors.New("server: ended by itself")

// Process is a server at work.
type Process struct {
	Addr     string         // HOST:PORT it listens on
	PID      int            // the root of its process tree
	Said     map[string]any // the listening line, without event, address and process id
	Counters *meter.Counters

	cmd     *exec.Cmd
	lines   chan string // of stdout
	errText tail
	done    chan struct{} // closed when it has been waited for
	waitErr error         // valid after done
	release sync.Once
	frozen  atomic.Bool
}

// started watches a process that the launcher has just forked.
func (p *Process) started(stdout io.Reader) {
	p.PID = p.cmd.Process.Pid
	p.lines, p.done = make(chan string, 16), make(chan struct{})
	go func() {
		in := bufio.NewScanner(stdout)
		in.Buffer(nil, 1<<20)
		for in.Scan() {
			select {
			case p.lines <- in.Text():
			default: // more than it has to say: nobody reads on
			}
		}
		close(p.lines)
		p.waitErr = p.cmd.Wait()
		close(p.done)
	}()
}

// listen waits for the first line.
func (p *Process) listen(ctx context.Context) error {
	limit := time.NewTimer(startLimit)
	defer limit.Stop()
	var line string
	select {
	case said, ok := <-p.lines:
		if !ok {
			<-p.done
			return p.died("before it listened")
		}
		line = said
	case <-limit.C:
		return fmt.Errorf("server: %s did not listen within %v", p.cmd, startLimit)
	case <-ctx.Done():
		return ctx.Err()
	}
	// The null server, which is no chatd, says it in words.
	if _, addr, ok := strings.Cut(line, " listening on "); ok && line[0] != '{' {
		p.Addr = addr
		return nil
	}
	if err := json.Unmarshal([]byte(line), &p.Said); err != nil {
		return fmt.Errorf("server: %s said %q where a JSON line was due", p.cmd, line)
	}
	addr, _ := p.Said["addr"].(string)
	if event, _ := p.Said["event"].(string); event != "listening" || addr == "" {
		return fmt.Errorf("server: %s said %q where its address was due", p.cmd, line)
	}
	p.Addr = addr
	delete(p.Said, "event")
	delete(p.Said, "addr")
	delete(p.Said, "pid")
	return nil
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Died says whether the process has ended by itself, and how; for callers that
// have not called Stop or Kill.
func (p *Process) Died() error {
	select {
	case <-p.done:
		return p.died("under load")
	default:
		return nil
	}
}

func (p *Process) died(when string) error {
	how := "exit status 0"
	if p.waitErr != nil {
		how = p.waitErr.Error()
	}
	if last := p.errText.last(); last != "" {
		how += ": " + last
	}
	return fmt.Errorf("%w %s: %s", ErrDied, when, how)
}

// Stop ends the process with SIGTERM and gives what it counted. Anything but a
// stopped line without an error and exit status 0 is ErrDied.
func (p *Process) Stop() (*record.Server, error) {
	defer p.Kill()
	if err := p.Died(); err != nil {
		return nil, err
	}
	begun := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return nil, fmt.Errorf("server: %w", err)
	}
	select {
	case <-p.done:
	case <-time.After(stopLimit):
		return nil, fmt.Errorf("%w: %s was still there %v after SIGTERM", ErrDied, p.cmd.Path, stopLimit)
	}
	took := time.Since(begun)
	if p.waitErr != nil {
		return nil, p.died("at SIGTERM")
	}
	var last string
	for line := range p.lines {
		last = line
	}
	counted, err := parseStopped(last)
	if err != nil {
		return nil, err
	}
	counted.Stopped = took
	return counted, nil
}

// Kill ends the process and its children at once and frees what was held for
// them. It may be called at any time, and again.
func (p *Process) Kill() {
	p.release.Do(func() {
		if p.frozen.Load() { // children in groups of their own are to see that it has gone
			p.Thaw()
		}
		syscall.Kill(-p.PID, syscall.SIGKILL) // its own group; gone already is fine
		<-p.done
		p.Counters.Close()
	})
}

// parseStopped reads the last line a server says.
func parseStopped(line string) (*record.Server, error) {
	var said struct {
		Event    string
		Error    string
		Counters struct {
			Reads    int64
			BytesIn  int64 `json:"bytes_in"`
			Writes   int64
			BytesOut int64 `json:"bytes_out"`
			Stalls   int64
		}
		Ends    map[string]int64
		Runtime struct {
			GCCycles   int64 `json:"gc_cycles"`
			GCPause    int64 `json:"gc_pause_total_ns"`
			HeapBytes  int64 `json:"heap_bytes"`
			Goroutines int64
			Threads    int64
		}
	}
	if err := json.Unmarshal([]byte(line), &said); err != nil || said.Event != "stopped" {
		return nil, fmt.Errorf("%w: said %q where its counters were due", ErrDied, line)
	}
	if said.Error != "" {
		return nil, fmt.Errorf("%w: %s", ErrDied, said.Error)
	}
	c, r := said.Counters, said.Runtime
	return &record.Server{
		Reads: c.Reads, BytesIn: c.BytesIn, Writes: c.Writes, BytesOut: c.BytesOut, Stalls: c.Stalls,
		GCCycles: r.GCCycles, GCPause: r.GCPause, HeapBytes: r.HeapBytes, Goroutines: r.Goroutines, Threads: r.Threads,
		Ends: said.Ends,
	}, nil
}

// tail keeps the end of what is written to it. Safe for any goroutine.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailSize = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if len(t.text) > tailSize {
		t.text = append(t.text[:0], t.text[len(t.text)-tailSize:]...)
	}
	return len(p), nil
}

// last is the last line that is not blank.
func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := strings.TrimSpace(string(t.text))
	return strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:])
}
