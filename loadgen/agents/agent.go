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

// Options is what an agent is.
type Options struct {
	Join    string // HOST:PORT of the coordinator
	Name    string // as the coordinator shows it; no two have the same
	Threads int
	CPU     []int         // as loadgen.Config has it
	Wait    time.Duration // how long nobody may listen at Join, and how long another may have its Name

	// Told, if set, is told what the agent does, a line each.
	Told func(line string)
}

// ErrRefused: the coordinator does not want this agent.
var ErrRefused = errors.New("agents: refused")

// errDropped: the coordinator has given a load up.
var errDropped = errors.New("agents: the coordinator gave the load up")

// agent is one that has joined.
type agent struct {
	*peer
	options Options
	base    time.Time // of its clock
	orders  chan order
	under   context.Context    // of the latest load; listen's own
	cancel  context.CancelFunc // of that
	gone    chan struct{}      // closed when nothing more will come
	why     error              // valid then
}

// order is a message of the coordinator, with a context for the load it begins.
type order struct {
	message
	ctx context.Context
}

// errTaken: another agent has the name, or this one had it before it was started anew, and the
// coordinator does not know yet that it ended.
var errTaken = fmt.Errorf("%w for its name", ErrRefused)

// Serve joins a coordinator and does what it says until that has nothing more to do.
// It is an error if the connection breaks off, or ctx ends, before.
func Serve(ctx context.Context, o Options) error {
	for until, told := time.Now().Add(o.Wait), false; ; told = true {
		err := serve(ctx, o, told)
		if !errors.Is(err, errTaken) || time.Now().After(until) {
			return err
		}
		if !told && o.Told != nil {
			o.Told(fmt.Sprintf("waits until nobody else is %s at %s", o.Name, o.Join))
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
		a.tell("joined %s as %s with %d threads", o.Join, o.Name, o.Threads)
	}
	done := make(chan struct{})
	defer close(done)
	go a.listen(ctx, done)
	for {
		select {
		case m := <-a.orders:
			switch m.Kind {
			case load:
				a.load(m)
			case refuse:
				if m.Taken {
					return fmt.Errorf("%w by %s: %s", errTaken, o.Join, m.Why)
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

// greeting is what an agent says of itself first.
func greeting(o Options) message {
	m := message{Kind: hello, Protocol: protocol, Version: Version(), Digest: loadgen.Digest(), Name: o.Name, Threads: o.Threads, CPUs: o.CPU}
	m.Host, _ = os.Hostname()
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	return m
}

// dial connects to the coordinator, which may come later.
func dial(ctx context.Context, o Options) (net.Conn, error) {
	for until := time.Now().Add(o.Wait); ; {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", o.Join)
		switch {
		case err == nil:
			return conn, nil
		case ctx.Err() != nil:
			return nil, loadgen.ErrInterrupted
		case time.Now().After(until):
			return nil, fmt.Errorf("agents: nobody takes agents at %s (%w); start bench run -agents there", o.Join, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (a *agent) tell(format string, args ...any) {
	if a.options.Told != nil {
		a.options.Told(fmt.Sprintf(format, args...))
	}
}

// listen reads what the coordinator says. It answers pings at once, and ends a load that is
// given up while its threads spin.
func (a *agent) listen(ctx context.Context, done <-chan struct{}) {
	defer close(a.gone)
	a.under, a.cancel = context.WithCancel(ctx)
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
			a.under, a.cancel = context.WithCancel(ctx)
		}
		if m.Kind == drop {
			continue
		}
		select {
		case a.orders <- order{m, a.under}:
		case <-done:
			return
		}
	}
}

// load carries out one load, and says what came of it.
func (a *agent) load(m order) {
	if m.Plan == nil {
		a.write(failure(errors.New("a load without a plan")))
		return
	}
	cfg := m.Plan.config()
	cfg.Threads, cfg.CPU = a.options.Threads, a.options.CPU
	a.tell("load on %s: %d of %d threads, %d clients in all", cfg.Server, cfg.Threads, m.Plan.All, cfg.Clients)
	cfg.Agent = &loadgen.Agent{
		First: m.Plan.First, All: m.Plan.All,
		Ready: func() (time.Time, error) {
			got, err := a.step(m.ctx, message{Kind: ready}, start)
			return a.base.Add(time.Duration(got.At - a.base.UnixNano())), err
		},
		Settle: func(counts []uint64) ([]uint64, error) {
			got, err := a.step(m.ctx, message{Kind: sent, Counts: counts}, settle)
			return got.Counts, err
		},
	}
	cfg.Progress = a.coming()
	cfg.OnQuiet = func() { a.step(m.ctx, message{Kind: quiet}, leave) }
	all, err := loadgen.Parts(m.ctx, cfg)
	if err == nil {
		err = context.Cause(m.ctx)
	}
	if err != nil {
		a.tell("%v", err)
		a.write(failure(err))
		return
	}
	if err := a.write(message{Kind: parts, Parts: all}); err != nil {
		a.write(failure(fmt.Errorf("agents: what was measured cannot be sent: %w", err)))
	}
}

// coming says every few seconds, as long as something arrives, that it does: the coordinator waits
// for what arrives slowly, and for an agent that says nothing it does not.
func (a *agent) coming() func(loadgen.Progress) {
	said := time.Now()
	return func(p loadgen.Progress) {
		if now := time.Now(); p.PerSecond > 0 && now.Sub(said) >= comingEvery {
			said = now
			a.write(message{Kind: coming})
		}
	}
}

// step says something and waits for what must follow.
func (a *agent) step(ctx context.Context, m message, next kind) (message, error) {
	if err := a.write(m); err != nil {
		return message{}, fmt.Errorf("agents: %w", err)
	}
	select {
	case got := <-a.orders:
		if got.Kind != next {
			return message{}, fmt.Errorf("agents: %q where %q had to follow", got.Kind, next)
		}
		return got.message, nil
	case <-ctx.Done():
		return message{}, errDropped
	case <-a.gone:
		return message{}, fmt.Errorf("agents: the coordinator is gone: %w", cmp.Or(a.why, errDropped))
	}
}
