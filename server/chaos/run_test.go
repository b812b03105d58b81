package chaos

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"chatbench/backends"
)

// wider is by how much a bound is exceeded before a small experiment fails.
const wider = 100

// sizes is how large the experiments are.
type sizes struct {
	clients    int           // of the load, the stopped ones come on top
	rate       float64       // messages a second of the load
	text       int           // octets of each
	slice      time.Duration // in which the load is measured
	load       time.Duration // all of it
	lagTime    time.Duration // after which a client that takes nothing is slow
	crowd      int           // clients that reconnect
	talkers    int           // of the load beside other trouble
	users      int           // clients whose password is hashed: 65 ms each
	trouble    time.Duration // how long a trouble lasts that could go on for ever
	knocks     int           // connections at a time while there are no descriptors
	reloads    int
	handshakes int // slow ones
	forgeries  int // of each kind
	storm      int // wrong logins at a time
	visits     int
	patient    bool // wait for what the server and the kernel give up after seconds
}

var shortSizes = sizes{
	clients: 30, rate: 50, text: 1024, slice: 100 * time.Millisecond, load: 400 * time.Millisecond, lagTime: 300 * time.Millisecond,
	crowd: 20, talkers: 10, users: 3, trouble: 300 * time.Millisecond, knocks: 10, reloads: 8, handshakes: 20, forgeries: 2, storm: 10, visits: 200,
}

// fullSizes are those a backend is put to with -chaos.
func fullSizes(b backends.Backend) sizes {
	s := sizes{
		clients: 5000, rate: 8, text: 2048, slice: 5 * time.Second, load: *loadTime, lagTime: 2 * time.Second,
		crowd: 1000, talkers: 50, users: 50, trouble: 10 * time.Second, knocks: 50, reloads: 100, handshakes: 1000, forgeries: 50, storm: 500, visits: 10_000,
		patient: true,
	}
	if b.PerClient != "" {
		s.clients, s.crowd = 500, 500
	}
	if b.MaxClients > 0 {
		s.clients = min(s.clients, b.MaxClients*3/4)
		s.crowd = min(s.crowd, b.MaxClients/4) // by TLS there is room for a third
		s.storm = min(s.storm, b.MaxClients/2)
		s.handshakes = min(s.handshakes, b.MaxClients/4)
		s.forgeries = min(s.forgeries, b.MaxClients/96) // five kinds at once, fewer than may be pending by TLS
	}
	return s
}

// run is one experiment with one backend.
type run struct {
	*testing.T
	backend backends.Backend
	size    sizes
	bound   bool   // bounds are as they are, not wider
	did     string // with its parameters
	figures []figure
	skipped string
}

// figure is one thing that was seen.
type figure struct {
	what, seen, bound string
	holds             bool
}

// doing says what is done, for the row.
func (x *run) doing(format string, args ...any) { x.did = fmt.Sprintf(format, args...) }

// skip leaves the experiment out, and says so in its row.
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

// exactly is a figure that has one value, whatever the machine does.
func (x *run) exactly(what string, seen, want int64) {
	x.Helper()
	x.see(figure{what, fmt.Sprint(seen), fmt.Sprint(want), seen == want})
}

// within is a time that has a bound.
func (x *run) within(what string, took, most time.Duration) {
	x.Helper()
	if !x.bound {
		most *= wider
	}
	x.see(figure{what, short(took), "≤ " + short(most), took <= most})
}

// below is a quantity that has a bound, in a unit that may be none.
func (x *run) below(what string, seen, most float64, unit string) {
	x.Helper()
	if !x.bound {
		most *= wider
	}
	x.see(figure{what, number(seen) + unit, "≤ " + number(most) + unit, seen <= most})
}

// memory is a growth of memory that has a bound, both in octets.
func (x *run) memory(what string, seen, most int64) {
	x.Helper()
	const mib = 1 << 20
	x.below(what, float64(seen)/mib, float64(most)/mib, " MiB")
}

// short is a duration to three digits.
func short(d time.Duration) string {
	unit := time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit).String()
}

// number is one to three digits, or whole.
func number(v float64) string {
	if math.Abs(v) >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// pause waits, unless the tests are interrupted.
func (x *run) pause(d time.Duration) {
	x.Helper()
	select {
	case <-time.After(d):
	case <-life.Done():
		x.Fatal("interrupted")
	}
}

// wait waits for something to be so, and gives how long that took. If it is not so
// after patience, the experiment is over.
func (x *run) wait(patience time.Duration, done func() bool, what string, args ...any) time.Duration {
	x.Helper()
	begun := time.Now()
	for !done() {
		if time.Since(begun) > patience {
			x.Fatalf("not within %v: %s", patience, fmt.Sprintf(what, args...))
		}
		x.pause(min(patience/1000+time.Millisecond, 100*time.Millisecond))
	}
	return time.Since(begun)
}

// heading is what stands above rows; docs/chaos.md has it too.
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
	case life.Err() != nil:
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
