package bench

import (
	"context"
	"slices"
	"time"

	"chatbench/bench/record"
	"chatbench/bench/report"
	"chatbench/bench/stats"
)

// A run that takes as many rounds as it needs is over at the latest after twice
// as many as the last look has: void rounds are replaced, but not for ever. It
// gives up when, after so many rounds, most of what was measured is void.
const (
	replaced = 2
	patience = 4
)

// measureAll goes through the cells in their order, round by round. Where the
// plan has looks, arms leave it when they are decided, and it may end early.
func (b *bench) measureAll(ctx context.Context) error {
	m := &b.run.Manifest
	for left := b.plan; ; {
		n := 0
		for n < len(left) && left[n].Round == left[0].Round {
			n++
		}
		cells := slices.DeleteFunc(slices.Clone(left[:n]), b.isDecided)
		left = left[n:]
		if m.Ended = b.over(cells); m.Ended != "" {
			return nil
		}
		begun := time.Now()
		if err := b.measureRound(ctx, cells); err != nil {
			return err
		}
		b.lastRound = time.Since(begun)
		if len(m.Looks) > 0 {
			b.look()
		}
		b.tell(cells[0].Round)
	}
}

// measureRound measures the cells of a round, those of arms that take turns
// together.
func (b *bench) measureRound(ctx context.Context, cells []record.Cell) error {
	for len(cells) > 0 {
		n := b.together(cells)
		b.progress(cells[0], 0)
		rounds, err := b.measures(ctx, cells[:n])
		if err != nil {
			return err
		}
		b.run.Manifest.Order = append(b.run.Manifest.Order, cells[:n]...)
		cells = cells[n:]
		b.done, b.took = b.done+n, time.Since(b.begun)
		b.run.Rounds = append(b.run.Rounds, rounds...)
		for _, round := range rounds {
			if !round.Counts() && b.cfg.Void != nil {
				b.cfg.Void(round)
			}
		}
	}
	return nil
}

// together is how many of the next cells are measured at once.
func (b *bench) together(cells []record.Cell) int {
	n := 1
	if b.loads[cells[0].Load].Sliced() {
		for n < len(cells) && cells[n].Load == cells[0].Load {
			n++
		}
	}
	return n
}

// isDecided says whether a cell need not be measured any more. The null server
// takes part as long as anybody does.
func (b *bench) isDecided(c record.Cell) bool {
	decided := b.decided[c.Load]
	if c.Arm != record.NullArm {
		return slices.Contains(decided, c.Arm)
	}
	return !slices.ContainsFunc(b.run.Manifest.Arms, func(a record.Arm) bool { return !slices.Contains(decided, a.Name) })
}

// look asks which arms are decided. The reference and its A/A arm go on until
// all others are.
func (b *bench) look() {
	m := &b.run.Manifest
	for _, l := range m.Loads {
		now := report.Decided(b.run, l)
		b.decided[l.Name] = append(b.decided[l.Name], now...)
		others := 0
		for _, a := range m.Arms {
			if a.Name != m.Reference && !a.Again && !slices.Contains(b.decided[l.Name], a.Name) {
				others++
			}
		}
		if others == 0 && (len(m.Arms) > 2 || len(now) > 0) {
			for _, a := range m.Arms {
				b.decided[l.Name] = append(b.decided[l.Name], a.Name)
			}
		}
	}
}

// Look is where a run stands between two rounds.
type Look struct {
	Round int // that has ended
	Loads []report.Standing
	Looks []int         // rounds that count after which an arm may be decided; none: after all rounds
	Left  time.Duration // of the budget, where there is one
}

// tell tells who looks on where the run stands. Nothing is measured meanwhile.
func (b *bench) tell(round int) {
	if b.cfg.Look == nil || round == 0 {
		return
	}
	m := &b.run.Manifest
	look := Look{Round: round, Looks: m.Looks}
	if b.cfg.looks() {
		look.Left = max(0, m.Budget-time.Since(b.begun))
	}
	for _, l := range m.Loads {
		look.Loads = append(look.Loads, report.Stand(b.run, l, b.decided[l.Name]))
	}
	b.cfg.Look(look)
}

// over says why the run ends before the cells that would be next; "": it does not.
func (b *bench) over(cells []record.Cell) record.End {
	m := &b.run.Manifest
	rounds := b.rounds()
	switch {
	case len(m.Looks) == 0 && len(cells) == 0:
		return record.AllRounds
	case len(m.Looks) == 0:
		return ""
	case len(cells) == 0 && len(b.plan) > 0 && rounds == b.plan[len(b.plan)-1].Round:
		return record.AllRounds
	case len(cells) == 0:
		return record.AllDecided
	case rounds >= patience && report.MostlyVoid(b.run):
		return record.TooDisturbed
	case rounds > 0 && time.Since(b.begun)+b.lastRound > m.Budget:
		return record.OutOfBudget
	}
	return ""
}

// rounds is how many have been begun.
func (b *bench) rounds() int {
	if order := b.run.Manifest.Order; len(order) > 0 {
		return order[len(order)-1].Round
	}
	return 0
}

// budget is what a run may take that is given none: two minutes for two
// backends, ten for twelve.
func budget(backends int) time.Duration {
	return min(max(2*time.Minute+time.Duration(backends-2)*48*time.Second, 2*time.Minute), 10*time.Minute)
}

// mostRounds is how many are planned at most.
func (p Plan) mostRounds() int {
	if p.looks() {
		return replaced * stats.Looks[len(stats.Looks)-1]
	}
	return p.Rounds
}
