package chaos

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"chatbench/backends"
)

// shortFactor is by how much a short experiment may exceed its bounds.
const shortFactor = 100

// sizes is the sizes of the experiments.
type sizes struct {
	clients         int           // of the load, without those that stop reading
	rate            float64       // messages a second of the load
	text            int           // octets of a message
	slice           time.Duration // in which the load is measured
	load            time.Duration // of the whole load
	lagTime         time.Duration // after which a client that reads nothing is slow
	group           int           // clients of a group
	talkers         int           // clients of the load beside other faults
	users           int           // clients whose password is hashed: 65 ms each
	faultTime       time.Duration // duration of a fault that has no end of its own
	attempts        int           // connections at a time while there are no descriptors
	reloads         int
	handshakes      int // slow ones
	forgeries       int // of each kind
	storm           int // wrong logins at a time
	visits          int
	waitForTimeouts bool // wait for timeouts of the server and the kernel, which take seconds
}

var shortSizes = sizes{
	clients: 30, rate: 200, text: 1024, slice: 100 * time.Millisecond, load: 400 * time.Millisecond, lagTime: 300 * time.Millisecond,
	group: 20, talkers: 10, users: 3, faultTime: 300 * time.Millisecond, attempts: 10, reloads: 8, handshakes: 20, forgeries: 2, storm: 10, visits: 200,
}

// fullSizes are the sizes for a backend with -chaos.
func fullSizes(b backends.Backend) sizes {
	s := sizes{
		clients: 5000, rate: 8, text: 2048, slice: 5 * time.Second, load: *loadTime, lagTime: 2 * time.Second,
		group: 1000, talkers: 50, users: 50, faultTime: 10 * time.Second, attempts: 50, reloads: 100, handshakes: 1000, forgeries: 50, storm: 500, visits: 10_000,
		waitForTimeouts: true,
	}
	if b.PerClient != "" {
		s.clients, s.group = 500, 500
	}
	if b.MaxClients > 0 {
		s.clients = min(s.clients, b.MaxClients*3/4)
		s.group = min(s.group, b.MaxClients/4) // with TLS a third of the clients fit
		s.storm = min(s.storm, b.MaxClients/2)
		s.handshakes = min(s.handshakes, b.MaxClients/4)
		s.forgeries = min(s.forgeries, b.MaxClients/96) // all five kinds at once are fewer than may be pending with TLS
	}
	return s
}

// run is one experiment with one backend.
type run struct {
	*testing.T
	backend backends.Backend
	size    sizes
	bound   bool   // full sizes: without shortFactor
	did     string // what was done, with its parameters
	figures []figure
	skipped string
}

// figure is a measured figure and its bound.
type figure struct {
	what, seen, bound string
	holds             bool
}

// doing sets what is done, for the row.
func (x *run) doing(format string, args ...any) { x.did = fmt.Sprintf(format, args...) }

// skip skips the experiment, and says so in its row.
func (x *run) skip(why string) {
	x.Helper()
	x.skipped = why
	x.Skip(why)
}

func (x *run) see(f figure) {
	x.Helper()
	x.figures = append(x.figures, f)
	if !f.holds {
		x.Errorf("%s: %s, want %s", f.what, f.seen, f.bound)
	}
}

// exactly adds a figure that must have one value, however fast the machine is.
func (x *run) exactly(what string, seen, want int64) {
	x.Helper()
	x.see(figure{what, fmt.Sprint(seen), fmt.Sprint(want), seen == want})
}

// within adds a duration with a bound. That of a short experiment is at least the timeout: a machine
// that is busy with something else may stop all of it for seconds.
func (x *run) within(what string, took, most time.Duration) {
	x.Helper()
	if !x.bound {
		most = max(shortFactor*most, timeout)
	}
	x.see(figure{what, short(took), "≤ " + short(most), took <= most})
}

// below adds a quantity with a bound. unit is printed after it.
func (x *run) below(what string, seen, most float64, unit string) {
	x.Helper()
	if !x.bound {
		most *= shortFactor
	}
	x.see(figure{what, number(seen) + unit, "≤ " + number(most) + unit, seen <= most})
}

// memory adds a growth of memory with a bound, both in octets.
func (x *run) memory(what string, seen, most int64) {
	x.Helper()
	const mib = 1 << 20
	x.below(what, float64(seen)/mib, float64(most)/mib, " MiB")
}

// short formats a duration with three digits.
func short(d time.Duration) string {
	unit := time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit).String()
}

// number formats a number with three digits, or as a whole number from 100 on.
func number(v float64) string {
	if math.Abs(v) >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// pause waits, and ends the test if it is interrupted.
func (x *run) pause(d time.Duration) {
	x.Helper()
	select {
	case <-time.After(d):
	case <-testContext.Done():
		x.Fatal("interrupted")
	}
}

// wait waits until done is true, and returns how long that took. After the timeout it ends the
// experiment.
func (x *run) wait(timeout time.Duration, done func() bool, what string, args ...any) time.Duration {
	x.Helper()
	begun := time.Now()
	for !done() {
		if time.Since(begun) > timeout {
			x.Fatalf("not within %v: %s", timeout, fmt.Sprintf(what, args...))
		}
		x.pause(min(timeout/1000+time.Millisecond, 100*time.Millisecond))
	}
	return time.Since(begun)
}

// heading is the heading of the table; docs/chaos.md has it too.
const heading = "| backend | experiment | what was done | seen | bound | result |\n|---|---|---|---|---|---|\n"

// row is the experiment's line of the table.
func (x *run) row(name string) string {
	var seen, bounds []string
	for _, f := range x.figures {
		mark := ""
		if !f.holds {
			mark = "**"
		}
		seen = append(seen, fmt.Sprintf("%s %s%s%s", f.what, mark, f.seen, mark))
		bounds = append(bounds, f.bound)
	}
	result := "pass"
	switch {
	case x.skipped != "":
		result = "skipped: " + x.skipped
	case testContext.Err() != nil:
		result = "interrupted"
	case x.Failed():
		result = "**FAIL**"
	}
	cells := []string{x.backend.Name, name, x.did, strings.Join(seen, "; "), strings.Join(bounds, "; "), result}
	for i, c := range cells {
		cells[i] = strings.NewReplacer("|", `\|`, "\n", " ").Replace(c)
	}
	return "| " + strings.Join(cells, " | ") + " |\n"
}
