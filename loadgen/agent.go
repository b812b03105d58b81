package loadgen

import (
	"errors"
	"time"
)

// Agent makes a run the part of one of several processes, each with some of the
// clients of one room, maybe on machines of their own. All have the same Config but for this,
// the server's address and the CPUs. Who drives whom, and who says what and when, follows from
// it; so each checks what its own clients got of all senders without being told.
//
// Two things it has to be told: when the load starts, and at the end how much the senders
// of others have sent, so that it knows what it waits for. Latencies of these are kept apart, for they
// sent by another clock: see Elsewhere.
type Agent struct {
	First, All int // its threads are First, First+1, … of All of the room

	// Ready is called when its clients are in, on its first thread. It returns when the
	// load starts, by the clock of this process, which is later.
	Ready func() (start time.Time, err error)
	// Settle is called when its senders have sent all they will, on a goroutine of its own, with how
	// many messages each sender of the room has sent, 0 of those elsewhere. It
	// returns that of all, when it is known.
	Settle func(sent []uint64) (all []uint64, err error)
}

// errSettle is for counts that are not those of the room.
var errSettle = errors.New("loadgen: the number of senders is another than that of the room")

// apart takes the shares of the other agents away.
func (c *common) apart(cfg *Config, senders []int) {
	c.shares = c.shares[c.agent.First : c.agent.First+cfg.Threads]
	if cfg.Threads == c.agent.All {
		return
	}
	here := make([]bool, cfg.Clients)
	for _, share := range c.shares {
		for _, client := range share {
			here[client] = true
		}
	}
	c.away = make([]bool, len(senders))
	for s, client := range senders {
		c.away[s] = !here[client]
	}
	c.said.Elsewhere(c.away)
}

// settle waits until this agent's senders are through, and then until those of all agents
// are: that is one more who sends. The function it returns waits for the end of that.
func (gs *generators) settle() (wait func() error) {
	gs.sending.Add(1)
	gs.through = make(chan bool)
	ended := make(chan error, 1)
	go func() {
		ended <- gs.settled()
	}()
	return func() error { return <-ended }
}

func (gs *generators) settled() error {
	<-gs.through
	if gs.all[0].interrupted.Load() {
		return nil
	}
	sent := make([]uint64, len(gs.cfg.senders()))
	if gs.said != nil {
		sent = gs.said.Sent()
	}
	all, err := gs.agent.Settle(sent)
	if err == nil && len(all) != len(sent) {
		err = errSettle
	}
	if err != nil {
		gs.interrupt()
		return err
	}
	if gs.away != nil {
		gs.said.Settle(all)
	}
	gs.sending.Add(-1)
	return nil
}

// planSize is how many messages of a schedule a plan remembers.
const planSize = 1 << 17

// plan remembers when the latest messages of a schedule are due, so that those of
// senders elsewhere can be timed when they arrive.
type plan struct {
	dues  []int64 // a ring, counted from the start of the schedule
	known uint64  // messages whose due time was asked for
}

func newPlan() *plan { return &plan{dues: make([]int64, planSize)} }

// at is when message n of a schedule is due; not ok if that is forgotten.
func (p *plan) at(s Schedule, n uint64) (due int64, ok bool) {
	for ; p.known <= n; p.known++ {
		p.dues[p.known%planSize] = int64(s.Due(p.known))
	}
	return p.dues[n%planSize], p.known-n <= planSize
}

// dueAfter is when message n of the section is due, counted from its start.
func (b *broadcast) dueAfter(n uint64) int64 {
	if b.plan != nil {
		if due, ok := b.plan.at(b.schedule, n); ok {
			return due
		}
	}
	return int64(b.schedule.Due(n))
}

// planned is when a message of a sender elsewhere is due: the senders take turns.
func (b *broadcast) planned(sender int, seq uint64) (due int64, ok bool) {
	if b.plan == nil {
		return 0, true
	}
	due, ok = b.plan.at(b.schedule, seq*uint64(len(b.senders))+uint64(sender))
	return b.origin + due, ok
}
