package agents

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"chatbench/loadgen"
)

// Errors that callers branch on. Each is wrapped in one line that says more.
var (
	// ErrLost: an agent is gone or no longer answers.
	ErrLost = errors.New("agents: an agent is lost")
	// ErrMissing: not all agents have joined.
	ErrMissing = errors.New("agents: not all have joined")
)

// Coordinator has the plan, and agents that carry it out.
type Coordinator struct {
	listener net.Listener
	version  string
	digest   string    // which every agent must have too
	base     time.Time // of this process's clock
	names    []string  // of the agents wanted; "" stands for any name
	changed  chan bool // signals that an agent joined
	closed   chan bool

	mutex       sync.Mutex
	loadStarted bool      // a load has begun: places keep their number of threads
	places      []*remote // of the agents, by their place; nil: no agent has joined yet
}

// remote is an agent as the coordinator sees it.
type remote struct {
	*peer
	info    Info
	answers chan message
	gone    chan bool // closed when the agent is gone
	why     error     // the reason; valid when gone is closed
	closing chan bool // closed when its messages are no longer read
	busy    bool      // it has a load, and has not reported the result
	serial  int       // of the latest ping
}

// Info describes an agent.
type Info struct {
	Name    string
	Place   int    // from 1
	Address string // its end of the connection
	Version string
	Threads int
	CPUs    []int  // that its threads are pinned to; none: they are not
	Host    string // the host name of its machine
	Kernel  string // the release of it
	// Offset is how far the agent's clock is ahead of this process's clock, right to within
	// Bound: half of RoundTrip, the shortest one seen before the latest load.
	Offset, Bound, RoundTrip time.Duration
}

// Listen accepts agents at HOST:PORT: one for each of the names, where "" stands for any name.
func Listen(address string, names []string) (*Coordinator, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("agents: %w; give another address for agents to join", err)
	}
	c := &Coordinator{
		listener: l, version: Version(), digest: loadgen.Digest(), base: time.Now(), names: slices.Clone(names),
		changed: make(chan bool, 1), closed: make(chan bool), places: make([]*remote, len(names)),
	}
	go c.accept()
	return c, nil
}

// Addr is the address that agents join.
func (c *Coordinator) Addr() string { return c.listener.Addr().String() }

// Close tells all agents that they can leave.
func (c *Coordinator) Close() {
	close(c.closed)
	c.listener.Close()
	for _, r := range c.alive() {
		r.write(message{Kind: bye})
		r.Close()
	}
}

// Agents returns the agents that have joined, in the order of their places.
func (c *Coordinator) Agents() (all []Info) {
	for _, r := range c.alive() {
		all = append(all, r.info)
	}
	return all
}

// Gather waits until every place has its agent, at most for the given time, and measures their clocks.
func (c *Coordinator) Gather(ctx context.Context, within time.Duration) error {
	late := time.NewTimer(within)
	defer late.Stop()
	all := c.alive()
	for ; len(all) < len(c.names); all = c.alive() {
		select {
		case <-c.changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-late.C:
			return fmt.Errorf("%w: %d of %d within %v; start loadgen agent -join %s on their machines", ErrMissing, len(all), len(c.names), within, c.Addr())
		}
	}
	s := c.session(ctx, loadgen.Config{}, all)
	defer s.fail(nil)
	return s.each(func(_ int, r *remote) error { return s.clock(r) })
}

// Host returns the address of this machine by which all agents have joined; if they used several,
// the address that stands for all addresses.
func (c *Coordinator) Host() string {
	host := ""
	for _, r := range c.alive() {
		own, _, err := net.SplitHostPort(r.LocalAddr().String())
		if err != nil || host != "" && own != host {
			return "0.0.0.0"
		}
		host = own
	}
	return host
}

// alive returns the agents that are connected, in the order of their places.
func (c *Coordinator) alive() (all []*remote) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for _, r := range c.places {
		if r != nil && !r.isGone() {
			all = append(all, r)
		}
	}
	return all
}

func (r *remote) isGone() bool {
	select {
	case <-r.gone:
		return true
	default:
		return false
	}
}

// end closes an agent's connection; the agent is lost then. It may be called again.
func (r *remote) end() {
	select {
	case <-r.closing:
	default:
		close(r.closing)
	}
	r.Close()
}

func (c *Coordinator) accept() {
	greeting := make(chan bool, maxUnidentified)
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			select {
			case <-c.closed:
				return
			case <-time.After(50 * time.Millisecond): // out of descriptors, perhaps
				continue
			}
		}
		greeting <- true
		go func() {
			r := c.handshake(newPeer(conn, maxHello))
			if <-greeting; r != nil {
				c.readMessages(r)
			}
		}()
	}
}

// handshake reads the first message of a connection and accepts the agent, or refuses it with one line and returns nil.
func (c *Coordinator) handshake(p *peer) *remote {
	p.SetReadDeadline(time.Now().Add(deadTime))
	m, err := p.read()
	if err != nil || m.Kind != hello {
		p.Close()
		return nil
	}
	p.SetReadDeadline(time.Time{})
	p.limit = maxLine
	r := &remote{
		peer: p, answers: make(chan message), gone: make(chan bool), closing: make(chan bool),
		info: Info{Name: oneLine(m.Name), Address: p.RemoteAddr().String(), Version: oneLine(m.Version), Threads: m.Threads, CPUs: m.CPUs, Host: oneLine(m.Host), Kernel: oneLine(m.Kernel)},
	}
	if why, taken := c.admit(r, &m); why != "" {
		p.write(message{Kind: refuse, Why: why, Taken: taken})
		p.Close()
		return nil
	}
	select {
	case c.changed <- true:
	default:
	}
	return r
}

// readMessages reads what an agent sends, until the agent is gone.
func (c *Coordinator) readMessages(r *remote) {
	for {
		m, err := r.read()
		if err != nil {
			r.why = err
			close(r.gone)
			r.Close()
			return
		}
		select {
		case r.answers <- m:
		case <-r.closing:
		case <-c.closed:
		}
	}
}

// oneLine makes a text from another process fit to be printed in one line.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
	return text[:min(len(text), 500)]
}

// admit gives an agent its place, or says why there is none, and whether the reason is that another agent has its name.
func (c *Coordinator) admit(r *remote, m *message) (why string, taken bool) {
	if m.Protocol != protocol || r.info.Version != c.version {
		return fmt.Sprintf("it was built from %s (protocol %d), the coordinator from %s (protocol %d); build both from the same sources", r.info.Version, m.Protocol, c.version, protocol), false
	}
	if m.Digest != c.digest {
		return "it makes other texts, due times or shares of the same plan than the coordinator; build both from the same sources, for the same kind of processor", false
	}
	if r.info.Name == "" || r.info.Threads < 1 {
		return "an agent has a name and at least one thread", false
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	free, had := -1, 0
	for i, other := range c.places {
		switch {
		case other != nil && !other.isGone() && other.info.Name == r.info.Name:
			return fmt.Sprintf("an agent named %s has already joined; give another -name", r.info.Name), true
		case other != nil && !other.isGone():
		case c.names[i] != r.info.Name && (c.names[i] != "" || free >= 0):
		case other != nil && c.loadStarted && other.info.Threads != r.info.Threads:
			had = other.info.Threads
		default:
			free = i
		}
	}
	switch {
	case free < 0 && had > 0:
		return fmt.Sprintf("the agent that it replaces had %d threads, and the load must stay the same; give -threads %d", had, had), false
	case free < 0:
		return fmt.Sprintf("there is no place for an agent named %s: all %d places are taken or have other names", r.info.Name, len(c.names)), false
	}
	r.info.Place = free + 1
	c.places[free] = r
	return "", false
}
