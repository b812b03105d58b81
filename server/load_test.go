package server

import (
	"testing"
	"time"

	"chatbench/backends/goroutine"
	"chatbench/loadgen"
)

// The load generator's clients, spread over two servers of one room, all receive every message
// once and in the same order, those of their own server and those of the other.
func TestLoadOnTwoServers(t *testing.T) {
	url := startNATS(t)
	join := func(o *Options) {
		o.Cluster.URLs, o.Cluster.Room, o.Announce = url, "lobby", false
	}
	a := launch(t, join)
	b := launch(t, func(o *Options) { join(o); o.Backend = goroutine.Backend })
	r, err := loadgen.Run(t.Context(), loadgen.Config{
		Server: a.Addr().String() + "," + b.Addr().String(), Threads: 2, Clients: 20, Senders: 6, Rate: 300,
		Duration: 500 * time.Millisecond, Connect: patience, Drain: patience, Seed: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Ledger.Clean() || r.Messages.InAll != 150 || r.Deliveries.InAll != 20*150 {
		t.Errorf("%+v; %d messages, %d deliveries", r.Ledger, r.Messages.InAll, r.Deliveries.InAll)
	}
	if within, across := r.Servers.Within.Count, r.Servers.Across.Count; within != 10*150 || across != 10*150 {
		t.Errorf("%d deliveries by the server of the sender, %d by the other", within, across)
	}
}
