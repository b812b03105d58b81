package record

import (
	"slices"
	"time"
)

// Round is one line of rounds.jsonl: one cell, measured once.
type Round struct {
	Schema  int    `json:"schema"`
	Seq     int    `json:"seq"`   // place in the order of the run, from 1
	Round   int    `json:"round"` // pairs the arms, from 1; 0: a null round of an older run
	Load    string `json:"load"`
	Arm     string `json:"arm"`
	Backend string `json:"backend"`
	// AgentsChanged: an agent was replaced between the arms of this round and load, so they
	// cannot be compared.
	AgentsChanged bool `json:"agents_changed,omitempty"`
	// StartedMs is when the timed section began, in milliseconds since 1970:
	// the key of this round's histograms in the .hlog file.
	StartedMs int64         `json:"started_ms"`
	Wall      time.Duration `json:"wall_ns"` // of the timed section
	// Void is why this round counts in no figure; nil: it counts.
	Void []Reason `json:"void,omitempty"`
	// Marks is what a reader must know about a round that counts.
	Marks []Reason `json:"marks,omitempty"`
	// Error is one line that says what failed; "" if nothing did.
	Error string `json:"error,omitempty"`

	Traffic Traffic `json:"traffic"`
	Due     Latency `json:"due"`   // from when a message was due to each delivery (relay: to the end of the answer); closed loop: none
	Sent    Latency `json:"sent"`  // from the actual send to each delivery
	Lag     Latency `json:"lag"`   // from due to sent (idle: to connect): the generator's own lateness
	Chat    Latency `json:"chat"`  // relay: the chat at the same time, from when a message was due
	Login   Latency `json:"login"` // from connect, with a ramp from when that was due, to the answer to the login
	// Queue is how long received data waited in the generator's own receive queue,
	// from the kernel's timestamp to the read: a part of every latency that the
	// generator causes. There is one value for each read of some of the clients, of the newest segment
	// in it: for older octets of the same read it is a lower bound.
	Queue Latency `json:"queue,omitzero"`
	// Elsewhere is from when a message was due, by the receiver's clock, to each delivery
	// from one agent's sender to another agent's client. It is in no figure, because two clocks are in
	// it; it is right to within ElsewhereBound.
	Elsewhere      Latency       `json:"elsewhere,omitzero"`
	ElsewhereBound time.Duration `json:"elsewhere_bound_ns,omitempty"`

	// Slices is the arm's turns, in order; empty if it was measured as a
	// whole. Wall, Traffic, Usage and the latencies are those of all slices that
	// count together; faults are of all slices.
	Slices []Slice `json:"slices,omitempty"`
	// FrozenCPU is what the server used while it was frozen, during others' slices.
	FrozenCPU time.Duration `json:"frozen_cpu_ns,omitempty"`

	Usage  Usage   `json:"usage"`
	Server *Server `json:"server,omitempty"` // what chatd itself counted in its whole life; absent if it died
}

// Slice is one turn of an arm: a lead-in, which is in no figure, and a counted
// part. Everything that its messages cause happens between its edges, up to the last delivery.
// Place, Ran and the three of Queue are for readers of the raw files: they are in no
// figure.
type Slice struct {
	Block int `json:"block"` // from 1: pairs the arms of a round; each has one slice in each block
	Place int `json:"place"` // among all slices of the round, from 1
	// Void is why the slice counts in no figure; nil: it counts.
	Void       []Reason      `json:"void,omitempty"`
	Wall       time.Duration `json:"wall_ns"`  // between the edges
	Drain      time.Duration `json:"drain_ns"` // of it, from when no more was sent
	Due        int64         `json:"due"`
	Messages   int64         `json:"messages"`   // that the kernel took while messages were due or windows open
	InTime     int64         `json:"in_time"`    // deliveries that arrived in that time
	Deliveries int64         `json:"deliveries"` // between the edges, all of them
	CPU        int64         `json:"cpu_ns"`     // between the edges, as the next two
	Switches   int64         `json:"context_switches"`
	Syscalls   *int64        `json:"syscalls,omitempty"`
	P50        int64         `json:"p50_ns"` // from due; in a closed loop from the send
	P99        int64         `json:"p99_ns"`
	LagP99     int64         `json:"lag_p99_ns"` // the generator's own lateness; of several threads, the worst one's
	Ran        float64       `json:"generator_ran"`
	// Busy is the share of the time in which messages were due or windows open
	// that the generator did more than poll; absent in older runs.
	Busy     float64 `json:"generator_busy,omitempty"`
	QueueP50 int64   `json:"queue_p50_ns,omitempty"` // in the generator's receive queue, as Round.Queue
	QueueP99 int64   `json:"queue_p99_ns,omitempty"`
	QueueMax int64   `json:"queue_max_ns,omitempty"`
}

// Edged is the time between the edges of what counts: of the timed section, or
// of all slices.
func (r *Round) Edged() time.Duration {
	if len(r.Slices) == 0 {
		return r.Wall
	}
	var sum time.Duration
	for i := range r.Slices {
		if s := &r.Slices[i]; s.Counts() {
			sum += s.Wall
		}
	}
	return sum
}

// Counts says whether the slice enters the figures.
func (s *Slice) Counts() bool { return len(s.Void) == 0 }

// Counts says whether the round enters the figures.
func (r *Round) Counts() bool { return len(r.Void) == 0 }

// Marked says whether the round carries the mark.
func (r *Round) Marked(mark Reason) bool {
	return slices.Contains(r.Marks, mark)
}

// Reason is why a round is void or marked.
type Reason string

// The reasons for void rounds, and the one that may be a mark instead.
const (
	Lost       Reason = "lost"
	Duplicated Reason = "duplicated"
	Reordered  Reason = "reordered"
	Altered    Reason = "altered"
	// OtherOrder: receivers saw the senders interleaved in different ways.
	OtherOrder Reason = "other-order"
	// Disconnected: a client lost its connection.
	Disconnected Reason = "disconnected"
	// TargetMissed: the server did not keep up with the rate.
	TargetMissed Reason = "target-missed"
	// ServerDied: chatd ended before it was told to, or in another way than it was told to.
	ServerDied Reason = "server-died"
	// Starved: the server waited for its CPU until the generator gave up. What was
	// missing then may have been lost, or not.
	Starved Reason = "starved"
	// NotStarted: chatd or its clients did not come up.
	NotStarted Reason = "not-started"
	// LoadFailed: the generator gave up for a reason of its own.
	LoadFailed Reason = "load-failed"
	// AgentLost: one of the agents that drove the load was lost or failed, or had been replaced
	// since another arm of the round was measured.
	AgentLost Reason = "agent-lost"
	// GeneratorLimited: the generator was late, off its rate or too busy (open
	// loop: void), near its own ceiling or without its CPU (closed loop: a mark
	// on the rate).
	GeneratorLimited Reason = "generator-limited"
	// Disturbed: other processes used the server's CPUs, or a CPU limit kept it from them.
	Disturbed Reason = "disturbed"
	// Steal: the hypervisor took the CPU away.
	Steal Reason = "steal"
	// NotDrained: a slice had not ended in time.
	NotDrained Reason = "not-drained"
	// FewSlices: too few slices of a round count.
	FewSlices Reason = "few-slices"
)

// Reasons are all reasons, the most serious first.
var Reasons = []Reason{
	Lost, Duplicated, Reordered, Altered, OtherOrder, Disconnected, TargetMissed,
	ServerDied, NotStarted, Starved, LoadFailed, AgentLost, GeneratorLimited, Disturbed, Steal, NotDrained, FewSlices,
}

// Violation says whether the reason is a breach of contract by the server:
// the run then ends with exit code 3.
func (r Reason) Violation() bool {
	return slices.Contains(Reasons[:slices.Index(Reasons, NotStarted)], r)
}

// Traffic is the figures of the generator's ledger. A message belongs to the timed
// section if it was due in it (closed loop: sent in it).
type Traffic struct {
	Due        int64 `json:"due"`        // messages due in the timed section; 0 in a closed loop
	Messages   int64 `json:"messages"`   // that the kernel took in the timed section
	Deliveries int64 `json:"deliveries"` // that arrived in the timed section
	Expected   int64 `json:"expected"`   // deliveries that the messages due make; 0 in a closed loop
	// Between is the deliveries between the edges of slices, by which their CPU is
	// divided; 0 without slices.
	Between    int64 `json:"between,omitempty"`
	Chat       int64 `json:"chat"`            // relay: deliveries of chat, in the timed section
	ChatLag    int64 `json:"chat_lag_p99_ns"` // the generator's own lateness in it, p99
	Stalled    int64 `json:"stalled"`         // timed messages that found the server not reading
	Checked    int64 `json:"checked"`         // deliveries of the whole round, warm-up and drain included
	Clients    int64 `json:"clients"`         // that logged in
	Lost       int64 `json:"lost"`            // of the whole round, as the next ones
	Duplicated int64 `json:"duplicated"`
	Reordered  int64 `json:"reordered"`
	Altered    int64 `json:"altered"`
	OtherOrder int64 `json:"other_order"` // receivers
	// GeneratorBusy is the share of the timed section in which the generator
	// did more than poll.
	GeneratorBusy float64 `json:"generator_busy"`
	// GeneratorLag is the p99 of the generator's lateness, of several threads the largest one;
	// 0 in slices and in older runs. Round.Lag is of all threads together.
	GeneratorLag int64 `json:"generator_lag_p99_ns,omitempty"`
	// GeneratorRan is the share in which its thread, which spins, had a CPU.
	GeneratorRan float64 `json:"generator_ran"`
}

// Latency is some figures of one histogram; the whole histogram is in the .hlog
// file. Nanoseconds; everything is zero if Count is.
type Latency struct {
	Count int64   `json:"count"`
	Min   int64   `json:"min_ns"`
	Mean  float64 `json:"mean_ns"`
	P50   int64   `json:"p50_ns"`
	P90   int64   `json:"p90_ns"`
	P99   int64   `json:"p99_ns"`
	P999  int64   `json:"p999_ns"`
	P9999 int64   `json:"p9999_ns"`
	Max   int64   `json:"max_ns"`
}

// Usage is what the server's process tree used between the
// start and the end of the timed section, and the memory that it had when all deliveries had
// arrived and all clients were still connected. Figures that could not be measured
// are absent; Manifest.Measures says why.
type Usage struct {
	CPU             *int64 `json:"cpu_ns,omitempty"`        // user and kernel, the whole tree
	CPUUser         *int64 `json:"cpu_user_ns,omitempty"`   // CPU split as the kernel's ticks
	CPUKernel       *int64 `json:"cpu_kernel_ns,omitempty"` // split the whole load; the two sum to CPU
	Syscalls        *int64 `json:"syscalls,omitempty"`
	ContextSwitches *int64 `json:"context_switches,omitempty"`
	// Cut is the time between the two moments at which bench, with agents, read CPU, switches and calls, by a
	// timer of its own; absent without agents: then the generator determines the moments.
	Cut       time.Duration `json:"cut_ns,omitempty"`
	Processes int           `json:"processes"` // of the tree
	Threads   int           `json:"threads"`
	RSS       *int64        `json:"rss_bytes,omitempty"`
	RSSPeak   *int64        `json:"rss_peak_bytes,omitempty"` // of each process, summed
	PSS       *int64        `json:"pss_bytes,omitempty"`
	// RSSBase and PSSBase are from before the first client connected.
	RSSBase *int64 `json:"rss_base_bytes,omitempty"`
	PSSBase *int64 `json:"pss_base_bytes,omitempty"`
	// RSSFirst and PSSFirst are with FirstClients of the clients logged in,
	// after a pause as long as the timed section: in an idle load. Absent in
	// older runs, and if there are too few clients for two numbers of them.
	FirstClients int64  `json:"first_clients,omitempty"`
	RSSFirst     *int64 `json:"rss_first_bytes,omitempty"`
	PSSFirst     *int64 `json:"pss_first_bytes,omitempty"`
	// SocketMemory is what all TCP sockets of this machine occupy in the kernel
	// less what they occupied before the server started.
	SocketMemory *int64 `json:"socket_memory_bytes,omitempty"`
	// Steal is the largest share that was stolen from any one CPU in use.
	Steal *float64 `json:"steal,omitempty"`
	// Foreign is the share of the server's CPUs that other processes used. If Uncharged
	// is absent, it includes time that was not charged to any task.
	Foreign *float64 `json:"foreign,omitempty"`
	// Uncharged is the share in which they were not idle and no task ran:
	// interrupts and softirqs that came while the server waited, and the way out of
	// idleness. It is work for the server that is in no task's CPU time.
	Uncharged *float64 `json:"uncharged,omitempty"`
	// Throttled is the share of the time of all CPUs in use, the server's and the generator's, for which
	// a CPU limit (the quota of a cgroup) kept from them what wanted to run there. Absent
	// without a limit, and in older runs.
	Throttled *float64 `json:"throttled,omitempty"`
}

// Server is what chatd reports when it stops: counts of its whole life,
// login and warm-up included. Much of it is for readers of the raw files who look for
// a reason: what is compared is measured from outside.
type Server struct {
	Reads      int64 `json:"reads"`
	BytesIn    int64 `json:"bytes_in"`
	Writes     int64 `json:"writes"`
	BytesOut   int64 `json:"bytes_out"`
	Stalls     int64 `json:"stalls"` // writes that took less than was offered
	GCCycles   int64 `json:"gc_cycles"`
	GCPause    int64 `json:"gc_pause_total_ns"`
	HeapBytes  int64 `json:"heap_bytes"`
	Goroutines int64 `json:"goroutines"`
	Threads    int64 `json:"threads"`
	// Ends counts connections by how they ended: "eof", "slow", …
	Ends    map[string]int64 `json:"ends,omitempty"`
	Stopped time.Duration    `json:"stopped_in_ns"` // from SIGTERM to its end
}
