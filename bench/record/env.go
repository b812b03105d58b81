package record

// Env is env.json: the machine as it was. What cannot be read is absent.
type Env struct {
	Schema           int               `json:"schema"`
	Host             string            `json:"host"`
	OS               string            `json:"os"`   // GOOS/GOARCH
	Go               string            `json:"go"`   // the bench's toolchain
	CPU              string            `json:"cpu"`  // model name
	CPUs             int               `json:"cpus"` // how many this process may use
	CPUMHz           []float64         `json:"cpu_mhz,omitempty"`
	Siblings         []string          `json:"siblings,omitempty"` // thread siblings by CPU
	Governor         string            `json:"governor,omitempty"`
	Hypervisor       bool              `json:"hypervisor"`
	Memory           int64             `json:"memory_bytes"`
	Kernel           string            `json:"kernel"`
	CommandLine      string            `json:"kernel_command_line,omitempty"`
	ClockSource      string            `json:"clock_source"`
	Congestion       string            `json:"tcp_congestion_control"`
	Sysctls          map[string]string `json:"sysctls"`
	Mitigations      map[string]string `json:"mitigations"`
	PerfParanoid     string            `json:"perf_event_paranoid"`
	OpenFiles        uint64            `json:"nofile"`             // the bench's limit
	LoadAverage      string            `json:"load_average"`       // before the first round
	StealBefore      int64             `json:"steal_before_ticks"` // of all CPUs since boot
	StealAfter       int64             `json:"steal_after_ticks"`
	TickHz           int64             `json:"tick_hz"`
	TransparentPages string            `json:"transparent_hugepages,omitempty"`
	// CallPrice and SwitchPrice are what counting adds to each system call and to
	// each context switch of the server, in nanoseconds: measured on its CPU before
	// the first round, alternately with and without counters, the median of the
	// differences. Absent if counters do not work or nothing could be measured.
	CallPrice   *float64 `json:"counting_ns_per_syscall,omitempty"`
	SwitchPrice *float64 `json:"counting_ns_per_switch,omitempty"`
}

// Check is one line of checks.json: a condition, and whether it is met.
type Check struct {
	Name   string `json:"name"`
	Arm    string `json:"arm,omitempty"` // the arm that it is about; "": the run, or the load in the name
	OK     bool   `json:"ok"`
	Detail string `json:"detail"` // the figure and its limit
}

// Checks is checks.json.
type Checks struct {
	Schema int     `json:"schema"`
	Checks []Check `json:"checks"`
	// Void counts the rounds that do not count, by reason. A round may have
	// several reasons; VoidRounds counts it once.
	Void       map[Reason]int `json:"void"`
	VoidRounds int            `json:"void_rounds"`
	Rounds     int            `json:"rounds"` // measured, without those of the null server
	// Files is the SHA-256 of every raw file, in hex: the files from which the derived files
	// were made.
	Files map[string]string `json:"files"`
}
