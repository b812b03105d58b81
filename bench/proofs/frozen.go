package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"time"

	"chatbench/bench"
	"chatbench/bench/machine"
	"chatbench/bench/meter"
	"chatbench/bench/record"
	"chatbench/bench/rules"
	"chatbench/bench/server"
	"chatbench/bench/stats"
	"chatbench/core/units"
	"chatbench/loadgen"
)

// pair is one fresh server, driven in slices while it is alone and while other servers
// exist, frozen: alone, others, others, alone, or the other way round, so
// that an even drift cancels out.
type pair struct {
	Load      string             `json:"load"`
	Seed      uint64             `json:"seed"`
	Alone     map[string]float64 `json:"alone"` // medians over slices, by figure
	Beside    map[string]float64 `json:"beside"`
	Slices    int                `json:"slices"`               // that count, of all phases
	Void      int                `json:"void_slices"`          // in which the generator was late, or not all came in time
	FrozenCPU time.Duration      `json:"frozen_cpu_ns"`        // what all others used while they were frozen
	FrozenFor time.Duration      `json:"frozen_for_ns"`        // how long each of them was frozen
	FirstWith bool               `json:"others_first"`         // the order of the phases
	Neighbour float64            `json:"neighbour_share_each"` // as in other proofs
}

// frozenFigures are those that are compared.
var frozenFigures = []string{keyCPU, keySyscalls, keyP50}

// frozen is the verb.
func frozen(ctx context.Context, args []string, out io.Writer) error {
	f := newFlags("frozen")
	f.seriesFlag()
	f.set.IntVar(&f.runs, "runs", 24, "`N` pairs under each load")
	others := f.set.Int("others", 12, "`N` frozen servers, each with as many clients")
	each := f.set.Int("slices", 20, "`N` slices in each of the four phases of a pair")
	if err := f.parse(args); err != nil {
		return err
	}
	if *others < 1 || *others > 50 || *each < 1 {
		return usageError{fmt.Errorf("%d others and %d slices; give 1 to 50 others, and 1 slice or more", *others, *each)}
	}
	p := programs{f.bin}
	what, err := p.plan("frozen", []string{"-others", fmt.Sprint(*others), "-slices", fmt.Sprint(*each)})
	if err != nil {
		return err
	}
	what.Neighbour = f.beside()
	s, err := openSeries[pair](f.out, what)
	if err != nil {
		return err
	}
	allowed, err := machine.Allowed()
	if err != nil {
		return err
	}
	serverCPU, generatorCPU, shared := machine.Split(allowed)
	if shared {
		return errors.New("server and generator share one CPU; use a machine with two")
	}
	loads := frozenLoads()
	for n := len(s.Done); n < f.runs*len(loads); n++ {
		r := &phases{chatd: p.path("chatd"), serverCPU: serverCPU, generatorCPU: generatorCPU, load: loads[n%len(loads)], others: *others, slices: *each}
		r.pair = pair{Load: r.load.name, Seed: f.seed + uint64(n)}
		if err := r.run(ctx, what.Neighbour, allowed); err != nil {
			return fmt.Errorf("pair %d: %w", n/len(loads)+1, err)
		}
		if err := s.add(r.pair); err != nil {
			return err
		}
		fmt.Fprintf(out, "pair %d of %d, %s: CPU %.4f, frozen servers took %v in %v each\n", n/len(loads)+1, f.runs, r.load.name,
			r.pair.Beside[keyCPU]/r.pair.Alone[keyCPU], r.pair.FrozenCPU, r.pair.FrozenFor.Round(time.Millisecond))
	}
	return frozenTally(out, s.Done, *others)
}

// frozenTally prints the ratios, and says whether the figures are the same and the
// frozen servers used nothing.
func frozenTally(out io.Writer, done []pair, others int) error {
	fmt.Fprintf(out, "\n| load | figure | alone | beside %d frozen | ratio (95 %%) | pairs |\n|---|---|---:|---:|---:|---:|\n", others)
	alike, took, void, slices := true, time.Duration(0), 0, 0
	for _, l := range frozenLoads() {
		for _, key := range frozenFigures {
			var alone, beside []float64
			for _, p := range done {
				if a, ok := p.Alone[key]; ok && p.Load == l.name {
					alone, beside = append(alone, a), append(beside, p.Beside[key])
				}
			}
			c := stats.Compare(beside, alone)
			fmt.Fprintf(out, "| %s | %s | %.5g | %.5g | %s | %d |\n", l.name, key, stats.Median(alone), stats.Median(beside), ratioText(c.Ratio, c.Interval.Low, c.Interval.High), c.N)
			alike = alike && c.Interval != stats.Interval{} && c.Interval.Within(stats.TieBand)
		}
	}
	for _, p := range done {
		took, void, slices = took+p.FrozenCPU, void+p.Void, slices+p.Slices
	}
	fmt.Fprintf(out, "\nfrozen servers took %v in all; %d slices, %d void besides\n", took, slices, void)
	if !alike || took != 0 {
		return errNotShown
	}
	return nil
}

// frozenLoad is one of the loads of a run of the bench.
type frozenLoad struct {
	name string
	loadgen.Config
}

func frozenLoads() []frozenLoad {
	p := bench.Quick(record.Broadcast, nil)
	base := loadgen.Config{Clients: p.Clients, Senders: p.Senders, Size: p.Size, Warmup: p.LeadIn, Duration: p.Slice}
	open, closed := base, base
	open.Rate, closed.Window = p.Rates[0], p.Windows[0]
	return []frozenLoad{{fmt.Sprintf("fixed%g", float64(open.Rate/units.Rate(1))), open}, {fmt.Sprintf("window%d", closed.Window), closed}}
}

// phases is one pair while it is measured.
type phases struct {
	chatd                   string
	serverCPU, generatorCPU []int
	load                    frozenLoad
	others, slices          int
	stage                   *loadgen.Stage
	pair                    pair
	with                    []*tree // the frozen servers, while they exist
}

// tree is one server with its clients.
type tree struct {
	launcher *server.Launcher
	process  *server.Process
	meter    *meter.Meter
	fleet    *loadgen.Fleet
	froze    meter.Sample
	from, to meter.Sample // the edges of its last slice
}

// run goes through the four phases.
func (r *phases) run(ctx context.Context, beside *bursts, allowed []int) (err error) {
	if beside != nil {
		n, err := startNoise(*beside, r.pair.Seed)
		if err != nil {
			return err
		}
		defer func() { r.pair.Neighbour, _ = n.stop() }()
	}
	if err := machine.PinProcess(r.generatorCPU); err != nil {
		return err
	}
	defer machine.PinProcess(allowed)
	if r.stage, err = loadgen.NewStage(ctx, 1, r.generatorCPU); err != nil {
		return err
	}
	defer r.stage.Close()
	driven, err := r.start(ctx, "epoll")
	defer driven.close()
	if err != nil {
		return err
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // as in a run of the bench
	defer r.end()
	r.pair.FirstWith = rand.New(rand.NewPCG(r.pair.Seed, 0x70616972)).IntN(2) == 0 // "pair"
	figures := map[bool]map[string][]float64{false: {}, true: {}}
	for phase := range 4 {
		with := r.pair.FirstWith == (phase == 0 || phase == 3)
		if with && r.with == nil {
			if err := r.begin(ctx); err != nil {
				return err
			}
		}
		if !with {
			r.end()
		}
		for range r.slices {
			if err := r.slice(ctx, driven, figures[with]); err != nil {
				return err
			}
		}
	}
	r.pair.Alone, r.pair.Beside = medians(figures[false]), medians(figures[true])
	if len(figures[false][keyCPU]) == 0 || len(figures[true][keyCPU]) == 0 {
		return errors.New("no slice counts; try again on a quieter machine")
	}
	return nil
}

func medians(of map[string][]float64) map[string]float64 {
	all := make(map[string]float64)
	for key, xs := range of {
		all[key] = stats.Median(xs)
	}
	return all
}

// start starts a server, logs its clients in and freezes it. The caller closes the result,
// even after an error.
func (r *phases) start(ctx context.Context, backend string) (t *tree, err error) {
	t = &tree{}
	if t.launcher, err = server.NewLauncher(r.serverCPU); err != nil {
		return t, err
	}
	t.process, err = t.launcher.Start(ctx, true, r.chatd, "-backend", backend, "-listen", "127.0.0.1:0", "-open", "-json",
		"-flood", "off", "-announce=false", "-login-throttle", "off", "-max-per-address", "0")
	if err != nil {
		return t, err
	}
	t.meter = &meter.Meter{Root: t.process.PID, Counters: t.process.Counters, ServerCPUs: r.serverCPU, OtherCPUs: r.generatorCPU}
	cfg := r.load.Config
	cfg.Server, cfg.Seed, cfg.CPU = t.process.Addr, r.pair.Seed, r.generatorCPU
	cfg.Starved = func() bool { return meter.Starved(t.process.PID) }
	cfg.OnTimedStart = func() { t.from = t.meter.ReadCounters() }
	cfg.OnTimedEnd = func() { t.to = t.meter.ReadCounters() }
	if t.fleet, err = r.stage.Join(cfg); err != nil {
		return t, err
	}
	if err := t.process.Freeze(); err != nil {
		return t, err
	}
	t.froze = t.meter.ReadCounters()
	return t, nil
}

// close ends a server. Its clients leave afterwards, because it may be frozen.
func (t *tree) close() {
	if t.process != nil {
		t.process.Kill()
	}
	if t.fleet != nil {
		t.fleet.Leave()
	}
	if t.launcher != nil {
		t.launcher.Close()
	}
}

// begin starts the other servers and freezes them.
func (r *phases) begin(ctx context.Context) error {
	for i := range r.others {
		t, err := r.start(ctx, []string{"epoll", "goroutine"}[i%2])
		if r.with = append(r.with, t); err != nil {
			return err
		}
	}
	return nil
}

// end measures what the others used while they were frozen, and ends them.
func (r *phases) end() {
	for _, t := range r.with {
		if !t.froze.At.IsZero() {
			now := t.meter.ReadCounters()
			r.pair.FrozenCPU += time.Duration(*t.meter.Between(t.froze, now, meter.Sample{}, meter.Sample{}).CPU)
			r.pair.FrozenFor += now.At.Sub(t.froze.At) / time.Duration(r.others)
		}
		t.close()
	}
	r.with = nil
}

// slice drives the server once, as a run of the bench does, and stores what it cost.
func (r *phases) slice(ctx context.Context, t *tree, into map[string][]float64) error {
	runtime.GC()
	if err := t.process.Thaw(); err != nil {
		return err
	}
	result, edges, err := t.fleet.Slice()
	switch {
	case ctx.Err() != nil:
		return errInterrupted
	case err != nil:
		return err
	case edges.Missing > 0:
		return fmt.Errorf("%d deliveries never came", edges.Missing)
	}
	if err := t.process.Freeze(); err != nil {
		return err
	}
	one := record.Slice{Drain: edges.Drain, Deliveries: int64(edges.Deliveries), LagP99: result.Generator.WorstLag()}
	if rules.Slice(one, record.Load{Rate: float64(r.load.Rate)}, record.SliceRules()) != nil {
		r.pair.Void++
		return nil
	}
	r.pair.Slices++
	u, p50 := t.meter.Between(t.from, t.to, meter.Sample{}, meter.Sample{}), result.FromDue.P50NS
	if r.load.Window > 0 {
		p50 = result.FromSend.P50NS
	}
	into[keyCPU] = append(into[keyCPU], float64(*u.CPU)/float64(edges.Deliveries))
	into[keyP50] = append(into[keyP50], float64(p50))
	if u.Syscalls != nil {
		into[keySyscalls] = append(into[keySyscalls], float64(*u.Syscalls)/float64(edges.Deliveries))
	}
	return nil
}
