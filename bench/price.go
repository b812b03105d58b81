package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"chatbench/bench/meter"
	"chatbench/bench/stats"
	"chatbench/loadgen/price"
)

// What counting costs is measured in pairs of helper processes, one counted and
// one not: as many pairs as fit into a time, but on a busy machine at least
// this number, within the limit.
const (
	pricePairs = 9
	priceLeast = 3
	priceTime  = 400 * time.Millisecond
	priceLimit = time.Second
)

// price measures, on the servers' CPUs and before any server runs, what counting
// adds to a system call and to a context switch. It records that in env.json, or
// in the manifest why it is not known. Only an ended context is an error.
func (b *bench) price(ctx context.Context) error {
	calls, changes, why := b.prices(ctx)
	env, measures := &b.run.Env, b.run.Manifest.Measures
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case why != nil:
		measures["price of counting"] = fmt.Sprintf("absent: %v", why)
	default:
		if calls != nil {
			v := stats.Median(calls)
			env.CallPrice = &v
		}
		if changes != nil {
			v := stats.Median(changes)
			env.SwitchPrice = &v
		}
		measures["price of counting"] = fmt.Sprintf("median of %d pairs of processes on the server's CPU, one counted and one not; it is in cpu", max(len(calls), len(changes)))
	}
	return nil
}

// prices returns the differences of all pairs, in nanoseconds; nil for what is not counted.
func (b *bench) prices(ctx context.Context) (calls, changes []float64, why error) {
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, priceLimit)
	defer cancel()
	for n := 0; n < pricePairs && (n < priceLeast || time.Since(begun) < priceTime); n++ {
		plain, err := b.onePrice(ctx, func() {})
		if err != nil {
			return nil, nil, err
		}
		c := &meter.Counters{}
		ran := meter.OpenTaskTime(b.run.Manifest.ServerCPUs)
		counted, err := b.onePrice(ctx, func() { c = meter.OpenCounters(b.cfg.Syscalls) })
		ran.Close()
		c.Close()
		if err != nil {
			return nil, nil, err
		}
		onCalls, onSwitches := c.Counts()
		trip := counted.Trip - plain.Trip
		if onCalls {
			calls = append(calls, counted.Call-plain.Call)
			trip -= price.CallsPerTrip * (counted.Call - plain.Call)
		}
		if onSwitches {
			changes = append(changes, trip/price.SwitchesPerTrip)
		}
		if !onCalls && !onSwitches {
			return nil, nil, fmt.Errorf("nothing is counted; %s", c.Notes()["context switches"])
		}
	}
	return calls, changes, nil
}

// onePrice runs one helper process; begin is called where its counters are opened.
func (b *bench) onePrice(ctx context.Context, begin func()) (p price.Price, err error) {
	l, err := b.launcher("")
	if err != nil {
		return p, err
	}
	out, err := l.Output(ctx, begin, b.cfg.Loadgen, "price")
	if err == nil {
		err = json.Unmarshal(out, &p)
	}
	return p, err
}
