package record

import "time"

// Round is one line of rounds.jsonl: one cell, measured once.
type Round struct {
	Schema  int    `json:"schema"`
	Seq     int    `json:"seq"`   // place in the order of the run, from 1
	Round   int    `json:"round"` // pairs the arms; 0 for the certificate
	Load    string `json:"load"`
	Arm     string `json:"arm"`
	Backend string `json:"backend"`
	// StartedMs is when the timed section began, in milliseconds since 1970:
	// the key of this round's histograms in the .hlog file.
	StartedMs int64         `json:"started_ms"`
	Wall      time.Duration `json:"wall_ns"` // of the timed section
	// Void is why this round counts in no figure; nil: it counts.
	Void []Reason `json:"void,omitempty"`
	// Marks is what a reader must know of a round that counts.
	Marks []Reason `json:"marks,omitempty"`
	// Error is the one line that says what failed, "" if nothing did.
	Error string `json:"error,omitempty"`

	Traffic Traffic `json:"traffic"`
	Due     Latency `json:"due"`  // from when a message was due to each delivery; closed loop: as Sent
	Sent    Latency `json:"sent"` // from the actual send to each delivery
	Lag     Latency `json:"lag"`  // from due to sent: the generator's own lateness

	Usage  Usage   `json:"usage"`
	Server *Server `json:"server,omitempty"` // what chatd counted itself, all its life; absent if it died
}

// Counts says whether the round enters the figures.
func (r *Round) Counts() bool { return len(r.Void) == 0 }

// Marked says whether the round carries the mark.
func (r *Round) Marked(mark Reason) bool {
	for _, m := range r.Marks {
		if m == mark {
			return true
		}
	}
	return false
}

// Reason is why a round is void or marked.
type Reason string

// Void rules, and the one mark. Lost, Duplicated, Reordered and Altered are
// violations of the server: the run ends with exit code 3.
const (
	Lost       Reason = "lost"
	Duplicated Reason = "duplicated"
	Reordered  Reason = "reordered"
	Altered    Reason = "altered"
	// ServerDied: chatd ended before it was told to, or not as told.
	ServerDied Reason = "server-died"
	// NotStarted: chatd or its clients did not come up.
	NotStarted Reason = "not-started"
	// LoadFailed: the generator gave up.
	LoadFailed Reason = "load-failed"
	// GeneratorLimited: the generator was late or off its rate (open loop:
	// void), or near its own ceiling (closed loop: a mark on the rate).
	GeneratorLimited Reason = "generator-limited"
	// Steal: the hypervisor took the CPU away.
	Steal Reason = "steal"
)

// Violation says whether the reason is the server's breach of its contract.
func (r Reason) Violation() bool {
	switch r {
	case Lost, Duplicated, Reordered, Altered, ServerDied:
		return true
	}
	return false
}

// Traffic is what the generator's ledger holds of the timed section.
type Traffic struct {
	Messages   int64 `json:"messages"`   // sent
	Deliveries int64 `json:"deliveries"` // received and found right
	Expected   int64 `json:"expected"`   // messages × receivers
	Lost       int64 `json:"lost"`
	Duplicated int64 `json:"duplicated"`
	Reordered  int64 `json:"reordered"`
	Altered    int64 `json:"altered"`
	// GeneratorBusy is the share of the timed section in which the generator
	// was not merely polling; absent where it does not say.
	GeneratorBusy *float64 `json:"generator_busy,omitempty"`
}

// Latency is one histogram in a few figures; the whole of it is in the .hlog
// file. Nanoseconds; zero throughout if Count is.
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

// Usage is what the server's process tree took from the machine between the
// start and the end of the timed section, and what it held at its end. Fields
// that could not be taken are absent; Manifest.Measures says why.
type Usage struct {
	CPU             *int64 `json:"cpu_ns,omitempty"`        // user and kernel, the whole tree
	CPUUser         *int64 `json:"cpu_user_ns,omitempty"`   // CPU split by the kernel's own accounting of
	CPUKernel       *int64 `json:"cpu_kernel_ns,omitempty"` // ticks; the two sum to CPU
	Syscalls        *int64 `json:"syscalls,omitempty"`
	ContextSwitches *int64 `json:"context_switches,omitempty"`
	Processes       int    `json:"processes"` // of the tree at the end
	Threads         int    `json:"threads"`
	RSS             *int64 `json:"rss_bytes,omitempty"`      // at the end, clients connected
	RSSPeak         *int64 `json:"rss_peak_bytes,omitempty"` // of each process, summed
	PSS             *int64 `json:"pss_bytes,omitempty"`      // at the end
	// SocketMemory is what all TCP sockets of this machine hold in the kernel
	// at the end, less what they held before the server started.
	SocketMemory *int64 `json:"socket_memory_bytes,omitempty"`
	// Steal is the largest share that was stolen from any one CPU in use.
	Steal *float64 `json:"steal,omitempty"`
	// Foreign is the CPU time others took on the server's CPUs, softirq of
	// nobody's account included.
	Foreign *int64 `json:"foreign_cpu_ns,omitempty"`
}

// Server is what chatd says of itself when it stops: counts of its whole life,
// login and warm-up included.
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
