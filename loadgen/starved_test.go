package loadgen

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// TestStarved: the generator waits for a server that is kept from its CPU, and what the server
// then delivers was not lost. What was lost counts as lost, however much the server starves, and
// the generator does not wait for ever.
func TestStarved(t *testing.T) {
	for _, c := range []struct {
		name    string
		drain   time.Duration
		stalls  bool // after the first message, to the end of the run or until Starved was called asked times
		asked   int
		damage  string
		starved bool
		err     error
		lost    bool
	}{
		{"waits for its CPU", 100 * time.Millisecond, true, 2, "", true, nil, false},
		{"sleeps", 30 * time.Millisecond, true, 0, "", false, nil, true},
		{"waits for ever", 30 * time.Millisecond, true, 0, "", true, ErrStarved, false},
		{"loses and waits", 100 * time.Millisecond, false, 0, "drop", true, nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			goOn := make(chan struct{})
			end := sync.OnceFunc(func() { close(goOn) })
			defer end()
			r := newRoom(t, 3, func(r *room) {
				r.script.Seed, r.script.Size, r.messages, r.damage = 1, 64, 1<<40, c.damage
				r.stall = func(said int) time.Duration {
					if c.stalls && said == 1 {
						<-goOn
					}
					return 0
				}
			})
			asked := 0
			cfg := Config{
				Server: r.Addr().String(), Clients: 4, Senders: 2, Rate: 2000, Duration: 50 * time.Millisecond, Drain: c.drain, Seed: 1,
				Starved: func() bool { // on the generator's only thread
					if asked++; asked == c.asked {
						end()
					}
					return c.starved
				},
			}
			if c.damage != "" {
				cfg.Duration = 300 * time.Millisecond // one of them is damaged for sure
			}
			result, err := Run(context.Background(), cfg)
			if !errors.Is(err, c.err) {
				t.Fatalf("%v, want %v", err, c.err)
			}
			if asked < c.asked || asked == 0 && c.damage == "" {
				t.Errorf("asked %d times whether the server starves", asked)
			}
			if err == nil && (result.Ledger.Lost > 0) != c.lost {
				t.Errorf("%d lost: %v", result.Ledger.Lost, result.Violations)
			}
		})
	}
}
