// Package backendtest is the conformance suite that every transport has to pass, over
// real TCP on 127.0.0.1, also under the race detector. The test file of a new transport
// is five lines:
//
//	package mine_test
//
//	func TestConformance(t *testing.T) { backendtest.Run(t, mine.Backend) }
//
// Each case starts its own server and observes it from outside: through the sockets of
// its clients, the counters and the room's statistics. Cases wait for conditions, with
// a timeout, and do not sleep where they can wait. They run one after the other, and no
// other test may run at the same time: some count the descriptors of the process, or
// use up all of them.
//
// A transport that starts processes of its own runs os.Executable, which here is the
// test binary. It has to recognize its children in an init function of its package.
//
// A case that fails also logs for which reasons the room ended connections, such as
// slow or flood.
//
// A transport may live in another module: see docs/transport-out-of-tree.md.
//
// The suite does not measure. Where a case bounds a time, the bound is at least a
// hundred times the usual time.
package backendtest

import (
	"maps"
	"slices"
	"testing"
	"time"

	"chatbench/backends"
)

// timeout is how long a case waits for anything. gapTimeout is the same in a case that
// is listed as a gap and expected to fail. patience is how long a room waits for clients,
// where a case is not about that: a busy machine may leave a client, or its process,
// without a processor for seconds.
const (
	timeout    = time.Minute
	gapTimeout = 3 * time.Second
	patience   = time.Minute
)

// scenario is one case of the suite.
type scenario struct {
	name string
	run  func(*harness)
}

func scenarios() []scenario {
	return slices.Concat(talkScenarios, framingScenarios, relayScenarios, endingScenarios, brokenScenarios,
		poolScenarios, loginScenarios, slowScenarios, drainScenarios, socketScenarios, limitScenarios, taskScenarios,
		soakScenarios, hostileScenarios, heldScenarios, proxyScenarios)
}

// Run checks a transport against the contract. The cases in its Gaps are run too, and
// have to fail: a gap that was closed must be removed from the list.
//
// Run skips the test if the transport cannot run on this machine.
func Run(t *testing.T, b backends.Backend) { run(t, b, scenarios()) }

func run(t *testing.T, b backends.Backend, cases []scenario) {
	if err := b.Runs(); err != nil {
		t.Skipf("%s cannot run on this machine: %v", b.Name, err)
	}
	for _, name := range slices.Sorted(maps.Keys(b.Gaps)) {
		if !slices.ContainsFunc(cases, func(s scenario) bool { return s.name == name }) {
			t.Errorf("Gaps lists %q, which is not a case of the suite", name)
		}
	}
	for _, s := range cases {
		t.Run(s.name, func(t *testing.T) {
			reason, gap := b.Gaps[s.name]
			if !gap {
				s.run(&harness{tester: t, backend: b, timeout: timeout})
				return
			}
			failure := failureOf(t.Name(), s, b)
			if failure == "" {
				t.Fatalf("the case passes, though it is in Gaps (%s): remove it there", reason)
			}
			t.Skipf("gap: %s (it fails with: %s)", reason, failure)
		})
	}
}

// tester is the part of testing.T that cases use, so that a case can run without failing
// its test. Only the case's own goroutine may call Fatalf.
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
