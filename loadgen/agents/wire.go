package agents

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"chatbench/core/units"
	"chatbench/loadgen"
)

// protocol is the version of what follows.
const protocol = 2

// Bounds of the connection between coordinator and agent.
const (
	maxLine         = 64 << 20         // octets of a message: histograms of some hundred threads
	maxHello        = 16 << 10         // octets of the first message of a connection
	maxUnidentified = 64               // connections without a hello so far
	writeTime       = 10 * time.Second // to write one
	comingEvery     = 5 * time.Second  // the least time between two reports that something arrives
	deadTime        = 15 * time.Second // after which a silent peer counts as gone
)

// kind is the kind of a message: see the package's comment.
type kind string

const (
	hello  kind = "hello"  // agent: who it is
	refuse kind = "refuse" // coordinator: it does not accept the agent
	ping   kind = "ping"
	pong   kind = "pong"
	load   kind = "load"
	ready  kind = "ready"
	start  kind = "start"
	coming kind = "coming" // agent: something still arrives
	sent   kind = "sent"
	settle kind = "settle"
	quiet  kind = "quiet"
	leave  kind = "leave"
	parts  kind = "parts"
	drop   kind = "drop"   // coordinator: the load is given up
	failed kind = "failed" // agent: its part of the load failed
	bye    kind = "bye"    // coordinator: the agent can leave
)

// message is a line of JSON. Which fields it has depends on its kind.
type message struct {
	Kind kind `json:"kind"`

	Protocol int    `json:"protocol,omitempty"` // hello
	Version  string `json:"version,omitempty"`
	Digest   string `json:"digest,omitempty"` // of what it makes of plans
	Name     string `json:"name,omitempty"`
	Threads  int    `json:"threads,omitempty"`
	CPUs     []int  `json:"cpus,omitempty"` // that the threads are pinned to
	Host     string `json:"host,omitempty"`
	Kernel   string `json:"kernel,omitempty"`

	At     int64           `json:"at,omitempty"`     // pong, start: by the agent's clock
	Serial int             `json:"serial,omitempty"` // ping, pong
	Plan   *plan           `json:"plan,omitempty"`   // load
	Counts []uint64        `json:"counts,omitempty"` // sent, settle: messages by sender
	Parts  []*loadgen.Part `json:"parts,omitempty"`  // parts
	Why    string          `json:"why,omitempty"`    // refuse, failed: one line
	Taken  bool            `json:"taken,omitempty"`  // refuse: because of its name, which a dead connection may still have
	Class  int             `json:"class,omitempty"`  // failed: the index of its error in classes, from 1; 0: another error
}

// plan is a load as an agent receives it.
type plan struct {
	Server           string
	First, All       int
	Clients, Senders int
	Rate             float64
	Poisson          bool
	Window           int
	Size             int64
	Warmup, Duration time.Duration
	Seed             uint64
	Objective, Ramp  time.Duration
	Joining          int
	Connect, Drain   time.Duration
}

func planOf(c *loadgen.Config) *plan {
	return &plan{
		Server: c.Server, Clients: c.Clients, Senders: c.Senders, Rate: float64(c.Rate), Poisson: c.Poisson, Window: c.Window,
		Size: int64(c.Size), Warmup: c.Warmup, Duration: c.Duration, Seed: c.Seed, Objective: c.Objective, Ramp: c.Ramp,
		Joining: c.Joining, Connect: c.Connect, Drain: c.Drain,
	}
}

func (p *plan) config() loadgen.Config {
	return loadgen.Config{
		Server: p.Server, Clients: p.Clients, Senders: p.Senders, Rate: units.Rate(p.Rate), Poisson: p.Poisson, Window: p.Window,
		Size: units.Size(p.Size), Warmup: p.Warmup, Duration: p.Duration, Seed: p.Seed, Objective: p.Objective, Ramp: p.Ramp,
		Joining: p.Joining, Connect: p.Connect, Drain: p.Drain,
	}
}

// classes are the errors of an agent that the coordinator's caller may branch on.
var classes = []error{
	loadgen.ErrConfig, loadgen.ErrUnreachable, loadgen.ErrDenied, loadgen.ErrFileLimit, loadgen.ErrDisconnected,
	loadgen.ErrBackpressure, loadgen.ErrStarved,
}

// failure makes a failed message of an error; (*message).failure makes it an error again.
func failure(err error) message {
	m := message{Kind: failed, Why: err.Error()}
	for i, class := range classes {
		if errors.Is(err, class) {
			m.Class = i + 1
		}
	}
	return m
}

func (m *message) failure(agent string) error {
	e := remoteError{text: fmt.Sprintf("agent %s: %s", agent, oneLine(m.Why))}
	if m.Class > 0 && m.Class <= len(classes) {
		e.class = classes[m.Class-1]
	}
	return e
}

// remoteError is an agent's error, of its class.
type remoteError struct {
	text  string
	class error // nil: callers have no sentinel for it
}

func (e remoteError) Error() string { return e.text }
func (e remoteError) Unwrap() error { return e.class }

// Version is what this program was built from: its commit, as far as it knows.
func Version() string {
	version, changed := "unknown", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				version = s.Value[:min(len(s.Value), 12)]
			case s.Key == "vcs.modified" && s.Value == "true":
				changed = "+changes"
			}
		}
	}
	return version + changed
}

// clock reads the clock of a process: nanoseconds since 1970 when the process began, at base, and
// from then on by the monotonic clock, which cannot be set.
func clock(base time.Time) int64 { return base.UnixNano() + int64(time.Since(base)) }

// peer is one end of the connection. A goroutine of its own reads messages; any goroutine may
// write them.
type peer struct {
	net.Conn
	in      *bufio.Reader
	limit   int // octets of what is read
	writing sync.Mutex
}

func newPeer(conn net.Conn, limit int) *peer {
	p := &peer{Conn: conn, in: bufio.NewReader(conn), limit: limit}
	if t, ok := conn.(*net.TCPConn); ok {
		t.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: deadTime / 3, Interval: deadTime / 6, Count: 4})
	}
	return p
}

// read waits for the next message.
func (p *peer) read() (m message, err error) {
	var line []byte
	for err = bufio.ErrBufferFull; err == bufio.ErrBufferFull; {
		var part []byte
		part, err = p.in.ReadSlice('\n')
		if line = append(line, part...); len(line) > p.limit {
			return m, fmt.Errorf("a message of over %d octets", p.limit)
		}
	}
	switch {
	case err == io.EOF:
		return m, net.ErrClosed
	case err != nil:
		return m, err
	}
	if err := json.Unmarshal(line, &m); err != nil {
		return m, fmt.Errorf("cannot decode a message: %w", err)
	}
	return m, nil
}

// write sends a message.
func (p *peer) write(m message) error {
	line, err := json.Marshal(m)
	if err != nil {
		return err
	}
	p.writing.Lock()
	defer p.writing.Unlock()
	p.SetWriteDeadline(time.Now().Add(writeTime))
	_, err = p.Write(append(line, '\n'))
	return err
}
