package loadgen

import (
	"errors"
	"time"
)

// Agent makes a run one part of a load that several processes share, maybe on several
// machines. Each process has some of the clients of one room. All processes have the same
// Config, except for Agent, the server's address and the CPUs. Who drives which client, and who
// says what and when, follows from it, so each process can check what its own clients received
// from all senders.
//
// Two things a process cannot compute: when the load starts, and at the end how much the senders
// of the other processes have sent. Latencies of those messages are kept apart, because their
// senders use another clock: see Elsewhere.
type Agent struct {
	First, All int // its threads are First, First+1, … of All of the room

	// Ready is called on the first thread when this process's clients are in the room. It returns
	// the start of the load, by this process's clock. The start lies in the future.
	Ready func() (start time.Time, err error)
	// Settle is called on a goroutine of its own when the senders of this process have sent
	// everything. sent is the number of messages of each sender of the room, 0 for senders of
	// other processes. It returns the numbers of all senders as soon as they are known.
	Settle func(sent []uint64) (all []uint64, err error)
}

// errSettle is returned if Settle gives another number of senders than the room has.
var errSettle = errors.New("loadgen: the number of senders is another than that of the room")

// keepOwnShares removes the shares of the other agents.
func (c *common) keepOwnShares(cfg *Config, senders []int) {
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
	c.elsewhere = make([]bool, len(senders))
	for s, client := range senders {
		c.elsewhere[s] = !here[client]
	}
	c.sentLog.Elsewhere(c.elsewhere)
}

// startSettling begins to wait until the senders of this agent have sent everything, and then
// until those of all agents have. It counts as one more sender until then. The function it
// returns waits for the end.
func (gs *generators) startSettling() (wait func() error) {
	gs.sending.Add(1)
	gs.ownSent = make(chan bool)
	ended := make(chan error, 1)
	go func() {
		ended <- gs.settle()
	}()
	return func() error { return <-ended }
}

func (gs *generators) settle() error {
	<-gs.ownSent
	if gs.all[0].interrupted.Load() {
		return nil
	}
	sent := make([]uint64, len(gs.cfg.senders()))
	if gs.sentLog != nil {
		sent = gs.sentLog.Sent()
	}
	all, err := gs.agent.Settle(sent)
	if err == nil && len(all) != len(sent) {
		err = errSettle
	}
	if err != nil {
		gs.interrupt()
		return err
	}
	if gs.elsewhere != nil {
		gs.sentLog.Settle(all)
	}
	gs.sending.Add(-1)
	return nil
}

// dueTimesKept is how many messages dueTimes remembers.
const dueTimesKept = 1 << 17

// dueTimes remembers when the latest messages of a schedule are due, so that messages of
// senders in other processes can be timed when they arrive.
type dueTimes struct {
	dues  []int64 // a ring, counted from the start of the schedule
	known uint64  // messages whose due time was asked for
}

func newDueTimes() *dueTimes { return &dueTimes{dues: make([]int64, dueTimesKept)} }

// at returns when message n of a schedule is due; ok is false if that is forgotten.
func (p *dueTimes) at(s Schedule, n uint64) (due int64, ok bool) {
	for ; p.known <= n; p.known++ {
		p.dues[p.known%dueTimesKept] = int64(s.Due(p.known))
	}
	return p.dues[n%dueTimesKept], p.known-n <= dueTimesKept
}

// dueAfter returns when message n of the section is due, counted from the section's start.
func (b *broadcast) dueAfter(n uint64) int64 {
	if b.dueTimes != nil {
		if due, ok := b.dueTimes.at(b.schedule, n); ok {
			return due
		}
	}
	return int64(b.schedule.Due(n))
}

// dueElsewhere returns when a message of a sender in another process is due. The senders take turns.
func (b *broadcast) dueElsewhere(sender int, seq uint64) (due int64, ok bool) {
	if b.dueTimes == nil {
		return 0, true
	}
	due, ok = b.dueTimes.at(b.schedule, seq*uint64(len(b.senders))+uint64(sender))
	return b.origin + due, ok
}
