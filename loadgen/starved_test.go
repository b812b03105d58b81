package loadgen

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestStarved: the generator waits for a server that is kept from its CPU, and what the server
// then delivers was not lost. What was lost counts as lost, however much the server starves, and
// the generator does not wait for ever.
func TestStarved(t *testing.T) {
	const drain = 30 * time.Millisecond
	for _, c := range []struct {
		name    string
		stall   time.Duration // after the first message
		damage  string
		starved bool
		err     error
		lost    bool
	}{
		{"waits for its CPU", 6 * drain, "", true, nil, false},
		{"sleeps", 6 * drain, "", false, nil, true},
		{"waits for ever", 100 * drain, "", true, ErrStarved, false},
		{"loses and waits", 0, "drop", true, nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, 3, func(r *room) {
				r.script.Seed, r.script.Size, r.messages, r.damage = 1, 64, 1<<40, c.damage
				if c.stall > 0 {
					r.stall = func(said int) time.Duration {
						if said == 1 {
							return c.stall
						}
						return 0
					}
				}
			})
			cfg := Config{
				Server: r.Addr().String(), Clients: 4, Senders: 2, Rate: 2000, Duration: 50 * time.Millisecond, Drain: drain, Seed: 1,
				Starved: func() bool { return c.starved },
			}
			if c.damage != "" {
				cfg.Duration = 300 * time.Millisecond // one of them is damaged for sure
			}
			result, err := Run(context.Background(), cfg)
			if !errors.Is(err, c.err) {
				t.Fatalf("%v, want %v", err, c.err)
			}
			if err == nil && (result.Ledger.Lost > 0) != c.lost {
				t.Errorf("%d lost: %v", result.Ledger.Lost, result.Violations)
			}
		})
	}
}
