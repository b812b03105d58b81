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
	// ErrLost: an agent is gone, or says nothing any more.
	ErrLost = errors.New("agents: an agent is lost")
	// ErrMissing: not all agents have joined.
	ErrMissing = errors.New("agents: not all have joined")
)

// Coordinator has the plan, and agents that carry it out.
type Coordinator struct {
	listener net.Listener
	version  string
	digest   string    // as an agent's must be
	base     time.Time // of this process's clock
	names    []string  // of the agents wanted; "": any
	changed  chan bool // somebody joined
	closed   chan bool

	mutex  sync.Mutex
	driven bool      // a load has begun: places keep their number of threads
	places []*remote // of the agents, by their place; nil: nobody has joined yet
}

// remote is an agent as the coordinator sees it.
type remote struct {
	*peer
	info    Info
	answers chan message
	gone    chan bool // closed when nothing more will come
	why     error     // valid then
	cut     chan bool // closed when nobody wants to hear it any more
	busy    bool      // it has a load, and has not said what came of it
	serial  int       // of the latest ping
}

// Info is what is known of an agent.
type Info struct {
	Name    string
	Place   int    // from 1
	Address string // its end of the connection
	Version string
	Threads int
	CPUs    []int  // that its threads are pinned to; none: they are not
	Host    string // its machine, as that names itself
	Kernel  string // the release of it
	// Offset is what the agent's clock shows more than this one's, right to within
	// Bound: half of RoundTrip, the shortest that was seen before the latest load.
	Offset, Bound, RoundTrip time.Duration
}

// Listen takes agents at HOST:PORT: those of the given names, or for each "" any.
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

// Close tells all agents that there is nothing more to do.
func (c *Coordinator) Close() {
	close(c.closed)
	c.listener.Close()
	for _, r := range c.alive() {
		r.write(message{Kind: bye})
		r.Close()
	}
}

// Agents is who has joined, in the order of their places.
func (c *Coordinator) Agents() (all []Info) {
	for _, r := range c.alive() {
		all = append(all, r.info)
	}
	return all
}

// Gather waits until every place has its agent, for so long, and measures their clocks.
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

// Host is the address of this machine by which all agents have joined; of several, that
// which stands for every address.
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

// alive is the agents that are there, in the order of their places.
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

// end ends an agent's connection, which is lost then. It may be called again.
func (r *remote) end() {
	select {
	case <-r.cut:
	default:
		close(r.cut)
	}
	r.Close()
}

func (c *Coordinator) accept() {
	greeting := make(chan bool, strangers)
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
			r := c.greet(newPeer(conn, maxHello))
			if <-greeting; r != nil {
				c.hear(r)
			}
		}()
	}
}

// greet hears who connects, and takes it or refuses it with one line; then it is nil.
func (c *Coordinator) greet(p *peer) *remote {
	p.SetReadDeadline(time.Now().Add(deadTime))
	m, err := p.read()
	if err != nil || m.Kind != hello {
		p.Close()
		return nil
	}
	p.SetReadDeadline(time.Time{})
	p.limit = maxLine
	r := &remote{
		peer: p, answers: make(chan message), gone: make(chan bool), cut: make(chan bool),
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

// hear reads what an agent says, until it is gone.
func (c *Coordinator) hear(r *remote) {
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
		case <-r.cut:
		case <-c.closed:
		}
	}
}

// oneLine is what somebody else calls itself, fit to be printed.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
	return text[:min(len(text), 500)]
}

// admit gives an agent its place, or says why there is none, and whether that is because another has its name.
func (c *Coordinator) admit(r *remote, m *message) (why string, taken bool) {
	if m.Protocol != protocol || r.info.Version != c.version {
		return fmt.Sprintf("it was built from %s (protocol %d), and this from %s (protocol %d); build both from the same sources", r.info.Version, m.Protocol, c.version, protocol), false
	}
	if m.Digest != c.digest {
		return "of the same plan it makes other texts, due times or shares than this; build both from the same sources, for processors of one kind", false
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
			return fmt.Sprintf("there is an agent %s already; give another -name", r.info.Name), true
		case other != nil && !other.isGone():
		case c.names[i] != r.info.Name && (c.names[i] != "" || free >= 0):
		case other != nil && c.driven && other.info.Threads != r.info.Threads:
			had = other.info.Threads
		default:
			free = i
		}
	}
	switch {
	case free < 0 && had > 0:
		return fmt.Sprintf("the agent whose place is free had %d threads, and the load stays what it is; give -threads %d", had, had), false
	case free < 0:
		return fmt.Sprintf("no agent %s is wanted; there are places for %d, which are taken or have other names", r.info.Name, len(c.names)), false
	}
	r.info.Place = free + 1
	c.places[free] = r
	return "", false
}
