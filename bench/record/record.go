// Package record is what a bench run leaves on disk: the types of every line
// and file, their units, and how a run's directory is written and read.
//
// It does not measure, judge or print: numbers are kept as they were
// measured, in base units (nanoseconds, octets, counts), and are scaled only where
// they are shown. A figure that could not be measured is absent, never zero.
// Values have no locks: one goroutine at a time.
package record

import "time"

// Schema is the version of every type in this package, and oldest the first
// version that can still be read: version 2 has no slices.
const (
	Schema = 3
	oldest = 2
)

// NullArm is the arm of the null server, the least that a server of the wire protocol can do. In
// some rounds of a closed loop it is measured like any other arm: its rate is the
// most that generator and null server reach under that load on this machine.
// It is not in the manifest's arms: nothing is compared with it.
const NullArm = "null"

// AgainSuffix is the end of the name of the A/A arm: the reference backend measured again.
const AgainSuffix = ".aa"

// The scenarios: what clients do under a load.
const (
	Broadcast = "broadcast" // some talk, all receive it: a delivery is a message to one of them
	Relay     = "relay"     // some ask others for files: a delivery is one forwarded frame
	Idle      = "idle"      // all log in and stay silent
	// Scale is broadcast at saturation, with servers on different numbers of CPUs: the
	// loads of such a run have the scenario Broadcast, and its arms have CPUs.
	Scale = "scale"
)

// Manifest is manifest.json: the plan of a run, and how to repeat it.
type Manifest struct {
	Schema   int       `json:"schema"`
	Name     string    `json:"name"` // of the run's directory
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
	Argv     []string  `json:"argv"`
	Commit   string    `json:"commit"` // of the sources, "" where git does not say
	Dirty    bool      `json:"dirty"`  // the sources had changes that are in no commit
	// Binaries are the servers, the run's own first.
	Binaries  []Binary `json:"binaries,omitempty"`
	Seed      uint64   `json:"seed"` // of the order of arms, and of the loads' arrivals
	Reference string   `json:"reference"`
	Arms      []Arm    `json:"arms"`
	Loads     []Load   `json:"loads"`
	Rounds    int      `json:"rounds"` // planned; a round is every arm under every load once. 0: as many as needed
	// Looks are the numbers of rounds after which an arm may be decided, and
	// leave the run; Budget is what the run may take in all. Only if Rounds is 0.
	Looks  []int         `json:"looks,omitempty"`
	Budget time.Duration `json:"budget_ns,omitempty"`
	Ended  End           `json:"ended,omitempty"` // why there were no more rounds
	// Pilot is how the rate of the open loop was chosen; absent if it was given.
	Pilot *Pilot `json:"pilot,omitempty"`
	// Order is the cells in the order in which they were run.
	Order         []Cell `json:"order"`
	ServerCPUs    []int  `json:"server_cpus"`
	GeneratorCPUs []int  `json:"generator_cpus"`
	// GeneratorThreads is how many threads drove a load, of all agents together if there are any; 0
	// in older runs: see Threads.
	GeneratorThreads int `json:"generator_threads,omitempty"`
	// Agents are the agents that drove the loads, instead of this machine's generator.
	Agents []Agent `json:"agents,omitempty"`
	// SharedCPU: server and generator had to share their CPUs, so every figure
	// is of both together. For an arm with CPUs of its own, see Shares.
	SharedCPU bool  `json:"shared_cpu"`
	Rules     Rules `json:"rules"`
	// Measures says of each kind of figure how it was measured, or why it is absent.
	Measures map[string]string `json:"measures"`
	// Servers is what each arm's server reported when it was ready, without
	// its address and process id.
	Servers map[string]map[string]any `json:"servers"`
}

// Agent is a process, maybe on another machine, that drove a part of the load.
type Agent struct {
	Name string `json:"name"`
	// Since is the first round that it drove, if it replaced a lost agent; 0: it was there from the
	// start. Of several agents with the same Place the latest one drove.
	Since   int    `json:"from_round,omitempty"`
	Place   int    `json:"place"`   // from 1
	Address string `json:"address"` // from which it joined
	Version string `json:"version"` // what it was built from
	Threads int    `json:"threads"`
	CPUs    []int  `json:"cpus,omitempty"` // that its threads are pinned to; none: they are not
	Host    string `json:"host"`           // the host name of its machine
	Kernel  string `json:"kernel"`         // its kernel's release
	// Offset is how far its clock was ahead of that of bench when it had joined, right to
	// within Bound, half of the shortest RoundTrip of many.
	Offset    time.Duration `json:"clock_offset_ns"`
	Bound     time.Duration `json:"clock_bound_ns"`
	RoundTrip time.Duration `json:"round_trip_ns"`
}

// Pilot is how a rate was chosen before the first round: from the series 100, 200,
// 500, …, 50,000 messages a second, by the CPU that the reference server used at some of them.
type Pilot struct {
	Arm   string        `json:"arm"`
	Tried []PilotRate   `json:"tried"` // in their order
	Rate  float64       `json:"rate"`  // chosen, messages a second in all
	Why   string        `json:"why"`
	Took  time.Duration `json:"took_ns"`
}

// PilotRate is a rate that the pilot tried. Shares are of the slices' time
// between their edges.
type PilotRate struct {
	Rate          float64 `json:"rate"`
	Slices        int     `json:"slices"`              // that were completed
	Late          int     `json:"late,omitempty"`      // those of them in which the generator was late
	CPU           float64 `json:"cpu_ns_per_delivery"` // of the server
	ServerBusy    float64 `json:"server_busy"`         // share of its CPUs
	GeneratorBusy float64 `json:"generator_busy"`      // as Traffic.GeneratorBusy
	Foreign       float64 `json:"foreign"`             // as Usage.Foreign
	Throttled     float64 `json:"throttled,omitempty"` // as Usage.Throttled
	Disturbed     bool    `json:"disturbed,omitempty"` // it decides nothing
	Error         string  `json:"error,omitempty"`     // why it broke off
}

// Binary is a program that was measured.
type Binary struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
	// Commit is the commit of its sources, as the program itself reports it, or else that of the
	// sources around it; "": not known.
	Commit string `json:"commit,omitempty"`
	Dirty  bool   `json:"dirty,omitempty"`
	// Modules are those of its modules that differ from the first of the
	// Binaries, by path.
	Modules []Module `json:"modules,omitempty"`
}

// Module is a module that a program contains in another version than the first of the
// Binaries.
type Module struct {
	Path    string `json:"path"`
	First   string `json:"first,omitempty"`   // the version there; "": it is not there
	Version string `json:"version,omitempty"` // the version here; "": it is not here, or from Dir
	// Dir is the directory it was built from, if it is no released version;
	// Commit and Dirty are those of the git tree in Dir, if it is one.
	Dir    string `json:"dir,omitempty"`
	Commit string `json:"commit,omitempty"`
	Dirty  bool   `json:"dirty,omitempty"`
}

// End is why a run had no more rounds.
type End string

// The ends of a run.
const (
	AllRounds    End = "all-rounds" // there were as many as planned
	AllDecided   End = "decided"
	OutOfBudget  End = "budget"
	TooDisturbed End = "disturbed" // most of what was measured was void
)

// Arm is one of the servers that are compared; it is measured in every round.
type Arm struct {
	Name    string `json:"name"`    // the backend's name and arguments, with AgainSuffix for the A/A arm
	Backend string `json:"backend"` // as chatd -backend takes it
	Again   bool   `json:"again"`   // the A/A arm
	// Chatd is the path of its server among the manifest's Binaries; "": the first.
	Chatd string `json:"chatd,omitempty"`
	// Args are additional arguments of chatd.
	Args []string `json:"args,omitempty"`
	// TLS: its clients speak TLS, with a certificate that was made for the run;
	// Measures says under "tls" what was negotiated.
	TLS bool `json:"tls,omitempty"`
	// CPUs are the CPUs of its server instead of the manifest's ServerCPUs; nil: those.
	CPUs []int `json:"cpus,omitempty"`
	// Scales names what the arm is one size of: arms with the same Scales differ in their
	// number of CPUs. "" if CPUs is nil.
	Scales string `json:"scales,omitempty"`
	// Clients is how many clients this arm has instead of the load's; 0: the load's.
	Clients int `json:"clients,omitempty"`
	// Gaps is the cases of the conformance suite that the backend does not
	// pass, with the reasons.
	Gaps map[string]string `json:"gaps,omitempty"`
}

// Load is what the generator does to each arm.
type Load struct {
	Name     string  `json:"name"` // in tags, file names and benchmark names: "fixed1000", "relay-window16"
	Scenario string  `json:"scenario"`
	Clients  int     `json:"clients"`
	Senders  int     `json:"senders"`  // of the clients: how many of them talk to everybody
	Rate     float64 `json:"rate"`     // messages (relay: requests) a second in all; 0: no open loop
	Arrivals string  `json:"arrivals"` // "fixed" or "poisson"; "" for a closed loop
	Window   int     `json:"window"`   // messages each sender (requests each asker) has under way; 0: no closed loop
	Size     int     `json:"size"`     // of a message's text (a file's name), octets
	// PerMessage is how many deliveries a message causes, on average.
	PerMessage float64 `json:"deliveries_per_message"`
	// In a relay load: clients that ask, files in a list, one request in so many for a
	// file, and chat messages a second at the same time.
	Pairs     int     `json:"pairs,omitempty"`
	Files     int     `json:"files,omitempty"`
	Downloads int     `json:"downloads,omitempty"`
	ChatRate  float64 `json:"chat_rate,omitempty"`
	// Ramp is the time over which clients connect; 0: as fast as they are let in.
	Ramp     time.Duration `json:"ramp_ns,omitempty"`
	Warmup   time.Duration `json:"warmup_ns"`   // before the timed section; of each slice its lead-in
	Duration time.Duration `json:"duration_ns"` // of the timed section; of each slice its counted part
	// Slices is how many slices each arm has in a round, in turns with the others; 0:
	// none, each arm is measured as a whole.
	Slices int `json:"slices,omitempty"`
}

// Sliced says whether the arms of a round are measured in turns.
func (l Load) Sliced() bool { return l.Slices > 0 }

// Open says whether messages are due by a schedule, whatever the server does.
func (l Load) Open() bool { return l.Rate > 0 }

// Closed says whether each sender waits for what it sent before.
func (l Load) Closed() bool { return l.Window > 0 }

// Cell is one arm under one load in one round.
type Cell struct {
	Round int    `json:"round"` // from 1; 0: a null round of an older run
	Load  string `json:"load"`
	Arm   string `json:"arm"`
}

// Rules say when a round does not count, or counts with a mark. They are fixed before
// the first round.
type Rules struct {
	// StealMax is the largest share of a CPU in use that the hypervisor may
	// take from it during a round, and of the time of all of them that a CPU limit may take.
	StealMax float64 `json:"steal_max"`
	// ForeignMax is the largest share of the server's CPUs that other processes may use
	// in a round; 1 if server and generator share them.
	ForeignMax float64 `json:"foreign_max"`
	// ExcuseMax is the largest share that other processes may use, or a CPU limit take, if a server is to be
	// blamed for not keeping up; 0: ForeignMax.
	ExcuseMax float64 `json:"excuse_max,omitempty"`
	// RateError is how far, relatively, an open loop may be off its rate. In one piece, a server that a CPU
	// limit stopped for a larger share of the time is not to be blamed for not keeping up.
	RateError float64 `json:"rate_error"`
	// Objective is the p99 that a user would accept. An open loop's
	// last deliveries may take so long, and the generator itself may be late
	// by LagShare of it, at its p99.
	Objective time.Duration `json:"objective_ns"`
	LagShare  float64       `json:"lag_share"`
	// CeilingShare: a closed-loop rate above this share of what generator and null
	// server reach together (the median of the null rounds that count) may be the
	// generator's rate, not the server's.
	CeilingShare float64 `json:"ceiling_share"`
	// RanShare: so may one whose generator thread had a CPU for a smaller share of the time.
	RanShare float64 `json:"ran_share"`
	// BusyShare is the use of its CPUs from which a side counts as the limit.
	BusyShare float64 `json:"busy_share"`
	// FullShare: above this use of its CPUs a server under an open loop has
	// none to spare, and a delivery costs it 1/rate, whatever it does. 0,
	// as in older runs: that of DefaultRules.
	FullShare float64 `json:"full_share,omitempty"`
	// GeneratorMax: if the generator is busy for more than this share of its time,
	// its own queue is in the latencies of an open loop: such a round or
	// slice is void. If it is busy for less, a server at BusyShare is the limit of a
	// closed loop. 0, as in older runs and if server and generator share
	// their CPUs: no round is void for it, and the limit uses that of DefaultRules.
	GeneratorMax float64 `json:"generator_max,omitempty"`
	// DrainMax is how long it may take, after the last message of a slice, until everything has
	// arrived; SlicesShare of an arm's slices must count, or its round does not.
	DrainMax    time.Duration `json:"drain_max_ns,omitempty"`
	SlicesShare float64       `json:"slices_share,omitempty"`
}

// DefaultRules are the thresholds of the method.
func DefaultRules() Rules {
	return Rules{
		StealMax:     0.05,
		ForeignMax:   0.25,
		RateError:    0.01,
		Objective:    50 * time.Millisecond,
		LagShare:     0.10,
		CeilingShare: 0.70,
		RanShare:     0.90,
		BusyShare:    0.95,
		FullShare:    0.90,
		GeneratorMax: 0.80,
	}
}

// SliceRules are the rules for arms that are measured in turns. A disturbance affects
// all arms alike, so a round is void for it only if little is left of
// the server's CPU; a slice must drain, and in half of the slices the generator
// must have been in time.
func SliceRules() Rules {
	r := DefaultRules()
	r.StealMax, r.ForeignMax, r.ExcuseMax = 0.50, 0.75, DefaultRules().ForeignMax
	r.DrainMax, r.SlicesShare = 2*r.Objective, 0.5
	return r
}
