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
// Their methods are called on the first thread, except for interrupt.
type generators struct {
	*common
	cfg     Config
	threads *threads
	all     []*generator // by thread
}

// common is what the generators of a room share. No generator waits for another while
// it sends or receives.
type common struct {
	base        time.Time       // all times count from here
	agent       *Agent          // nil: there is no other process
	servers     []string        // HOST:PORT of each; clients are spread over them in turn
	server      []int           // of each client: the index of its server; nil: there is one server
	shares      [][]int         // the clients of each generator
	sentLog     *ledger.SentLog // nil: there is one generator
	elsewhere   []bool          // senders of other agents; nil: there are none
	sending     atomic.Int32    // generators that may still send in this section, plus one for all other agents
	lastArrival atomic.Int64    // when something last arrived at any of them after the section
	ownSent     chan bool       // closed when the generators of this process send no more
}

// newCommon makes it for a Config whose defaults are filled in.
func newCommon(cfg *Config, reach int) *common {
	c := &common{base: time.Now(), servers: strings.Split(cfg.Server, ",")}
	at := cfg.senders()
	all := cfg.Threads
	if c.agent = cfg.Agent; c.agent != nil {
		all = c.agent.All
	}
	c.server, c.shares = assignClients(cfg.Clients, at, len(c.servers), all)
	if all > 1 {
		c.sentLog = ledger.NewSentLog(len(at), cfg.Window, reach)
	}
	if c.agent != nil {
		c.keepOwnShares(cfg, at)
	}
	if len(c.servers) == 1 {
		c.server = nil
	}
	return c
}

// assignClients spreads clients over servers and threads in turn: first those that send, then
// the others, so that every thread has some of both on every server. It returns the server
// of each client, and the clients of each thread.
func assignClients(clients int, senders []int, servers, threads int) (server []int, shares [][]int) {
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

// newGenerators makes the generators of a Config whose defaults are filled in, each on its
// thread, so that its memory is allocated there.
func newGenerators(cfg Config, t *threads, reach int) *generators {
	gs := &generators{common: newCommon(&cfg, reach), cfg: cfg, threads: t, all: make([]*generator, len(t.jobs))}
	t.each(func(i int) error {
		gs.all[i] = newGenerator(cfg, gs.common, i, reach)
		return nil
	})
	return gs
}

// each calls job with every generator, on its thread. If one fails, the others are interrupted.
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

// drive runs one section, from its warm-up to the last delivery. The section begins after a lead,
// at the same instant for all generators, and ends when the last generator is done.
func (gs *generators) drive(lead, warmup, duration time.Duration) error {
	gs.sending.Store(int32(len(gs.all)))
	origin := gs.all[0].now() + int64(lead)
	settled := func() error { return nil }
	if gs.agent != nil {
		start, err := gs.agent.Ready()
		if err != nil {
			return err
		}
		origin, settled = int64(start.Sub(gs.base)), gs.startSettling()
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

// counts are the sums over all generators: see load.
func (gs *generators) counts() (messages, delivered, missing uint64) {
	for _, g := range gs.all {
		m, d, k := g.load.counts()
		messages, delivered, missing = messages+m, delivered+d, missing+k
	}
	return messages, delivered, missing
}

// parts returns what each generator measured.
func (gs *generators) parts() []*Part {
	parts := make([]*Part, len(gs.all))
	for i, g := range gs.all {
		parts[i] = g.part()
	}
	return parts
}

// Part is what one thread measured of a room. Its latencies are histograms without a
// summary, and its ledger is a Sum.
type Part struct {
	Result
	Sum ledger.Sum `json:"sum"`
}

// Mergeable says whether parts from other processes can be merged: each has all its histograms,
// and all parts have the same histograms.
func Mergeable(parts []*Part) bool {
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

// merge computes the result of a room from the parts of all its generators. Merged histograms
// are exact: all have the same buckets, and counts are added.
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
