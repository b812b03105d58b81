package agents

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/loadgen"
)

// Options describes an agent.
type Options struct {
	Join    string // HOST:PORT of the coordinator
	Name    string // the agent's name in reports; each agent needs a name of its own
	Threads int
	CPU     []int         // as loadgen.Config has it
	Wait    time.Duration // how long to wait until the coordinator listens at Join, and until Name is free

	// Log, if set, is called with each thing that the agent does, as one line.
	Log func(line string)
}

// ErrRefused: the coordinator does not accept this agent.
var ErrRefused = errors.New("agents: refused")

// errDropped: the coordinator has given up a load.
var errDropped = errors.New("agents: the coordinator gave the load up")

// agent is an agent that has joined.
type agent struct {
	*peer
	options     Options
	base        time.Time // of its clock
	orders      chan order
	loadContext context.Context    // of the latest load; only readMessages uses it
	cancel      context.CancelFunc // cancels it
	gone        chan struct{}      // closed when the coordinator is gone
	why         error              // the reason; valid when gone is closed
}

// order is a message of the coordinator, with a context for the load it begins.
type order struct {
	message
	ctx context.Context
}

// errNameTaken: another agent has the name, or this agent had it before it was restarted, and the
// coordinator does not know yet that the old process ended.
var errNameTaken = fmt.Errorf("%w for its name", ErrRefused)

// Serve joins a coordinator and does what the coordinator tells it, until the coordinator says goodbye.
// It is an error if the connection breaks, or ctx ends, before that.
func Serve(ctx context.Context, o Options) error {
	for until, told := time.Now().Add(o.Wait), false; ; told = true {
		err := serve(ctx, o, told)
		if !errors.Is(err, errNameTaken) || time.Now().After(until) {
			return err
		}
		if !told && o.Log != nil {
			o.Log(fmt.Sprintf("waiting until no other agent is named %s at %s", o.Name, o.Join))
		}
		select {
		case <-ctx.Done():
			return loadgen.ErrInterrupted
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func serve(ctx context.Context, o Options, again bool) error {
	conn, err := dial(ctx, o)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	a := &agent{peer: newPeer(conn, maxLine), options: o, base: time.Now(), orders: make(chan order), gone: make(chan struct{})}
	if err := a.write(greeting(o)); err != nil {
		return fmt.Errorf("agents: %s: %w", o.Join, err)
	}
	if !again {
		a.logf("joined %s as %s with %d threads", o.Join, o.Name, o.Threads)
	}
	done := make(chan struct{})
	defer close(done)
	go a.readMessages(ctx, done)
	for {
		select {
		case m := <-a.orders:
			switch m.Kind {
			case load:
				a.load(m)
			case refuse:
				if m.Taken {
					return fmt.Errorf("%w by %s: %s", errNameTaken, o.Join, m.Why)
				}
				return fmt.Errorf("%w by %s: %s", ErrRefused, o.Join, m.Why)
			case bye:
				return nil
			}
		case <-a.gone:
			if ctx.Err() != nil {
				return loadgen.ErrInterrupted
			}
			return fmt.Errorf("agents: %s is gone: %w", o.Join, a.why)
		}
	}
}

// greeting is the first message of an agent, about itself.
func greeting(o Options) message {
	m := message{Kind: hello, Protocol: protocol, Version: Version(), Digest: loadgen.Digest(), Name: o.Name, Threads: o.Threads, CPUs: o.CPU}
	m.Host, _ = os.Hostname()
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	return m
}

// dial connects to the coordinator, which may start later.
func dial(ctx context.Context, o Options) (net.Conn, error) {
	for until := time.Now().Add(o.Wait); ; {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", o.Join)
		switch {
		case err == nil:
			return conn, nil
		case ctx.Err() != nil:
			return nil, loadgen.ErrInterrupted
		case time.Now().After(until):
			return nil, fmt.Errorf("agents: no coordinator listens at %s (%w); start bench run -agents there", o.Join, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (a *agent) logf(format string, args ...any) {
	if a.options.Log != nil {
		a.options.Log(fmt.Sprintf(format, args...))
	}
}

// readMessages reads what the coordinator sends. It answers pings at once, and ends a load that the
// coordinator gives up, while the threads of that load spin.
func (a *agent) readMessages(ctx context.Context, done <-chan struct{}) {
	defer close(a.gone)
	a.loadContext, a.cancel = context.WithCancel(ctx)
	defer func() { a.cancel() }()
	for {
		m, err := a.read()
		if err != nil {
			a.why = err
			return
		}
		switch m.Kind {
		case ping:
			if err := a.write(message{Kind: pong, At: clock(a.base), Serial: m.Serial}); err != nil {
				a.why = err
				return
			}
			continue
		case drop, load:
			a.cancel()
			a.loadContext, a.cancel = context.WithCancel(ctx)
		}
		if m.Kind == drop {
			continue
		}
		select {
		case a.orders <- order{m, a.loadContext}:
		case <-done:
			return
		}
	}
}

// load carries out one load, and reports its result.
func (a *agent) load(m order) {
	if m.Plan == nil {
		a.write(failure(errors.New("a load without a plan")))
		return
	}
	cfg := m.Plan.config()
	cfg.Threads, cfg.CPU = a.options.Threads, a.options.CPU
	a.logf("load on %s: %d of %d threads, %d clients in all", cfg.Server, cfg.Threads, m.Plan.All, cfg.Clients)
	cfg.Agent = &loadgen.Agent{
		First: m.Plan.First, All: m.Plan.All,
		Ready: func() (time.Time, error) {
			got, err := a.exchange(m.ctx, message{Kind: ready}, start)
			return a.base.Add(time.Duration(got.At - a.base.UnixNano())), err
		},
		Settle: func(counts []uint64) ([]uint64, error) {
			got, err := a.exchange(m.ctx, message{Kind: sent, Counts: counts}, settle)
			return got.Counts, err
		},
	}
	cfg.Progress = a.reportArrivals()
	cfg.OnQuiet = func() { a.exchange(m.ctx, message{Kind: quiet}, leave) }
	all, err := loadgen.Parts(m.ctx, cfg)
	if err == nil {
		err = context.Cause(m.ctx)
	}
	if err != nil {
		a.logf("%v", err)
		a.write(failure(err))
		return
	}
	if err := a.write(message{Kind: parts, Parts: all}); err != nil {
		a.write(failure(fmt.Errorf("agents: cannot send the result: %w", err)))
	}
}

// reportArrivals tells the coordinator every few seconds that something still arrives, as long as it does:
// the coordinator waits for slow deliveries, but not for a silent agent.
func (a *agent) reportArrivals() func(loadgen.Progress) {
	said := time.Now()
	return func(p loadgen.Progress) {
		if now := time.Now(); p.PerSecond > 0 && now.Sub(said) >= comingEvery {
			said = now
			a.write(message{Kind: coming})
		}
	}
}

// exchange sends a message and waits for the one that must follow.
func (a *agent) exchange(ctx context.Context, m message, next kind) (message, error) {
	if err := a.write(m); err != nil {
		return message{}, fmt.Errorf("agents: %w", err)
	}
	select {
	case got := <-a.orders:
		if got.Kind != next {
			return message{}, fmt.Errorf("agents: received %q instead of %q", got.Kind, next)
		}
		return got.message, nil
	case <-ctx.Done():
		return message{}, errDropped
	case <-a.gone:
		return message{}, fmt.Errorf("agents: the coordinator is gone: %w", cmp.Or(a.why, errDropped))
	}
}
