// Package backendtest is the conformance suite: what every transport has to
// pass, over real TCP on 127.0.0.1, also under the race detector. The test
// file of a new transport is five lines:
//
//	package mine_test
//
//	func TestConformance(t *testing.T) { backendtest.Run(t, mine.Backend) }
//
// Each case has its own server and sees it from outside: through the sockets
// of its clients, the counters and what the room counts. Nothing is slept for
// where something can be waited for, and every wait has an end. The cases run
// one after the other, and no other test may run beside them: some count the
// descriptors of the process or take them all.
//
// A transport that starts processes of its own runs os.Executable, which here
// is the test binary; it has to catch its children in an init of its package.
//
// A case that fails also logs how connections ended, as the room counts it: a client
// that met the end of its stream where it should not was ended for a reason, such
// as slow or flood.
//
// A transport may live in another module: see docs/transport-out-of-tree.md.
//
// The suite refuses to measure. Where a case bounds a time, the bound is a hundred
// times what is usual and more.
package backendtest

import (
	"maps"
	"slices"
	"testing"
	"time"

	"chatbench/backends"
)

// patience is how long anything may take before it counts as not happening;
// in a case that is listed as a gap it is shorter, since it is not expected.
const (
	patience    = 20 * time.Second
	gapPatience = 3 * time.Second
)

// scenario is one case of the suite.
type scenario struct {
	name string
	run  func(*lab)
}

func scenarios() []scenario {
	return slices.Concat(talkScenarios, framingScenarios, relayScenarios, endingScenarios, brokenScenarios,
		poolScenarios, loginScenarios, slowScenarios, drainScenarios, socketScenarios, limitScenarios, taskScenarios,
		soakScenarios, hostileScenarios, heldScenarios, proxyScenarios)
}

// Run holds a transport to the contract. What it lists in Gaps is run too, and
// has to fail: a gap that was closed must leave the list.
//
// It is skipped where the transport cannot run.
func Run(t *testing.T, b backends.Backend) { run(t, b, scenarios()) }

func run(t *testing.T, b backends.Backend, cases []scenario) {
	if err := b.Runs(); err != nil {
		t.Skipf("%s cannot run on this machine: %v", b.Name, err)
	}
	for _, name := range slices.Sorted(maps.Keys(b.Gaps)) {
		if !slices.ContainsFunc(cases, func(s scenario) bool { return s.name == name }) {
			t.Errorf("Gaps names %q, which is no case of the suite", name)
		}
	}
	for _, s := range cases {
		t.Run(s.name, func(t *testing.T) {
			reason, gap := b.Gaps[s.name]
			if !gap {
				s.run(&lab{tester: t, backend: b, patience: patience})
				return
			}
			failure := failureOf(t.Name(), s, b)
			if failure == "" {
				t.Fatalf("passes, though Gaps says: %s", reason)
			}
			t.Skipf("gap: %s (it fails with: %s)", reason, failure)
		})
	}
}

// tester is the part of testing.T that cases use, so that one can be run
// without failing the test it runs in. Fatalf is for the case's own goroutine.
type tester interface {
	Name() string
	Failed() bool
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Cleanup(func())
}

var _ tester = (*testing.T)(nil)
