package loadgen

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"chatbench/core/units"
	"chatbench/loadgen/message"
)

// Config says what load to put on which server. Exactly one of Rate (open
// loop) and Window (closed loop) is set.
type Config struct {
	Server  string // HOST:PORT
	Clients int    // in the room, each of them receives everything
	Senders int    // of them send; 0: all, or ten if there are more

	Rate    units.Rate // messages a second in all, the senders taking turns
	Poisson bool       // random distances between messages instead of equal ones
	Window  int        // messages that each sender has without their echo

	Size     units.Size    // octets of a text; 0: 64
	Warmup   time.Duration // before the timed section: checked, but not timed
	Duration time.Duration // of the timed section; 0: 5 s
	Seed     uint64        // of the texts and of a random schedule

	CPU       []int         // what the generator's thread may run on; none: anything
	Ceiling   float64       // deliveries a second against the null server; 0: not known
	Objective time.Duration // for p99; 0: 50 ms
	Connect   time.Duration // how long nobody may get in before that is an error; 0: 10 s
	Drain     time.Duration // how long nothing may arrive at the end before the rest is lost; 0: 3 s

	// Progress, if set, is called a few times a second by a goroutine of its own.
	Progress func(Progress)

	// For whoever measures the server meanwhile, called on the generator's own
	// thread: what they take, the generator loses. OnTimedStart and OnTimedEnd
	// come where the timed section begins and ends and must cost microseconds;
	// OnQuiet comes when all has arrived, everybody is still connected and
	// nothing is timed any more.
	OnTimedStart, OnTimedEnd, OnQuiet func()
}

// Errors that callers branch on. Each is wrapped in one line that says more.
var (
	ErrConfig       = errors.New("loadgen: impossible load")
	ErrInterrupted  = errors.New("loadgen: interrupted")
	ErrUnreachable  = errors.New("loadgen: server out of reach")
	ErrDenied       = errors.New("loadgen: login denied")
	ErrFileLimit    = errors.New("loadgen: too few open files allowed")
	ErrDisconnected = errors.New("loadgen: connection lost")
	ErrBackpressure = errors.New("loadgen: the server does not keep up")
)

// Bounds of a load.
const (
	maxClients  = message.MaxUsers
	maxWindow   = 1 << 16
	maxInFlight = 1 << 20 // of all windows together
	maxBacklog  = 1 << 16 // messages that are due and the kernel does not take
	maxRate     = 10e6
	maxDuration = 24 * time.Hour
)

// withDefaults fills in what is 0.
func (c Config) withDefaults() Config {
	c.Senders = cmp.Or(c.Senders, min(c.Clients, 10))
	c.Size = cmp.Or(c.Size, 64)
	c.Duration = cmp.Or(c.Duration, 5*time.Second)
	c.Objective = cmp.Or(c.Objective, 50*time.Millisecond)
	c.Connect = cmp.Or(c.Connect, 10*time.Second)
	c.Drain = cmp.Or(c.Drain, 3*time.Second)
	return c
}

// Check refuses loads that cannot be, in one line that says what could.
// Broadcast checks too: to call it beforehand only saves time.
func (c Config) Check() error {
	switch c = c.withDefaults(); {
	case c.Server == "":
		return configError("give the server as HOST:PORT")
	case c.Clients < 1 || c.Clients > maxClients:
		return configError("%d clients; from 1 to %d", c.Clients, maxClients)
	case c.Senders < 1 || c.Senders > c.Clients:
		return configError("%d senders among %d clients; senders are clients too, from 1 to %d", c.Senders, c.Clients, c.Clients)
	case c.Rate != 0 && c.Window != 0:
		return configError("a rate is an open loop and a window a closed one; give one of them")
	case c.Rate == 0 && c.Window == 0:
		return configError("give a rate (open loop, like 1000/s) or a window (closed loop, like 128)")
	case c.Rate < 0 || c.Rate > maxRate:
		return configError("a rate of %v; up to %v", c.Rate, units.Rate(maxRate))
	case c.Window < 0 || c.Window > maxWindow:
		return configError("a window of %d messages; from 1 to %d", c.Window, maxWindow)
	case c.Window*c.Senders > maxInFlight:
		return configError("%d senders with a window of %d have %d messages in flight; up to %d", c.Senders, c.Window, c.Window*c.Senders, maxInFlight)
	case c.Size < message.MinSize || c.Size > message.MaxSize:
		return configError("texts of %v; from %v to %v", c.Size, units.Size(message.MinSize), units.Size(message.MaxSize))
	case c.Duration <= 0 || c.Duration > maxDuration:
		return configError("a duration of %v; up to %v", c.Duration, maxDuration)
	case c.Warmup < 0 || c.Warmup > maxDuration:
		return configError("a warm-up of %v; from 0 to %v", c.Warmup, maxDuration)
	case c.Rate != 0 && float64(c.Rate)*c.Duration.Seconds() < 1:
		return configError("at %v no message is due within %v; give a higher rate or a longer duration", c.Rate, c.Duration)
	case float64(c.Rate)*(c.Warmup+c.Duration).Seconds()/float64(c.Senders) > message.MaxSequence:
		return configError("over %d messages of one sender; give more senders or a shorter duration", message.MaxSequence)
	case c.Poisson && c.Window != 0:
		return configError("arrivals are those of an open loop; a window has none")
	case c.Objective < 0 || c.Connect < 0 || c.Drain < 0 || c.Ceiling < 0:
		return configError("an objective, time limit or ceiling below zero")
	}
	return nil
}

// schedule is that of an open loop.
func (c Config) schedule() Schedule {
	if c.Poisson {
		return Poisson(c.Rate, c.Seed)
	}
	return Fixed(c.Rate)
}

// senders spreads the senders evenly over the clients, so that no place among
// them (the first are served first) is theirs.
func (c Config) senders() []int {
	s := make([]int, c.Senders)
	for i := range s {
		s[i] = i * c.Clients / c.Senders
	}
	return s
}

func configError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrConfig, fmt.Sprintf(format, args...))
}
