package loadgen

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"chatbench/core/units"
	"chatbench/loadgen/message"
)

// Config says what load to put on which server. Exactly one of Rate (open
// loop) and Window (closed loop) is set.
type Config struct {
	Scenario string // "": Broadcast
	// Server is HOST:PORT. A broadcast may have several servers of one room, separated by
	// commas; the clients are spread over them in turn.
	Server string
	// TLS, if set, makes the clients speak TLS 1.3 and verify the server. Without a ServerName
	// the host of Server is verified.
	TLS     *tls.Config
	Clients int // in the room, each of them receives everything; Relay: leave it at 0
	Senders int // how many of them send; 0: all, or ten if there are more; Relay: how many more clients talk

	// Relay only: half of 2·Pairs clients ask, each of them one client of the other half.
	// Rate, Window and Poisson apply to their requests; ChatRate is in addition.
	Pairs     int
	Files     int        // in each list of files; 0: 5
	Downloads int        // one request in so many is for a file, every second of these is refused; 0: none
	ChatRate  units.Rate // chat messages a second in addition, in all; 0: none

	Rate    units.Rate // messages a second in all, the senders taking turns
	Poisson bool       // random distances between messages instead of equal ones
	Window  int        // messages of each sender that have not come back yet, at most

	Size     units.Size    // octets of a text, or of a file's name; 0: 64, or 32
	Warmup   time.Duration // before the timed section: checked, but not timed
	Duration time.Duration // of the timed section; 0: 5 s
	Seed     uint64        // of the texts and of a random schedule

	// Threads is how many threads drive the clients, each its share of them; 0: one. Only a
	// broadcast may have more than one.
	Threads int
	CPU     []int // what the generator's thread may run on, or one CPU for each of its threads; empty: any CPU

	Ceiling   float64       // deliveries a second against the null server; 0: not known
	Objective time.Duration // for p99; 0: 50 ms
	Joining   int           // clients that connect and log in at the same time, at most; 0: 64, or 1 in an Idle load without Ramp
	Ramp      time.Duration // clients connect at equal distances over this time; 0: as soon as Joining lets them
	First     int           // idle only: when so many are in, no client connects for Duration, and then OnFirst is called; 0: no such stop
	Connect   time.Duration // after how long without a login the run fails; 0: 10 s
	Drain     time.Duration // after how long without a delivery at the end the rest counts as lost, at most; 0: 3 s

	// Agent, if set, says that this process drives only a part of the room's clients.
	Agent *Agent

	// Starved, if set, is called when nothing has arrived for Drain. It says whether the
	// server is kept from its CPU, so that the rest may still come. As long as it returns true
	// the generator goes on waiting, up to ten times Drain; then the run ends with
	// ErrStarved. It is called on any of the generator's threads, when nothing is timed.
	Starved func() bool

	// Progress, if set, is called a few times a second by a goroutine of its own.
	Progress func(Progress)

	// Hooks for a caller that measures the server during the run. They are called on the
	// generator's own thread, so the generator loses the time they take. OnTimedStart and
	// OnTimedEnd are called at the edges of the timed section and must take microseconds;
	// OnQuiet is called when everything has arrived, all clients are still connected and
	// nothing is timed any more. Fleet.Slice calls the first two itself.
	OnTimedStart, OnTimedEnd, OnQuiet func()
	// OnFirst is called while only the First clients are in the room. It may take its time:
	// the clients after them are due later by the length of the stop.
	OnFirst func()
}

// The scenarios.
const (
	Broadcast = "broadcast" // some talk, all receive it
	Relay     = "relay"     // some ask others for lists of files and for files
	Idle      = "idle"      // all log in and stay silent
)

// Errors that callers branch on. Each is wrapped in one line that says more.
var (
	ErrConfig       = errors.New("loadgen: impossible load")
	ErrInterrupted  = errors.New("loadgen: interrupted")
	ErrUnreachable  = errors.New("loadgen: server out of reach")
	ErrDenied       = errors.New("loadgen: login denied")
	ErrFileLimit    = errors.New("loadgen: too few open files allowed")
	ErrDisconnected = errors.New("loadgen: connection lost")
	ErrBackpressure = errors.New("loadgen: the server does not keep up")
	// ErrStarved: it is not known whether what is missing was lost.
	ErrStarved = errors.New("loadgen: the server does not get its CPU")
)

// Bounds of a load.
const (
	maxClients  = message.MaxUsers
	maxWindow   = 1 << 16
	maxInFlight = 1 << 20 // of all windows together
	maxBacklog  = 1 << 16 // messages that are due and the kernel does not take
	maxRate     = 10e6
	maxDuration = 24 * time.Hour
	maxThreads  = 256
)

// withDefaults replaces zero values by the defaults.
func (c Config) withDefaults() Config {
	c.Scenario, c.Threads = cmp.Or(c.Scenario, Broadcast), cmp.Or(c.Threads, 1)
	c.Duration = cmp.Or(c.Duration, 5*time.Second)
	c.Objective = cmp.Or(c.Objective, 50*time.Millisecond)
	c.Connect = cmp.Or(c.Connect, 10*time.Second)
	c.Drain = cmp.Or(c.Drain, 3*time.Second)
	switch c.Scenario {
	case Relay:
		c.Files, c.Size, c.Joining = cmp.Or(c.Files, 5), cmp.Or(c.Size, 32), cmp.Or(c.Joining, 64)
		if c.ChatRate > 0 {
			c.Senders = cmp.Or(c.Senders, 10)
		}
		c.Clients = 2*c.Pairs + c.Senders
	case Idle:
		if c.Size = cmp.Or(c.Size, 64); c.Ramp == 0 {
			c.Joining = cmp.Or(c.Joining, 1)
		}
		c.Joining = cmp.Or(c.Joining, 64)
	default:
		c.Senders = cmp.Or(c.Senders, min(c.Clients, 10))
		c.Size, c.Joining = cmp.Or(c.Size, 64), cmp.Or(c.Joining, 64)
	}
	return c
}

// Check refuses impossible loads, in one line that says what is possible.
// Run checks too: calling Check beforehand only saves time.
func (c Config) Check() error {
	c = c.withDefaults()
	switch {
	case c.Server == "":
		return configError("give the server as HOST:PORT")
	case c.Duration <= 0 || c.Duration > maxDuration:
		return configError("a duration of %v; give more than 0, and at most %v", c.Duration, maxDuration)
	case c.Warmup < 0 || c.Warmup > maxDuration:
		return configError("a warm-up of %v; give 0 to %v", c.Warmup, maxDuration)
	case c.Objective < 0 || c.Connect < 0 || c.Drain < 0 || c.Ceiling < 0:
		return configError("an objective, time limit or ceiling is below zero; give 0 or more")
	case c.Joining < 1:
		return configError("%d clients log in at the same time; give at least 1", c.Joining)
	case c.Ramp < 0 || c.Ramp > maxDuration:
		return configError("a ramp of %v; give 0 to %v", c.Ramp, maxDuration)
	}
	if c.First != 0 && c.Scenario != Idle {
		return configError("%d clients log in first; only an idle load has two parts, so leave that out", c.First)
	}
	if err := c.checkSpread(); err != nil {
		return err
	}
	switch c.Scenario {
	case Broadcast:
		if c.Senders < 1 || c.Senders > c.Clients {
			return configError("%d senders among %d clients; senders are clients too, from 1 to %d", c.Senders, c.Clients, c.Clients)
		}
		return cmp.Or(c.checkClients(), c.checkSize(message.MaxSize), c.checkLoop("senders", c.Senders))
	case Relay:
		return c.checkRelay()
	case Idle:
		if c.Rate != 0 || c.Window != 0 || c.Senders != 0 {
			return configError("clients of an idle load send nothing; leave rate, window and senders out")
		}
		if c.First < 0 || c.First > 0 && c.First >= c.Clients {
			return configError("%d of %d clients log in first; give fewer than all, or 0", c.First, c.Clients)
		}
		return c.checkClients()
	}
	return configError("there is no scenario %q; there are %s, %s and %s", c.Scenario, Broadcast, Relay, Idle)
}

// checkSpread checks how the clients are spread over threads and servers.
func (c Config) checkSpread() error {
	servers := strings.Split(c.Server, ",")
	switch {
	case slices.Contains(servers, ""):
		return configError("the servers %q have an empty one among them; give each as HOST:PORT, with commas in between", c.Server)
	case c.Scenario != Broadcast && (c.Threads > 1 || len(servers) > 1):
		return configError("several threads or servers are for a broadcast load; give one of each")
	case c.Clients < c.Threads*len(servers) && c.Clients > 0:
		return configError("%d clients for %d threads on each of %d servers; give at least %d", c.Clients, c.Threads, len(servers), c.Threads*len(servers))
	}
	if a := c.Agent; a != nil {
		switch {
		case c.Scenario != Broadcast:
			return configError("agents are for a broadcast load")
		case a.First < 0 || a.First+c.Threads > a.All:
			return configError("threads %d to %d of %d; give an agent its place among all", a.First, a.First+c.Threads-1, a.All)
		case c.Clients < a.All*len(servers):
			return configError("%d clients for %d threads of all agents; give at least %d", c.Clients, a.All, a.All*len(servers))
		}
	}
	return checkThreads(c.Threads, c.CPU)
}

func checkThreads(threads int, cpus []int) error {
	switch {
	case threads < 1 || threads > maxThreads:
		return configError("%d threads; give 1 to %d", threads, maxThreads)
	case threads > 1 && len(cpus) > 0 && len(cpus) != threads:
		return configError("%d threads and %d CPUs; give one CPU for each thread, or none", threads, len(cpus))
	}
	return nil
}

func (c Config) checkClients() error {
	if c.Clients < 1 || c.Clients > maxClients {
		return configError("%d clients; give 1 to %d", c.Clients, maxClients)
	}
	return nil
}

func (c Config) checkSize(most units.Size) error {
	if c.Size < message.MinSize || c.Size > most {
		return configError("texts of %v; give %v to %v", c.Size, units.Size(message.MinSize), most)
	}
	return nil
}

// checkRelay checks what only a relay load has.
func (c Config) checkRelay() error {
	switch {
	case c.Pairs < 1 || c.Pairs > maxClients/2-1000:
		return configError("%d pairs; give 1 to %d", c.Pairs, maxClients/2-1000)
	case c.Files < 1 || c.Files > maxFiles:
		return configError("lists of %d files; give 1 to %d", c.Files, maxFiles)
	case c.Downloads < 0:
		return configError("one request in %d is for a file; give 0 for none of them", c.Downloads)
	case c.ChatRate < 0 || c.ChatRate > maxRate:
		return configError("a chat rate of %v; give at most %v", c.ChatRate, units.Rate(maxRate))
	case (c.ChatRate > 0) != (c.Senders > 0) || c.Senders > 1000:
		return configError("%d clients talk at a chat rate of %v; give both or neither, and at most 1000 clients", c.Senders, c.ChatRate)
	case c.Window > maxRequests:
		return configError("a window of %d requests; give 1 to %d", c.Window, maxRequests)
	}
	return cmp.Or(c.checkSize(maxFileName), c.checkLoop("askers", c.Pairs))
}

// checkLoop checks the loop of that many senders.
func (c Config) checkLoop(who string, senders int) error {
	switch {
	case c.Rate != 0 && c.Window != 0:
		return configError("a rate is an open loop and a window a closed one; give one of them")
	case c.Rate == 0 && c.Window == 0:
		return configError("give a rate (open loop, like 1000/s) or a window (closed loop, like 128)")
	case c.Rate < 0 || c.Rate > maxRate:
		return configError("a rate of %v; give at most %v", c.Rate, units.Rate(maxRate))
	case c.Window < 0 || c.Window > maxWindow:
		return configError("a window of %d messages; give 1 to %d", c.Window, maxWindow)
	case c.Window*senders > maxInFlight:
		return configError("%d %s with a window of %d have %d messages in flight; give at most %d", senders, who, c.Window, c.Window*senders, maxInFlight)
	case c.Rate != 0 && float64(c.Rate)*c.Duration.Seconds() < 1:
		return configError("at %v no message is due within %v; give a higher rate or a longer duration", c.Rate, c.Duration)
	case float64(c.Rate)*(c.Warmup+c.Duration).Seconds()/float64(senders) > message.MaxSequence:
		return configError("over %d messages of one sender; give more senders or a shorter duration", message.MaxSequence)
	case c.Poisson && c.Window != 0:
		return configError("a closed loop has no arrivals; give a rate instead of a window, or leave the arrivals out")
	}
	return nil
}

// PerMessage is how many deliveries a message causes, on average: one for each client,
// or in a relay load the frames of a request and its answer.
func (c Config) PerMessage() float64 {
	c = c.withDefaults()
	if c.Scenario == Relay {
		q := requests{files: c.Files, downloads: c.Downloads}
		return q.mean()
	}
	return float64(c.Clients)
}

// InAll is how many clients log in.
func (c Config) InAll() int { return c.withDefaults().Clients }

// schedule returns the schedule of an open loop; nil for any other.
func (c Config) schedule() Schedule {
	switch {
	case c.Rate == 0:
		return nil
	case c.Poisson:
		return Poisson(c.Rate, c.Seed)
	}
	return Fixed(c.Rate)
}

// senders returns the clients that talk: spread evenly over all clients, so that no place has an
// advantage (the first clients are served first). In a relay load they are clients that do
// nothing else.
func (c Config) senders() []int {
	s := make([]int, c.Senders)
	for i := range s {
		if s[i] = i * c.Clients / c.Senders; c.Scenario == Relay {
			s[i] = 2*c.Pairs + i
		}
	}
	return s
}

func configError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrConfig, fmt.Sprintf(format, args...))
}
