package fetch

import (
	"fmt"
	"runtime"
	"slices"
	"time"
)

// Schema is the version of Result's JSON.
const Schema = 1

// Result is what was measured.
type Result struct {
	Schema   int       `json:"schema"`
	Scenario string    `json:"scenario"`
	Server   string    `json:"server"`
	Size     int64     `json:"size"`
	Started  time.Time `json:"started"`

	Bare    []Transfer `json:"bare"`
	Fetched []Transfer `json:"fetched"` // hashed at both ends
	Again   []Transfer `json:"again"`   // the sharer remembered the checksum
	// Ratio and RatioAgain are the medians of the turns' ratios.
	Ratio      float64 `json:"ratio_to_bare"`
	RatioAgain float64 `json:"ratio_to_bare_again"`
	Differing  int     `json:"differing_files"`
	RSSGrowth  int64   `json:"rss_growth"` // the greatest, of both clients together

	// CPUs is the number of CPUs for both ends together, SumSpeed what one of them hashes in a
	// second. Bound is computed from them: the speed of bare sockets if all CPUs did nothing
	// but transfer octets and hash them twice.
	CPUs     int     `json:"cpus"`
	SumSpeed float64 `json:"sha256_octets_per_second"`
	Bound    float64 `json:"bound_octets_per_second"`

	Chat       Chat     `json:"chat"`
	Violations []string `json:"violations"`
}

func newResult(cfg *Config) *Result {
	return &Result{Schema: Schema, Scenario: "fetch", Server: cfg.Server, Size: int64(cfg.Size), Started: time.Now(), CPUs: runtime.GOMAXPROCS(0)}
}

// Void says whether the run must not be used as a measurement.
func (r *Result) Void() bool { return len(r.Violations) > 0 }

func (r *Result) finish(cfg *Config) {
	r.Ratio, r.RatioAgain = r.ratio(r.Fetched), r.ratio(r.Again)
	for _, c := range slices.Concat(r.Fetched, r.Again) {
		r.RSSGrowth = max(r.RSSGrowth, c.RSS)
	}
	r.SumSpeed = sumSpeed()
	cpu := make([]float64, len(r.Bare))
	for i, b := range r.Bare {
		cpu[i] = float64(b.CPU) / 1e9 / float64(r.Size)
	}
	r.Bound = min(float64(r.CPUs)/(median(cpu)+2/r.SumSpeed), r.SumSpeed)
	r.Violations = []string{}
	violated := func(format string, args ...any) { r.Violations = append(r.Violations, fmt.Sprintf(format, args...)) }
	if r.Differing > 0 {
		violated("%d files differ from the shared one", r.Differing)
	}
	if r.Chat.Lost > 0 {
		violated("%d of %d messages did not come back", r.Chat.Lost, r.Chat.Said)
	}
	if p99 := time.Duration(r.Chat.P99NS); r.Chat.Count > 0 && p99 > cfg.Objective {
		violated("the chat's p99 of %v during transfers is above the objective of %v", p99.Round(10*time.Microsecond), cfg.Objective)
	}
}

// ratio is the median over the turns of the speed, divided by that of bare sockets.
func (r *Result) ratio(runs []Transfer) float64 {
	ratios := make([]float64, len(runs))
	for i, c := range runs {
		ratios[i] = c.PerSecond / r.Bare[i].PerSecond
	}
	return median(ratios)
}

// Median is the median of the speeds, in octets a second.
func Median(runs []Transfer) float64 {
	speeds := make([]float64, len(runs))
	for i, c := range runs {
		speeds[i] = c.PerSecond
	}
	return median(speeds)
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	values = slices.Sorted(slices.Values(values))
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}
