// Package nemesis injects faults into a room on several servers: three chatd processes, each with
// another transport, and three NATS server processes. They are killed, stopped, cut off and slowed
// down, one after the other, while clients talk on each chatd. A checker compares what the clients
// received with what docs/cluster.md promises. (In tests of distributed systems a fault injector
// is called a nemesis.)
//
// With -nemesis (make nemesis) faults are injected for -nemesis.time, in an order that a seed
// decides, and each process has a network namespace of its own if that is possible. Without it the
// tests inject four faults, on loopback, and assert no times.
//
// The servers under test are not linked: the test starts its own program again as NATS servers
// and as chatd. All of them die with the test, also when it is interrupted. Only TestTransports
// has its servers in this process, because it is about clients and not about faults.
package nemesis

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends/all"
	"chatbench/server/command"
)

var (
	full  = flag.Bool("nemesis", false, "inject faults for -nemesis.time, not only four")
	lasts = flag.Duration("nemesis.time", 15*time.Minute, "`TIME` that -nemesis takes")
	seed  = flag.Uint64("nemesis.seed", 0, "`N` that decides the plan of -nemesis; 0: a random one")
	keep  = flag.String("nemesis.dir", "", "keep logs and stores in a new directory in `DIR`")
)

// Environment variables that say what this program is to be.
const (
	natsVariable      = "NEMESIS_NATS"    // a NATS server: a natsSpec
	chatdVariable     = "NEMESIS_CHATD"   // chatd
	namespaceVariable = "NEMESIS_NETWORK" // the test, in a network namespace of its own
)

// testContext ends when the tests are interrupted.
var testContext context.Context

func TestMain(m *testing.M) {
	if spec := os.Getenv(natsVariable); spec != "" {
		if err := runNATS(spec, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if os.Getenv(chatdVariable) != "" {
		command.Main(all.All()...)
	}
	flag.Set("test.parallel", "2") // both tests wait more than they compute
	flag.Parse()
	if *full {
		enterNetworkNamespace()
	}
	var stop context.CancelFunc
	testContext, stop = signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	context.AfterFunc(testContext, stop) // a second signal ends the process at once
	os.Exit(m.Run())
}

const (
	checkEvery = 12 // faults between two checks of names and lines
	// maxAfterElection is how long the room may take to go on after NATS servers have elected another
	// leader of the stream. chatd has no influence on how long the election takes: each NATS server
	// waits for 4 to 9 s before it asks the others for their votes.
	maxAfterElection = 3 * time.Second
	// maxNamesAgree is how long the chatd may take to agree on the names in the room when all faults
	// are healed: the names of one that has died are free after 20 s.
	maxNamesAgree = 25 * time.Second
)

// shortPlan is the faults that are injected without -nemesis.
func shortPlan() (list []fault) {
	for _, f := range []fault{
		{node: 1, lasts: 300 * time.Millisecond, kind: kind{name: "kill-chatd"}},
		{node: 0, kind: kind{name: "kill-leader"}},
		{node: 2, lasts: 1500 * time.Millisecond, kind: kind{name: "pause-chatd"}},
		{node: 0, lasts: 2 * time.Second, kind: kind{name: "slow-link"}, delay: 200 * time.Millisecond, rate: 64 << 10},
	} {
		i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == f.kind.name })
		f.kind = kinds[i]
		list = append(list, f)
	}
	return list
}

// TestNemesis injects one fault after the other.
func TestNemesis(t *testing.T) {
	t.Parallel()
	if !*full {
		if testing.Short() {
			t.Skip("takes some 30 s")
		}
		cl := newCluster(t)
		began := time.Now()
		cl.waitForProgress(began)
		c := campaign{cluster: cl, began: began, print: func(line string) { t.Log(line) }}
		for _, f := range shortPlan() {
			c.inject(f)
		}
		c.conclude()
		return
	}
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano()) % 1_000_000
	}
	cl := newCluster(t)
	c := campaign{cluster: cl, began: time.Now(), seed: *seed, print: func(line string) { fmt.Println(line) }}
	c.print(fmt.Sprintf("nemesis: seed %d for %v; repeat it with -nemesis.seed %d", *seed, *lasts, *seed))
	if noBridge != "" {
		c.print("nemesis: cut-nats and cut-chatd are left out: " + noBridge)
	}
	cl.waitForProgress(c.began)
	for p := newPlan(*seed); time.Since(c.began) < *lasts && cl.ctx.Err() == nil && !t.Failed(); {
		c.inject(p.next())
		if c.faults%checkEvery == 0 {
			c.check()
			c.noLeaving.Store(false)
		}
		cl.pause(time.Second)
	}
	c.conclude()
}

// campaign is the faults of a test and their results.
type campaign struct {
	*cluster
	began    time.Time
	seed     uint64 // 0: there is none
	print    func(string)
	faults   int
	by       map[string]int // faults by kind
	skipped  map[string]int // faults that were left out, by kind
	reported int            // violations that were reported
	wrong    int            // wrong names
	lines    verdict
}

// inject injects one fault, and waits until the room goes on.
func (c *campaign) inject(f fault) {
	c.Helper()
	if c.by == nil {
		c.by, c.skipped = map[string]int{}, map[string]int{}
	}
	if f.kind.bridged && !c.bridged {
		c.skipped[f.kind.name]++
		return
	}
	c.faults++
	c.by[f.kind.name]++
	note, err := f.kind.do(c.cluster, f)
	if err != nil {
		c.Errorf("%v: %v", f, err)
		return
	}
	took := c.waitForProgress(time.Now())
	line := fmt.Sprintf("%4d %8s  %v: healed, on after %v", c.faults, time.Since(c.began).Round(100*time.Millisecond), f, took.Round(time.Millisecond))
	if note != "" {
		line += "; " + note
	}
	c.print(line)
	c.report()
}

// report reports the violations since its last call, and the processes that have ended by themselves.
func (c *campaign) report() {
	c.Helper()
	for _, text := range c.unexpectedEnds() {
		c.violate("%s", text)
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, v := range c.violations[c.reported:] {
		c.Error(v)
	}
	c.reported = len(c.violations)
}

// check checks the lines that were received so far, and waits until all chatd agree on the names in
// the room. Then it checks that a login with a name that is taken is denied. Until the caller resets
// c.noLeaving, clients do not leave by themselves.
func (c *campaign) check() {
	c.Helper()
	c.noLeaving.Store(true)
	c.look(nil)
	var wrong []string
	agreed, took := c.await(func() bool {
		wrong = c.askWho()
		return len(wrong) == 0
	})
	if c.ctx.Err() != nil {
		return
	}
	c.print(fmt.Sprintf("     %8s  names agree: %v, after %v; %d lines acknowledged, lost %d, twice %d, out of order %d",
		time.Since(c.began).Round(100*time.Millisecond), agreed, took.Round(time.Millisecond), c.lines.acknowledged, c.lines.lost, c.lines.twice, c.lines.disordered))
	if *full && took > maxNamesAgree {
		c.Errorf("all chatd agree on the names after %v, want at most %v", took, maxNamesAgree)
	}
	if agreed {
		wrong = c.checkTakenNames()
	}
	c.wrong += len(wrong)
	for _, text := range wrong {
		c.Error(text)
	}
}

// askWho asks each chatd who is in the room, and returns what is wrong with the answers.
func (c *campaign) askWho() (wrong []string) {
	all, by := c.in()
	listed := map[string][]string{}
	for node := range nodes {
		if by[node] < clientsPerServer-1 {
			return []string{fmt.Sprintf("%d clients are in the room on chatd%d, want %d", by[node], node, clientsPerServer-1)}
		}
		v := all[slices.IndexFunc(all, func(v *session) bool { return v.node == node })]
		if err := v.asks(); err != nil {
			return []string{err.Error()}
		}
		for until := time.Now().Add(5 * time.Second); v.answer() == nil && time.Now().Before(until); {
			c.pause(5 * time.Millisecond)
		}
		listed[fmt.Sprint("chatd", node)] = v.answer()
	}
	names := nameList(all)
	if !slices.Contains(names, contestedName) {
		return []string{"nobody is in the room as " + contestedName + ", a name that several clients want"}
	}
	return wrongNames(names, listed)
}

// nameList is the names of sessions.
func nameList(sessions []*session) (list []string) {
	for _, v := range sessions {
		list = append(list, v.name)
	}
	return list
}

// look checks all lines so far. quiet is the sessions that have received all lines.
func (c *campaign) look(quiet []*session) {
	c.Helper()
	c.lines = c.checkLines(quiet)
	for _, text := range c.lines.details {
		c.Error(text)
	}
}

// conclude lets all clients stop talking and receive the rest, checks all lines, and prints the row.
func (c *campaign) conclude() {
	c.Helper()
	if c.ctx.Err() == nil {
		c.check()
		c.stopTalking()
		all, _ := c.in()
		all = slices.DeleteFunc(all, func(v *session) bool { return v.left.Load() }) // it is leaving since before check
		for _, v := range all {
			if err := v.say(true); err != nil {
				c.Errorf("%s: %v", v.name, err)
			}
		}
		c.await(func() bool {
			return !slices.ContainsFunc(all, func(v *session) bool {
				return v.isIn() && slices.ContainsFunc(all, func(of *session) bool { return of.isIn() && v.missing(of) > 0 })
			})
		})
		c.look(all)
		c.report()
	}
	c.row()
}

// heading is the heading of the table of results; docs/cluster.md has it too.
const heading = "| chatd over | what was done | seen | bound | result |\n|---|---|---|---|---|\n"

// row prints the campaign as a line of the table.
func (c *campaign) row() {
	c.Helper()
	var done []string
	for _, k := range kinds {
		if n := c.by[k.name]; n > 0 {
			done = append(done, fmt.Sprintf("%s %d", k.name, n))
		}
		if n := c.skipped[k.name]; n > 0 {
			done = append(done, fmt.Sprintf("%s left out %d times: %s", k.name, n, noBridge))
		}
	}
	what := fmt.Sprintf("%d faults in %v", c.faults, time.Since(c.began).Round(time.Second))
	if c.seed > 0 {
		what += fmt.Sprintf(", seed %d", c.seed)
	}
	seen := []string{
		fmt.Sprintf("%d lines acknowledged of %d said", c.lines.acknowledged, c.lines.said),
		fmt.Sprintf("lost %d", c.lines.lost), fmt.Sprintf("heard twice %d", c.lines.twice), fmt.Sprintf("out of order %d", c.lines.disordered),
		fmt.Sprintf("wrong names %d", c.wrong), fmt.Sprintf("ended without a fault, or stuck %d", len(c.violations)),
	}
	bounds := []string{"", "0", "0", "0", "0", "0"}
	if c.elections > 0 {
		seen = append(seen, fmt.Sprintf("when the stream's leader died, NATS had another within %v, and the room went on within %v of that",
			c.elections.Round(10*time.Millisecond), c.afterElection.Round(10*time.Millisecond)))
		bounds = append(bounds, "≤ "+maxAfterElection.String())
		if *full && c.afterElection > maxAfterElection {
			c.Errorf("the room went on %v after NATS had another leader, want at most %v", c.afterElection, maxAfterElection)
		}
	}
	result := "pass"
	switch {
	case c.ctx.Err() != nil:
		result = "interrupted"
		c.Error("interrupted")
	case c.Failed():
		result = "**FAIL**"
	}
	cells := []string{strings.Join(transports[:], ", "), what + ": " + strings.Join(done, ", "), strings.Join(seen, "; "), strings.Join(bounds[1:], "; "), result}
	c.print("\n" + heading + "| " + strings.Join(cells, " | ") + " |")
}
