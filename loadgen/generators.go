package loadgen

import (
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"chatbench/loadgen/hist"
	"chatbench/loadgen/ledger"
)

// generators drive the clients of one room, each its share of them on a thread of its own.
// Their methods are called on the first thread, but for interrupt.
type generators struct {
	*common
	cfg     Config
	threads *threads
	all     []*generator // by thread
}

// common is what the generators of a room share. No generator waits for another while
// it sends or receives.
type common struct {
	base    time.Time    // all times count from here
	agent   *Agent       // nil: there is no other process
	servers []string     // HOST:PORT of each; clients are spread over them in turn
	server  []int        // of each client: its server among these; nil: there is one
	shares  [][]int      // the clients of each generator
	said    *ledger.Said // nil: there is one generator
	away    []bool       // senders of other agents; nil: there are none
	sending atomic.Int32 // generators that may still send in this section, and one for all other agents
	latest  atomic.Int64 // when something last arrived at any of them after the section
	through chan bool    // closed when it is but that one
}

// newCommon is for a load that is filled in.
func newCommon(cfg *Config, reach int) *common {
	c := &common{base: time.Now(), servers: strings.Split(cfg.Server, ",")}
	at := cfg.senders()
	all := cfg.Threads
	if c.agent = cfg.Agent; c.agent != nil {
		all = c.agent.All
	}
	c.server, c.shares = deal(cfg.Clients, at, len(c.servers), all)
	if all > 1 {
		c.said = ledger.NewSaid(len(at), cfg.Window, reach)
	}
	if c.agent != nil {
		c.apart(cfg, at)
	}
	if len(c.servers) == 1 {
		c.server = nil
	}
	return c
}

// deal deals clients out to servers and threads in turn, first those who send and
// then the others, so that every thread has its part of both on every server. It gives the server
// of each client, and the clients of each thread.
func deal(clients int, senders []int, servers, threads int) (server []int, shares [][]int) {
	server, thread := make([]int, clients), make([]int, clients)
	dealt, sends := 0, make([]bool, clients)
	give := func(client int) {
		server[client], thread[client] = dealt%servers, dealt/servers%threads
		dealt++
	}
	for _, client := range senders {
		sends[client] = true
		give(client)
	}
	for client := range clients {
		if !sends[client] {
			give(client)
		}
	}
	shares = make([][]int, threads)
	for client, t := range thread {
		shares[t] = append(shares[t], client)
	}
	return server, shares
}

// newGenerators makes those of a load that is filled in, each on its thread, where
// its memory then is.
func newGenerators(cfg Config, t *threads, reach int) *generators {
	gs := &generators{common: newCommon(&cfg, reach), cfg: cfg, threads: t, all: make([]*generator, len(t.jobs))}
	t.each(func(i int) error {
		gs.all[i] = newGenerator(cfg, gs.common, i, reach)
		return nil
	})
	return gs
}

// each does a job with every generator, on its thread. Where one fails, the others are
// interrupted.
func (gs *generators) each(job func(*generator) error) error {
	return gs.threads.each(func(i int) error {
		err := job(gs.all[i])
		if err != nil {
			gs.interrupt()
		}
		return err
	})
}

// interrupt ends what the generators do, with ErrInterrupted. Any goroutine may call it.
func (gs *generators) interrupt() {
	for _, g := range gs.all {
		g.interrupted.Store(true)
	}
}

func (gs *generators) connect() error { return gs.each((*generator).connect) }

func (gs *generators) disconnect() {
	gs.threads.each(func(i int) error {
		gs.all[i].disconnect()
		return nil
	})
}

// drive is one section, from its warm-up to the last delivery: it begins after a lead,
// at the same instant for all, and ends when the last generator is done.
func (gs *generators) drive(lead, warmup, duration time.Duration) error {
	gs.sending.Store(int32(len(gs.all)))
	origin := gs.all[0].now() + int64(lead)
	settled := func() error { return nil }
	if gs.agent != nil {
		start, err := gs.agent.Ready()
		if err != nil {
			return err
		}
		origin, settled = int64(start.Sub(gs.base)), gs.settle()
	}
	err := gs.each(func(g *generator) error {
		g.begin(origin, warmup, duration)
		return g.drive()
	})
	if why := settled(); err == nil || why != nil && errors.Is(err, ErrInterrupted) {
		err = why
	}
	return err
}

func (gs *generators) tail() error { return gs.each((*generator).tail) }

// counts are those of all generators: see load.
func (gs *generators) counts() (messages, delivered, missing uint64) {
	for _, g := range gs.all {
		m, d, k := g.load.counts()
		messages, delivered, missing = messages+m, delivered+d, missing+k
	}
	return messages, delivered, missing
}

// parts are what each generator measured.
func (gs *generators) parts() []*Part {
	parts := make([]*Part, len(gs.all))
	for i, g := range gs.all {
		parts[i] = g.part()
	}
	return parts
}

// Part is what one thread measured of a room. Its latencies are histograms
// alone, without a summary, and its ledger is the sum.
type Part struct {
	Result
	Sum ledger.Sum `json:"sum"`
}

// Whole says whether parts that were sent from elsewhere can be merged: each has all its histograms,
// and all have the same.
func Whole(parts []*Part) bool {
	for _, p := range parts {
		if p == nil || len(p.latencies()) != len(parts[0].latencies()) || p.Servers == nil != (parts[0].Servers == nil) {
			return false
		}
		for _, l := range p.latencies() {
			if l.Histogram == nil {
				return false
			}
		}
	}
	return len(parts) > 0
}

// merge is the result of a room by the parts of all its generators. Histograms are
// merged exactly: they have the same buckets, and counts are added.
func merge(parts []*Part, cfg *Config) *Result {
	r := parts[0].Result
	sums := make([]ledger.Sum, len(parts))
	for i, p := range parts {
		if sums[i] = p.Sum; i > 0 {
			r.Messages.add(&p.Messages)
			r.Deliveries.add(&p.Deliveries)
			r.Notices += p.Notices
			r.Generator.add(&p.Generator)
		}
	}
	of := make([][]*Latency, len(parts))
	for i, p := range parts {
		of[i] = p.latencies()
	}
	for k, l := range r.latencies() {
		h := of[0][k].Histogram
		if len(parts) > 1 {
			h = hist.New()
			for i := range parts {
				h.Merge(of[i][k].Histogram)
			}
		}
		*l = latency(h)
	}
	r.Ledger = ledger.Merge(sums...)
	r.complete(cfg)
	return &r
}
