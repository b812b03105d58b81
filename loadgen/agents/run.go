package agents

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"chatbench/loadgen"
)

// How the offset of a clock is measured: by as many round trips as fit into a time, within these
// bounds.
const (
	trips      = 200
	tripsTime  = 300 * time.Millisecond
	tripsLeast = 5
)

// How long an agent may take for a step, in addition to what the plan takes.
const (
	stepTime  = 60 * time.Second
	startLead = 20 * time.Millisecond // from when the agents learn the start to the start, in addition to two round trips
)

// Run puts one load on the server with all agents, each with its share of the clients, and merges
// what they measured. CPU, Threads, TLS, Starved, Ceiling and Progress of the Config must be unset: they belong to
// the agents, or are not possible with several. The hooks are called in this process, by its
// clock. If Server has no host (or 0.0.0.0), each agent connects to the address of this machine by
// which it has joined.
//
// An error means that there is no result. ErrLost: an agent is gone. Errors of loadgen are those of its Run,
// with the name of the agent.
func (c *Coordinator) Run(ctx context.Context, cfg loadgen.Config) (result *loadgen.Result, err error) {
	all := c.alive()
	if len(all) < len(c.names) {
		return nil, fmt.Errorf("%w: %d of %d are connected", ErrLost, len(all), len(c.names))
	}
	if err := check(&cfg); err != nil {
		return nil, err
	}
	threads := 0
	for _, r := range all {
		threads += r.info.Threads
	}
	if cfg.Clients < threads {
		return nil, fmt.Errorf("%w: %d clients for %d threads of all agents; give at least %d", loadgen.ErrConfig, cfg.Clients, threads, threads)
	}
	c.mutex.Lock()
	c.loadStarted = true
	c.mutex.Unlock()
	s := c.session(ctx, cfg, all)
	s.threads = threads
	defer s.fail(nil)
	defer func() {
		if err != nil {
			s.abandon()
		}
	}()
	if err := s.prepare(); err != nil {
		return nil, err
	}
	return s.measure()
}

func check(cfg *loadgen.Config) error {
	if cfg.TLS != nil {
		return fmt.Errorf("%w: agents speak no TLS; remove the arms with @tls", loadgen.ErrConfig)
	}
	return cfg.Check()
}

// session is one load.
type session struct {
	*Coordinator
	all     []*remote
	cfg     loadgen.Config
	threads int             // of all agents
	bounds  []time.Duration // of each agent's clock, over the whole load
	ctx     context.Context
	fail    context.CancelCauseFunc
}

func (c *Coordinator) session(ctx context.Context, cfg loadgen.Config, all []*remote) *session {
	s := &session{Coordinator: c, all: all, cfg: cfg}
	s.ctx, s.fail = context.WithCancelCause(ctx)
	return s
}

// each does something with all agents at the same time. The first error ends it for all of them.
func (s *session) each(do func(i int, r *remote) error) error {
	ended := make(chan error, len(s.all))
	for i, r := range s.all {
		go func() {
			err := do(i, r)
			if err != nil {
				s.fail(err)
			}
			ended <- err
		}()
	}
	var err error
	for range s.all {
		if one := <-ended; one != nil {
			err = context.Cause(s.ctx)
		}
	}
	return err
}

// prepare measures clocks and brings all clients into the room.
func (s *session) prepare() error {
	if err := s.each(func(_ int, r *remote) error { return s.clock(r) }); err != nil {
		return err
	}
	return s.each(func(i int, r *remote) error {
		p := planOf(&s.cfg)
		p.Server, p.All = serverFor(p.Server, r.LocalAddr()), s.threads
		for _, before := range s.all[:i] {
			p.First += before.info.Threads
		}
		r.busy = true
		_, err := s.exchange(r, message{Kind: load, Plan: p}, ready, s.cfg.Ramp+s.cfg.Connect+2*stepTime)
		return err
	})
}

// measure runs the load from its start to its end.
func (s *session) measure() (*loadgen.Result, error) {
	lead := startLead
	for _, r := range s.all {
		lead = max(lead, startLead+2*r.info.RoundTrip)
	}
	at := time.Now().Add(lead)
	hooks := make(chan bool)
	go func() {
		defer close(hooks)
		s.hook(at.Add(s.cfg.Warmup), s.cfg.OnTimedStart)
		s.hook(at.Add(s.cfg.Warmup+s.cfg.Duration), s.cfg.OnTimedEnd)
	}()
	counts := make([][]uint64, len(s.all))
	err := s.each(func(i int, r *remote) error {
		own := s.base.UnixNano() + int64(at.Sub(s.base)) + int64(r.info.Offset)
		m, err := s.exchange(r, message{Kind: start, At: own}, sent, s.cfg.Warmup+s.cfg.Duration+2*s.cfg.Drain+stepTime)
		counts[i] = m.Counts
		return err
	})
	<-hooks
	if err != nil {
		return nil, err
	}
	sum := slices.Clone(counts[0])
	for _, other := range counts[1:] {
		if len(other) != len(sum) {
			return nil, fmt.Errorf("agents: the agents count %d and %d senders; build all of them from the same sources", len(sum), len(other))
		}
		for k, n := range other {
			sum[k] += n
		}
	}
	if err := s.each(func(_ int, r *remote) error {
		_, err := s.exchange(r, message{Kind: settle, Counts: sum}, quiet, s.cfg.Drain+stepTime)
		return err
	}); err != nil {
		return nil, err
	}
	if s.cfg.OnQuiet != nil {
		s.cfg.OnQuiet()
	}
	measured := make([][]*loadgen.Part, len(s.all))
	if err := s.each(func(i int, r *remote) error {
		m, err := s.exchange(r, message{Kind: leave}, parts, stepTime)
		measured[i] = m.Parts
		if err == nil && (len(m.Parts) != r.info.Threads || !loadgen.Mergeable(m.Parts)) {
			r.end()
			return r.lost(errors.New("its measurement is incomplete"))
		}
		return err
	}); err != nil {
		return nil, err
	}
	if err := s.clocksAgain(); err != nil {
		return nil, err
	}
	return s.merge(slices.Concat(measured...))
}

// merge returns the result, including how wrong latencies between agents may be. It is an error if clients
// are missing.
func (s *session) merge(all []*loadgen.Part) (*loadgen.Result, error) {
	if !loadgen.Mergeable(all) {
		return nil, errors.New("agents: the agents measured different things; build all of them from the same sources")
	}
	r := loadgen.Merge(all, s.cfg)
	if int(r.Login.Count) != s.cfg.Clients {
		return nil, fmt.Errorf("%w: together they drove %d of %d clients", ErrLost, r.Login.Count, s.cfg.Clients)
	}
	if r.Elsewhere != nil {
		bounds := slices.Sorted(slices.Values(s.bounds))
		r.Elsewhere.Bound = int64(bounds[len(bounds)-1] + bounds[max(0, len(bounds)-2)])
	}
	return r, nil
}

// clocksAgain measures all clocks after the load, and how far they may have been off during it.
func (s *session) clocksAgain() error {
	s.bounds = make([]time.Duration, len(s.all))
	return s.each(func(i int, r *remote) error {
		before := r.info
		err := s.clock(r)
		s.bounds[i] = drifted(before, r.info)
		return err
	})
}

// drifted returns how far a clock may have been off, at any time between two measurements, from the offset
// that was found first.
func drifted(before, after Info) time.Duration {
	return max(before.Bound, after.Bound) + (after.Offset - before.Offset).Abs()
}

// hook calls a hook at its time, unless the load has failed by then.
func (s *session) hook(at time.Time, call func()) {
	select {
	case <-time.After(time.Until(at)):
		if call != nil {
			call()
		}
	case <-s.ctx.Done():
	}
}

// exchange sends an agent a message and waits for the one that must follow.
func (s *session) exchange(r *remote, m message, next kind, within time.Duration) (message, error) {
	if err := r.write(m); err != nil {
		r.end()
		return message{}, r.lost(err)
	}
	until := time.Now().Add(within)
	late := time.NewTimer(within)
	defer late.Stop()
	for {
		select {
		case got := <-r.answers:
			if got.Kind == coming { // the server is slow, the agent is not lost
				late.Reset(max(time.Until(until), 2*s.cfg.Drain+stepTime))
				continue
			}
			if got.Kind == failed || got.Kind == parts {
				r.busy = false
			}
			switch {
			case got.Kind == pong && got.Serial != r.serial: // the answer to a ping of a load that was given up
				continue
			case got.Kind == next:
				return got, nil
			case got.Kind == failed:
				return got, got.failure(r.info.Name)
			}
			r.end()
			return got, r.lost(fmt.Errorf("it sent %q instead of %q", got.Kind, next))
		case <-r.gone:
			return message{}, r.lost(r.why)
		case <-late.C:
			r.end()
			return message{}, r.lost(fmt.Errorf("no %s for %v", next, within))
		case <-s.ctx.Done():
			return message{}, context.Cause(s.ctx)
		}
	}
}

func (r *remote) lost(why error) error {
	if errors.Is(why, net.ErrClosed) {
		why = errors.New("it has closed its connection")
	}
	return fmt.Errorf("%w: %s (%s): %w", ErrLost, r.info.Name, r.info.Address, cmp.Or(why, errors.New("its connection is gone")))
}

// abandon gives the load up and waits until every remaining agent has stopped it.
func (s *session) abandon() {
	for _, r := range s.all {
		if r.busy {
			r.write(message{Kind: drop})
		}
	}
	late, end := context.WithTimeout(context.Background(), stepTime)
	defer end()
	for _, r := range s.all {
		for r.busy && !r.isGone() {
			select {
			case m := <-r.answers:
				r.busy = m.Kind != failed && m.Kind != parts
			case <-r.gone:
			case <-late.Done():
				r.busy = false
				r.end()
			}
		}
	}
}

// clock measures the offset of an agent's clock by the shortest of many round trips.
func (s *session) clock(r *remote) error {
	best := time.Duration(-1)
	until := time.Now().Add(tripsTime)
	for n := 0; n < trips && (n < tripsLeast || time.Now().Before(until)); n++ {
		r.serial++
		from := time.Now()
		m, err := s.exchange(r, message{Kind: ping, Serial: r.serial}, pong, deadTime)
		if err != nil {
			return err
		}
		trip := time.Since(from)
		if best >= 0 && trip >= best {
			continue
		}
		best = trip
		middle := s.base.UnixNano() + int64(from.Sub(s.base)) + int64(trip/2)
		r.info.Offset, r.info.Bound, r.info.RoundTrip = time.Duration(m.At-middle), (trip+1)/2, trip
	}
	return nil
}

// serverFor returns where an agent connects to: if the server listens on every address of this
// machine, the address by which the agent has joined.
func serverFor(server string, joined net.Addr) string {
	host, port, err := net.SplitHostPort(server)
	if err != nil {
		return server
	}
	if ip, err := netip.ParseAddr(host); host != "" && (err != nil || !ip.IsUnspecified()) {
		return server
	}
	own, _, err := net.SplitHostPort(joined.String())
	if err != nil {
		return server
	}
	return net.JoinHostPort(own, port)
}
