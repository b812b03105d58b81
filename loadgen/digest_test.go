package loadgen

import (
	"crypto/sha256"
	"testing"
)

// TestDigest: the digest is always the same, and differs if anything differs on which agents have to agree.
func TestDigest(t *testing.T) {
	of := func(threads int, change func(*Config)) string {
		cfg := Config{Clients: 20, Senders: 4, Rate: 1000, Size: 33, Seed: 1}
		if change != nil {
			change(&cfg)
		}
		h := sha256.New()
		digest(h, cfg, threads)
		return string(h.Sum(nil))
	}
	seen := map[string]bool{of(2, nil): true}
	if !seen[of(2, nil)] {
		t.Error("it is another every time")
	}
	for _, other := range []string{
		of(3, nil), of(2, func(c *Config) { c.Seed = 2 }), of(2, func(c *Config) { c.Rate = 1001 }), of(2, func(c *Config) { c.Poisson = true }),
		of(2, func(c *Config) { c.Size = 34 }), of(2, func(c *Config) { c.Clients = 21 }), of(2, func(c *Config) { c.Senders = 5 }),
	} {
		if seen[other] {
			t.Error("one of the changes is not in it")
		}
		seen[other] = true
	}
}
