// Package nemesis makes trouble for a room on several servers: three chatd, each over another
// transport, and three NATS servers, each a process, which are killed, stopped, cut off and made
// slow, one after the other, while people talk by way of each chatd. A checker holds what they
// have heard against what docs/cluster.md promises.
//
// With -nemesis (make nemesis) faults go on for -nemesis.time, by a plan that a seed decides, and
// nodes have network namespaces of their own if that is possible. Without it there are four
// faults, on loopback, for every run of the tests; then no time is asserted.
//
// It refuses to link a server under test: the test's program is started again as a NATS server
// and as chatd. All of them die with the test, whenever that is interrupted. TestTransports
// alone has its servers in this process, as it is about clients and not about faults.
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
	full  = flag.Bool("nemesis", false, "make trouble for -nemesis.time, in place of four faults")
	lasts = flag.Duration("nemesis.time", 15*time.Minute, "`TIME` that -nemesis takes")
	seed  = flag.Uint64("nemesis.seed", 0, "`N` that decides the plan of -nemesis; 0: another one each time")
	keep  = flag.String("nemesis.dir", "", "`DIR` in which a directory with logs and stores is left")
)

// What this program is, by its environment.
const (
	natsVariable   = "NEMESIS_NATS"    // a NATS server: a natsSpec
	chatdVariable  = "NEMESIS_CHATD"   // chatd
	insideVariable = "NEMESIS_NETWORK" // the test, in a network namespace of its own
)

// life ends when the tests are interrupted.
var life context.Context

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
	flag.Parse()
	if *full {
		enterNetwork()
	}
	var stop context.CancelFunc
	life, stop = signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	context.AfterFunc(life, stop) // a second signal ends the process at once
	os.Exit(m.Run())
}

const (
	checkEvery = 12 // faults between two looks at names and lines
	// laterMost is how long the room may take to go on when NATS servers have agreed on who leads
	// the stream in place of one that died. How long they take is not for chatd to say: each waits
	// for 4 to 9 s before it asks the others for their votes.
	laterMost = 3 * time.Second
	// agreeMost is how long chatd may take to agree on who is there when all is healed: the names of
	// one that has died are free after 20 s.
	agreeMost = 25 * time.Second
)

// shortPlan is the faults without -nemesis.
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

// TestNemesis makes trouble, one fault after the other.
func TestNemesis(t *testing.T) {
	if !*full {
		if testing.Short() {
			t.Skip("takes some 30 s")
		}
		w := newWorld(t)
		began := time.Now()
		w.goesOn(began)
		c := campaign{world: w, began: began, print: func(line string) { t.Log(line) }}
		for _, f := range shortPlan() {
			c.inflict(f)
		}
		c.conclude()
		return
	}
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano()) % 1_000_000
	}
	w := newWorld(t)
	c := campaign{world: w, began: time.Now(), seed: *seed, print: func(line string) { fmt.Println(line) }}
	c.print(fmt.Sprintf("nemesis: seed %d for %v; repeat it with -nemesis.seed %d", *seed, *lasts, *seed))
	if noBridge != "" {
		c.print("nemesis: cut-nats and cut-chatd are left out: " + noBridge)
	}
	w.goesOn(c.began)
	for p := newPlan(*seed); time.Since(c.began) < *lasts && w.living.Err() == nil && !t.Failed(); {
		c.inflict(p.next())
		if c.faults%checkEvery == 0 {
			c.check()
			c.still.Store(false)
		}
		w.pause(time.Second)
	}
	c.conclude()
}

// campaign is the faults of a test and what came of them.
type campaign struct {
	*world
	began    time.Time
	seed     uint64 // 0: there is none
	print    func(string)
	faults   int
	by       map[string]int // faults by kind
	left     map[string]int // faults that were left out
	reported int            // violations
	wrong    int            // names
	lines    verdict
}

// inflict does one fault, and waits until the room goes on.
func (c *campaign) inflict(f fault) {
	c.Helper()
	if c.by == nil {
		c.by, c.left = map[string]int{}, map[string]int{}
	}
	if f.kind.bridged && !c.bridged {
		c.left[f.kind.name]++
		return
	}
	c.faults++
	c.by[f.kind.name]++
	note, err := f.kind.do(c.world, f)
	if err != nil {
		c.Errorf("%v: %v", f, err)
		return
	}
	took := c.goesOn(time.Now())
	line := fmt.Sprintf("%4d %8s  %v: healed, on after %v", c.faults, time.Since(c.began).Round(100*time.Millisecond), f, took.Round(time.Millisecond))
	if note != "" {
		line += "; " + note
	}
	c.print(line)
	c.report()
}

// report fails for what was violated since it was last called, and if something has ended by itself.
func (c *campaign) report() {
	c.Helper()
	for _, text := range c.fallen() {
		c.violate("%s", text)
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, v := range c.violations[c.reported:] {
		c.Error(v)
	}
	c.reported = len(c.violations)
}

// check looks at the lines that were heard so far, and waits until all chatd agree who is in the
// room; then nobody gets in under the name of somebody who is. From then on nobody leaves unasked.
func (c *campaign) check() {
	c.Helper()
	c.still.Store(true)
	c.look(nil)
	var wrong []string
	agreed, took := c.await(func() bool {
		wrong = c.askWho()
		return len(wrong) == 0
	})
	if c.living.Err() != nil {
		return
	}
	c.print(fmt.Sprintf("     %8s  names agree: %v, after %v; %d lines acknowledged, lost %d, twice %d, out of order %d",
		time.Since(c.began).Round(100*time.Millisecond), agreed, took.Round(time.Millisecond), c.lines.acknowledged, c.lines.lost, c.lines.twice, c.lines.disordered))
	if *full && took > agreeMost {
		c.Errorf("all chatd agree on who is there after %v, want %v at most", took, agreeMost)
	}
	if agreed {
		wrong = c.rivals()
	}
	c.wrong += len(wrong)
	for _, text := range wrong {
		c.Error(text)
	}
}

// askWho asks one client of each chatd who is in the room, and says what is wrong with the answers.
func (c *campaign) askWho() (wrong []string) {
	all, by := c.in()
	told := map[string][]string{}
	for node := range nodes {
		if by[node] < people-1 {
			return []string{fmt.Sprintf("%d people are in the room by way of chatd%d, want %d", by[node], node, people-1)}
		}
		v := all[slices.IndexFunc(all, func(v *visit) bool { return v.node == node })]
		if err := v.asks(); err != nil {
			return []string{err.Error()}
		}
		for until := time.Now().Add(5 * time.Second); v.answer() == nil && time.Now().Before(until); {
			c.pause(5 * time.Millisecond)
		}
		told[fmt.Sprint("chatd", node)] = v.answer()
	}
	names := nameList(all)
	if !slices.Contains(names, wanted) {
		return []string{"nobody is in the room as " + wanted + ", whom several want to be"}
	}
	return wrongNames(names, told)
}

// nameList is the names of visits.
func nameList(visits []*visit) (list []string) {
	for _, v := range visits {
		list = append(list, v.name)
	}
	return list
}

// look has the checker look at all lines so far.
func (c *campaign) look(quiet []*visit) {
	c.Helper()
	c.lines = c.judge(quiet)
	for _, text := range c.lines.details {
		c.Error(text)
	}
}

// conclude has everybody stop to talk, hear the rest, and looks at all of it.
func (c *campaign) conclude() {
	c.Helper()
	if c.living.Err() == nil {
		c.check()
		c.hush()
		all, _ := c.in()
		for _, v := range all {
			if err := v.say(true); err != nil {
				c.Errorf("%s: %v", v.name, err)
			}
		}
		c.await(func() bool {
			return !slices.ContainsFunc(all, func(v *visit) bool {
				return v.isIn() && slices.ContainsFunc(all, func(of *visit) bool { return of.isIn() && v.lacks(of) > 0 })
			})
		})
		c.look(all)
		c.report()
	}
	c.row()
}

// heading is what stands above the row of -nemesis; docs/cluster.md has it too.
const heading = "| chatd over | what was done | seen | bound | result |\n|---|---|---|---|---|\n"

// row prints the campaign as a line of the table.
func (c *campaign) row() {
	c.Helper()
	var done []string
	for _, k := range kinds {
		if n := c.by[k.name]; n > 0 {
			done = append(done, fmt.Sprintf("%s %d", k.name, n))
		}
		if n := c.left[k.name]; n > 0 {
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
		bounds = append(bounds, "≤ "+laterMost.String())
		if *full && c.afterElection > laterMost {
			c.Errorf("the room went on %v after NATS had another leader, want %v at most", c.afterElection, laterMost)
		}
	}
	result := "pass"
	switch {
	case c.living.Err() != nil:
		result = "interrupted"
		c.Error("interrupted")
	case c.Failed():
		result = "**FAIL**"
	}
	cells := []string{strings.Join(transports[:], ", "), what + ": " + strings.Join(done, ", "), strings.Join(seen, "; "), strings.Join(bounds[1:], "; "), result}
	c.print("\n" + heading + "| " + strings.Join(cells, " | ") + " |")
}
