package bench

import (
	"context"
	"slices"
	"time"

	"chatbench/bench/record"
	"chatbench/bench/report"
	"chatbench/bench/stats"
)

// A run that takes as many rounds as it needs ends at the latest after twice
// the rounds of the last look: void rounds are replaced, but not without limit. It
// gives up if most of what was measured is void after this number of rounds.
const (
	replaced = 2
	patience = 4
)

// measureAll goes through the cells in order, round by round. If the
// plan has looks, arms are left out once they are decided, and the run may end early.
func (b *bench) measureAll(ctx context.Context) error {
	m := &b.run.Manifest
	for left := b.plan; ; {
		n := 0
		for n < len(left) && left[n].Round == left[0].Round {
			n++
		}
		cells := slices.DeleteFunc(slices.Clone(left[:n]), b.isDecided)
		left = left[n:]
		if m.Ended = b.endReason(cells); m.Ended != "" {
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
		b.reportLook(cells[0].Round)
	}
}

// measureRound measures the cells of a round; arms that take turns are measured
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

// together is how many of the next cells are measured together.
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
// is measured as long as any arm is.
func (b *bench) isDecided(c record.Cell) bool {
	decided := b.decided[c.Load]
	if c.Arm != record.NullArm {
		return slices.Contains(decided, c.Arm)
	}
	return !slices.ContainsFunc(b.run.Manifest.Arms, func(a record.Arm) bool { return !slices.Contains(decided, a.Name) })
}

// look finds the arms that are decided. The reference and its A/A arm continue until
// all others are decided.
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

// Look is the state of a run between two rounds.
type Look struct {
	Round int // that has ended
	Loads []report.Standing
	Looks []int         // rounds that count after which an arm may be decided; none: after all rounds
	Left  time.Duration // of the budget, where there is one
}

// reportLook calls Config.Look. Nothing is measured at that time.
func (b *bench) reportLook(round int) {
	if b.cfg.Look == nil || round == 0 {
		return
	}
	m := &b.run.Manifest
	look := Look{Round: round, Looks: m.Looks}
	if b.cfg.looks() {
		look.Left = max(0, m.Budget-time.Since(b.begun))
	}
	for _, l := range m.Loads {
		look.Loads = append(look.Loads, report.StandingOf(b.run, l, b.decided[l.Name]))
	}
	b.cfg.Look(look)
}

// endReason says why the run ends before the next cells; "": it does not end.
func (b *bench) endReason(cells []record.Cell) record.End {
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

// rounds is how many rounds have begun.
func (b *bench) rounds() int {
	if order := b.run.Manifest.Order; len(order) > 0 {
		return order[len(order)-1].Round
	}
	return 0
}

// budget is the budget of a run whose plan has none: two minutes for two
// backends, ten for twelve.
func budget(backends int) time.Duration {
	return min(max(2*time.Minute+time.Duration(backends-2)*48*time.Second, 2*time.Minute), 10*time.Minute)
}

// mostRounds is how many rounds are planned at most.
func (p Plan) mostRounds() int {
	if p.looks() {
		return replaced * stats.Looks[len(stats.Looks)-1]
	}
	return p.Rounds
}
