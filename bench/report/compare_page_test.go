package report

import (
	"testing"

	"chatbench/bench/record"
)

// comparisons is pairs of every kind.
func comparisons(t *testing.T) map[string]*Pair {
	t.Helper()
	other := scaled(t, 2, "epoll", 1.1, 1.3)
	other.Env.CPU, other.Manifest.Commit, other.Manifest.Rules.StealMax = "Another CPU of a long name with many words @ 3.20GHz", "fedcba9876543210", 0.5
	other.Manifest.Loads[1].Window = 64
	all := map[string]*Pair{
		"same":   ComparePair(sample(t), sampleOf(t, 2), "results/a", "results/b"),
		"differ": ComparePair(sample(t), other, "results/a", "results/b"),
		"many":   ComparePair(manyArms(t), manyArms(t), "results/a", "results/b"),
	}
	dir := "testdata/schema2-broadcast"
	run, _, err := record.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	all["reference"] = ComparePair(run, run, dir, dir)
	return all
}

// TestComparePage looks at the page of every kind of pair as TestPage does.
func TestComparePage(t *testing.T) {
	b := startBrowser(t)
	for name, pair := range comparisons(t) {
		page, err := pair.HTML()
		if err != nil {
			t.Fatal(err)
		}
		for _, as := range []seen{{390, true, false}, {1280, false, false}, {800, false, true}} {
			b.open(page, as)
			b.Shoot("compare-" + name + "-" + as.String())
			for _, script := range []string{geometry, access} {
				var wrong []string
				b.Eval(script, &wrong)
				for _, w := range wrong[:min(len(wrong), 8)] {
					t.Errorf("%s, %v: %s", name, as, w)
				}
			}
			for _, line := range b.noise() {
				t.Errorf("%s, %v: %s", name, as, line)
			}
		}
	}
}
