// Package server runs server processes for the bench: they start on CPUs of their
// own with the counters already on them, are ready when they say so, are stopped by
// SIGTERM, and report their counters at the end. A whole process tree can be frozen,
// so that others can be measured on the same CPUs.
//
// It does not know what a backend is: it is given a command line, and reads
// two JSON lines on the server's stdout, "listening" and "stopped" (or, for a server
// that will only be killed, a line "… listening on HOST:PORT"). What it expects of a
// server is documented in docs/chatd-interface.md. It never leaves a
// process behind: whatever Start has started ends at the latest with this
// process. Methods may be called from any goroutine; Start of a Launcher only after the
// process that it started before has been stopped.
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

// ErrDied is wrapped by errors about a server that ended by itself.
var ErrDied = errors.New("server: ended by itself")

// Process is a running server.
type Process struct {
	Addr      string         // HOST:PORT it listens on
	PID       int            // the root of its process tree
	Listening map[string]any // the listening line, without event, address and process id
	Counters  *meter.Counters

	cmd     *exec.Cmd
	lines   chan string // of stdout
	errText tail
	done    chan struct{} // closed when wait(2) has returned
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
			default: // more lines than expected: they are dropped
			}
		}
		close(p.lines)
		p.waitErr = p.cmd.Wait()
		close(p.done)
	}()
}

// awaitListening waits for the first line.
func (p *Process) awaitListening(ctx context.Context) error {
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
	// The null server, which is not a chatd, prints a sentence.
	if _, addr, ok := strings.Cut(line, " listening on "); ok && line[0] != '{' {
		p.Addr = addr
		return nil
	}
	if err := json.Unmarshal([]byte(line), &p.Listening); err != nil {
		return fmt.Errorf("server: %s printed %q instead of a JSON line", p.cmd, line)
	}
	addr, _ := p.Listening["addr"].(string)
	if event, _ := p.Listening["event"].(string); event != "listening" || addr == "" {
		return fmt.Errorf("server: %s printed %q, which has no address", p.cmd, line)
	}
	p.Addr = addr
	delete(p.Listening, "event")
	delete(p.Listening, "addr")
	delete(p.Listening, "pid")
	return nil
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Died says whether the process has ended by itself, and how. Do not call it
// after Stop or Kill.
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

// Stop ends the process with SIGTERM and returns what it counted. It returns ErrDied unless there is
// a stopped line without an error and exit status 0.
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

// Kill ends the process and its children at once and frees what belongs to
// them. It may be called at any time, and again.
func (p *Process) Kill() {
	p.release.Do(func() {
		if p.frozen.Load() { // children in groups of their own have to notice that it is gone
			p.Thaw()
		}
		syscall.Kill(-p.PID, syscall.SIGKILL) // its own group; it may be gone already
		<-p.done
		p.Counters.Close()
	})
}

// parseStopped parses the last line that a server prints.
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
		return nil, fmt.Errorf("%w: it printed %q instead of its counters", ErrDied, line)
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
