// Package loadgen puts load on a chat server and measures what its users would
// experience: how long each message takes to reach each of them, and whether
// every message arrives once, in order and unaltered.
//
// There are three loads. Broadcast: some clients talk and all receive it. Relay: half of
// the clients ask the other half for lists of files, and for files, and an answer counts
// when it is complete; further clients may talk at the same time. Idle: all log in, one by
// one or at a given pace, and stay silent.
//
// # Method
//
// A thread, locked and pinned on request, spins: it neither sleeps nor uses a timer between
// two messages. Every octet of every delivery is checked: chat by package ledger, file
// frames in this package. In the open loop message n is sent when its Schedule says,
// whatever the server does, and latency counts from then: a stall of the
// server, or of the generator, is in the figure. In the closed loop each sender
// keeps a window of messages that have not come back: that finds saturation and
// nothing else, and the result is labelled so. After the timed section nothing
// is sent and the run waits until everything has come; what does not come is lost.
//
// With TLS the same thread encrypts and decrypts: it runs the connections of package
// tls over its own sockets, with no other thread or socket in between. The time for that
// is in the generator's own CPU use, and in every latency: a delivery has come when it is
// decrypted. It allocates a little for each record.
//
// If there are several threads each drives its share of the clients, with an epoll, a ledger and
// histograms of its own, and none waits for another while it sends or receives. They start and end at
// the same instants, and go through the same schedule, of which each sends the messages of its own
// clients: the load is the same as one thread's. At the end histograms are added up, and
// ledgers are merged: every receiver got every message of every sender, in one order.
//
// The clients may be spread over several servers that share one room. Latencies of messages
// that crossed from one server to another are then reported separately as well.
//
// The generator measures itself: its lag, how busy it was, and (if its ceiling
// against the server of package null is known) how far below its own limit it
// stayed. Result says when the figures may be the generator's and not the server's.
//
// # What it refuses
//
// It never lowers the load to what the server takes, never skips a delivery,
// and reports no figures of a run that was broken off: a lost connection
// is an error, not a sample. It must have the room to itself: what anybody else
// says there counts as altered.
//
// # Many servers in turns
//
// A Stage has a fleet of clients for each of several servers and drives one fleet
// at a time, in slices of load. At the edges of a slice nothing is in flight.
//
// Run may be called from any goroutine; runs at the same time in one
// process disturb each other.
package loadgen

import (
	"context"
	"fmt"
	"strings"
	"time"

	"chatbench/loadgen/null"
)

// Run puts one load on the server. A Result says itself whether it is void; an
// error means that there is none.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	parts, err := Parts(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return Merge(parts, cfg), nil
}

// Merge computes the result of a load from the parts of all threads that drove it.
func Merge(parts []*Part, cfg Config) *Result {
	cfg = cfg.withDefaults()
	return merge(parts, &cfg)
}

// Parts is Run for one of several agents: it puts its part of the load on the server, and
// returns what each of its threads measured, to be merged with the parts of all others.
func Parts(ctx context.Context, cfg Config) ([]*Part, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	threads, err := startThreads(cfg.Threads, cfg.CPU)
	if err != nil {
		return nil, err
	}
	defer threads.close()
	var gs *generators
	err = threads.first(func() error {
		gs = newGenerators(cfg, threads, 0)
		defer context.AfterFunc(ctx, gs.interrupt)()
		defer gs.report()()
		defer gs.disconnect()
		if err := gs.connect(); err != nil {
			return err
		}
		if err := gs.drive(startLead, cfg.Warmup, cfg.Duration); err != nil {
			return err
		}
		call(cfg.OnQuiet)
		return gs.tail()
	})
	if err != nil {
		return nil, err
	}
	return gs.parts(), nil
}

// startLead is how long before the start of a load its start time is fixed.
const startLead = time.Millisecond

// Ceiling finds how many deliveries a second the generator itself can check
// with the same clients and frames of the same size: a closed loop of a second
// against a null server in this process, whose thread runs on nullCPU. A relay load
// is measured without chat. Set Config.Ceiling to the result. There is no ceiling for TLS,
// which the null server does not speak, nor for several threads or servers.
func Ceiling(ctx context.Context, cfg Config, nullCPU []int) (float64, error) {
	switch cfg = cfg.withDefaults(); {
	case cfg.TLS != nil:
		return 0, configError("the null server speaks no TLS, so what a generator reaches with it is no ceiling of one that does; leave the ceiling out")
	case cfg.Threads > 1 || strings.Contains(cfg.Server, ","):
		return 0, configError("the null server is one, with one thread, so it is itself the ceiling of several threads and no match for several servers; leave the ceiling out")
	}
	s, err := null.Listen("127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("loadgen: ceiling: %w", err)
	}
	s.CPU = nullCPU
	serving, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(serving) }()
	cfg.Server = s.Addr()
	cfg.Rate, cfg.Poisson, cfg.Ramp, cfg.Ceiling, cfg.Progress = 0, false, 0, 0, nil
	cfg.Window = min(128, maxInFlight/max(cfg.Senders, 1))
	if cfg.Scenario == Relay {
		cfg.ChatRate, cfg.Senders, cfg.Window = 0, 0, min(16, maxInFlight/cfg.Pairs)
	}
	cfg.Warmup, cfg.Duration = 300*time.Millisecond, time.Second
	r, err := Run(ctx, cfg)
	stop()
	if nullErr := <-ended; err == nil {
		err = nullErr
	}
	switch {
	case err != nil:
		return 0, fmt.Errorf("loadgen: ceiling: %w", err)
	case r.Void():
		return 0, fmt.Errorf("loadgen: ceiling: the null server itself failed: %s", r.Violations[0])
	case r.Deliveries.InTime == 0:
		return 0, fmt.Errorf("loadgen: ceiling: nothing arrived from the null server within %v: perhaps this machine had no CPU for it; try again", cfg.Duration)
	}
	return r.Deliveries.PerSecond, nil
}
