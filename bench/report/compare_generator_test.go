package report

import "testing"

// TestPairThreads: that another number of threads drove the load is a difference; an older run
// of one CPU had one thread, and one of several does not say.
func TestPairThreads(t *testing.T) {
	for _, c := range []struct {
		threads int
		cpus    []int
		differs string // from a run with two threads on CPUs 1 and 2
	}{{2, []int{1, 2}, ""}, {1, []int{1, 2}, "1"}, {0, []int{1, 2}, "-"}} {
		a, b := sample(t), sample(t)
		a.Manifest.GeneratorThreads, a.Manifest.GeneratorCPUs = c.threads, c.cpus
		b.Manifest.GeneratorThreads, b.Manifest.GeneratorCPUs = 2, []int{1, 2}
		ds := ComparePair(a, b, "a", "b").Differences
		switch {
		case c.differs == "" && len(ds) == 0:
		case c.differs == "" || len(ds) != 1 || ds[0].What != "generator's threads" || ds[0].B != "2" || ds[0].A != c.differs && c.differs != "-" || ds[0].A != "" && c.differs == "-":
			t.Errorf("%+v: %+v", c, ds)
		}
	}
	m := &sample(t).Manifest
	if m.GeneratorThreads = 0; m.Threads() != 1 {
		t.Errorf("an older run on one CPU had %d threads", m.Threads())
	}
}
