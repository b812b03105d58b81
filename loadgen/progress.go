package loadgen

import (
	"sync"
	"sync/atomic"
	"time"
)

// Phase is the section that a run is in.
type Phase int32

// The sections in their order.
const (
	connecting Phase = iota
	warming
	timed
	draining
)

func (p Phase) String() string {
	return [...]string{"connecting", "warm-up", "measuring", "draining"}[p]
}

// Progress is what can be seen of a run while it goes on.
type Progress struct {
	Phase     Phase
	Clients   int           // in the room
	Left      time.Duration // until the timed section ends; 0 while connecting
	Messages  uint64        // sent so far
	PerSecond float64       // deliveries, since the last call
}

const (
	publishEvery = 50 * time.Millisecond  // the generator's thread
	reportEvery  = 250 * time.Millisecond // calls of Config.Progress
)

// published is what the generator's thread lets other goroutines read.
type published struct {
	next       int64 // its own: when to show again
	phase      atomic.Int32
	clients    atomic.Int64
	left       atomic.Int64
	messages   atomic.Uint64
	deliveries atomic.Uint64
}

// publish updates what other goroutines read, from time to time.
func (g *generator) publish(now int64) {
	s := &g.shown
	if now < s.next {
		return
	}
	s.next = now + int64(publishEvery)
	switch {
	case now >= g.to:
		s.phase.Store(int32(draining))
	case now >= g.from:
		s.phase.Store(int32(timed))
	}
	s.left.Store(max(0, g.to-now))
	messages, deliveries, _ := g.load.counts()
	s.messages.Store(messages)
	s.deliveries.Store(deliveries)
}

// report calls the Progress callback until the function that it returns is called.
func (gs *generators) report() (stop func()) {
	if gs.cfg.Progress == nil {
		return func() {}
	}
	done := make(chan struct{})
	var ended sync.WaitGroup
	ended.Go(func() {
		tick := time.NewTicker(reportEvery)
		defer tick.Stop()
		before, seen := time.Now(), uint64(0)
		for {
			select {
			case <-done:
				return
			case now := <-tick.C:
				p, deliveries := gs.progress()
				p.PerSecond = float64(deliveries-seen) / now.Sub(before).Seconds()
				gs.cfg.Progress(p)
				before, seen = now, deliveries
			}
		}
	})
	return func() {
		close(done)
		ended.Wait()
	}
}

// progress returns how far all generators are, and their deliveries so far. The phase is that
// of the first generator.
func (gs *generators) progress() (p Progress, deliveries uint64) {
	first := &gs.all[0].shown
	p.Phase, p.Left = Phase(first.phase.Load()), time.Duration(first.left.Load())
	for _, g := range gs.all {
		p.Clients += int(g.shown.clients.Load())
		p.Messages += g.shown.messages.Load()
		deliveries += g.shown.deliveries.Load()
	}
	return p, deliveries
}
