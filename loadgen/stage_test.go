package loadgen

import (
	"context"
	"errors"
	"testing"
	"time"
)

// newStage puts a fleet for each room on a stage.
func newStage(t *testing.T, cfg Config, rooms ...*room) []*Fleet {
	t.Helper()
	s, err := NewStage(context.Background(), 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	var fleets []*Fleet
	for _, r := range rooms {
		cfg.Server = r.Addr().String()
		f, err := s.Join(cfg)
		if err != nil {
			t.Fatal(err)
		}
		fleets = append(fleets, f)
	}
	return fleets
}

// TestSlices: in turns, each slice is counted by itself, everything is checked,
// and everything that the counted part has sent arrives between the edges.
func TestSlices(t *testing.T) {
	for name, cfg := range map[string]Config{
		"open":         {Clients: 5, Senders: 2, Rate: 1000},
		"poisson":      {Clients: 5, Senders: 2, Rate: 1000, Poisson: true},
		"closed":       {Clients: 5, Senders: 2, Window: 3},
		"relay":        {Scenario: Relay, Pairs: 2, Rate: 1000, ChatRate: 200, Senders: 1},
		"relay closed": {Scenario: Relay, Pairs: 2, Window: 2},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.Warmup, cfg.Duration, cfg.Seed = 20*time.Millisecond, 50*time.Millisecond, 1
			started, ended, driven := 0, 0, 0
			cfg.OnTimedStart, cfg.OnTimedEnd = func() { started++ }, func() { ended++ }
			set := func(r *room) { r.script.Seed, r.script.Size, r.messages = 1, 64, 1<<40 }
			fleets := newStage(t, cfg, newRoom(t, 1, set), newRoom(t, 2, set))
			var inAll, between [2]uint64
			for turn := range 6 {
				i := turn % 2
				r, e, err := fleets[i].Slice()
				if err != nil {
					t.Fatal(err)
				}
				if !r.Ledger.Clean() || e.Missing != 0 || e.Deliveries == 0 || r.Deliveries.InAll <= inAll[i] {
					t.Errorf("slice %d: %+v, edges %+v, %d in all after %d", turn, r.Ledger, e, r.Deliveries.InAll, inAll[i])
				}
				if open := cfg.Window == 0; open {
					if r.Messages.Due < 25 || r.Messages.Due > 80 || name == "open" && (r.Messages.Due != 50 || e.Deliveries != 5*50) {
						t.Errorf("slice %d: %d messages due in 50 ms at 1000/s, %d deliveries", turn, r.Messages.Due, e.Deliveries)
					}
					if uint64(r.Generator.Lag.Count) != r.Messages.Due || r.FromDue.Count == 0 {
						t.Errorf("slice %d: %d lags, %d latencies of %d messages", turn, r.Generator.Lag.Count, r.FromDue.Count, r.Messages.Due)
					}
				}
				inAll[i], between[i] = r.Deliveries.InAll, between[i]+e.Deliveries
				if r.FromSend.Count > 0 && r.Generator.Wall > 0 { // otherwise this thread had no CPU in the counted part
					driven++
				}
				if e.Wall < cfg.Duration || e.Drain < 0 || e.Wall < e.Drain {
					t.Errorf("slice %d: %d latencies; edges %+v", turn, r.FromSend.Count, e)
				}
				if r.Login.Count != int64(r.Clients) || r.Generator.Wall < 0 || r.Generator.Wall > int64(e.Wall) {
					t.Errorf("slice %d: %d logins of %d; the generator drove for %d ns", turn, r.Login.Count, r.Clients, r.Generator.Wall)
				}
			}
			if started != 6 || ended != 6 || driven == 0 || between[0] >= inAll[0] && cfg.Scenario != Relay {
				t.Errorf("%d starts, %d ends, %d driven; %d of %d deliveries between edges", started, ended, driven, between[0], inAll[0])
			}
		})
	}
}

// TestSliceLoses: what a server loses in a slice is missing at its end.
func TestSliceLoses(t *testing.T) {
	cfg := Config{Clients: 4, Senders: 2, Rate: 2000, Warmup: 10 * time.Millisecond, Duration: 150 * time.Millisecond, Drain: 50 * time.Millisecond, Seed: 1}
	f := newStage(t, cfg, newRoom(t, 3, func(r *room) {
		r.script.Seed, r.script.Size, r.messages, r.damage = 1, 64, 1<<40, "drop"
	}))[0]
	r, e, err := f.Slice()
	if err != nil {
		t.Fatal(err)
	}
	if e.Missing == 0 || r.Ledger.Lost != e.Missing || !r.Void() {
		t.Errorf("lost %d, missing %d, %v", r.Ledger.Lost, e.Missing, r.Violations)
	}
}

// TestFirstWindow: sending the first windows of a closed loop counts as work, even if
// nothing comes back.
func TestFirstWindow(t *testing.T) {
	for name, cfg := range map[string]Config{
		"broadcast": {Clients: 3, Senders: 2, Window: 3},
		"relay":     {Scenario: Relay, Pairs: 2, Window: 2},
	} {
		cfg.Duration, cfg.Drain, cfg.Seed = 20*time.Millisecond, 20*time.Millisecond, 1
		f := newStage(t, cfg, newRoom(t, 1, func(r *room) { r.deaf, r.mute = true, true }))[0]
		r, e, err := f.Slice()
		if err != nil {
			t.Fatal(err)
		}
		if e.Missing == 0 || r.Generator.BusyRatio <= 0 {
			t.Errorf("%s: %d missing of a server that answers nothing; the generator was busy for %v", name, e.Missing, r.Generator.BusyRatio)
		}
	}
}

// TestStageLeave: a fleet that has left has no descriptors any more, so the next fleet
// needs no more than before.
func TestStageLeave(t *testing.T) {
	r := newRoom(t, 1, func(r *room) { r.script.Seed, r.script.Size, r.messages = 1, 64, 1<<40 })
	s, err := NewStage(context.Background(), 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	join := func() *Fleet {
		f, err := s.Join(Config{Server: r.Addr().String(), Clients: 3, Senders: 1, Rate: 1000, Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	join() // and stays
	for range 3 {
		f := join()
		if n := f.generators.all[0].otherClients; n != 3 {
			t.Errorf("%d other clients, want the 3 of the fleet that stayed", n)
		}
		f.Leave()
		f.Leave()
	}
	last := join()
	if s.Close(); len(s.fleets) != 0 || !last.gone {
		t.Errorf("%d fleets are left after Close", len(s.fleets))
	}
}

func TestStageMistakes(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	s, err := NewStage(ctx, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r := newRoom(t, 4, func(r *room) { r.script.Seed, r.script.Size, r.messages = 1, 64, 1<<40 })
	if _, err := s.Join(Config{Scenario: Idle, Clients: 2, Server: r.Addr().String()}); !errors.Is(err, ErrConfig) {
		t.Errorf("silence in slices: %v", err)
	}
	if _, err := s.Join(Config{Clients: 2, Rate: 100, Server: "127.0.0.1:1"}); !errors.Is(err, ErrUnreachable) {
		t.Errorf("nobody listens: %v", err)
	}
	f, err := s.Join(Config{Clients: 2, Rate: 1000, Duration: time.Minute, Seed: 1, Server: r.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, _, err := f.Slice(); !errors.Is(err, ErrInterrupted) {
		t.Errorf("interrupted: %v", err)
	}
	if _, err := NewStage(context.Background(), 1, []int{9999}); !errors.Is(err, ErrConfig) {
		t.Errorf("on CPU 9999: %v", err)
	}
}
