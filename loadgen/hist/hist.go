// Package hist is the histogram the load generator records latencies into: an
// array increment a value, in the layout of HdrHistogram (three significant
// digits, 1 ns to an hour), so that it turns into one for percentiles, files
// and merging without losing anything.
//
// It answers no queries while it is being filled: query the HDR
// histogram that it turns into. A Histogram belongs to one goroutine at a time.
package hist

import (
	"encoding/json"
	"fmt"
	"math"
	"math/bits"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The geometry. An HdrHistogram of these three numbers has the same counts array.
const (
	lowest  = 1
	highest = int64(time.Hour)
	digits  = 3
)

// Three digits need 2·10³ sub-buckets, rounded up to a power of two. A value
// below that is its own index; each doubling above adds half as many.
const (
	subBits = 11
	subs    = 1 << subBits
	size    = (42 - subBits + 2) << (subBits - 1) // an hour is below 2^42 ns
)

// Histogram counts values in nanoseconds. The zero value is not ready: use New.
type Histogram struct {
	counts []int64
}

// New is an empty histogram. Its memory (a quarter of a megabyte) is touched
// at once, so that no page fault falls into a measurement.
func New() *Histogram {
	h := &Histogram{counts: make([]int64, size)}
	h.Reset()
	return h
}

// Record counts n values of v nanoseconds. A negative value (clocks of two
// messages read in the other order) counts as 0, one above an hour as an hour.
func (h *Histogram) Record(v, n int64) {
	if uint64(v) > uint64(highest) {
		v = min(max(v, 0), highest)
	}
	shift := bits.Len64(uint64(v)|(subs-1)) - subBits
	h.counts[shift<<(subBits-1)+int(v>>shift)] += n
}

// Reset forgets everything.
func (h *Histogram) Reset() {
	for i := range h.counts {
		h.counts[i] = 0
	}
}

// Merge adds all values of another histogram.
func (h *Histogram) Merge(other *Histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
}

// HDR is the same histogram as an HdrHistogram, a copy.
func (h *Histogram) HDR() *hdrhistogram.Histogram {
	return hdrhistogram.Import(&hdrhistogram.Snapshot{
		LowestTrackableValue:  lowest,
		HighestTrackableValue: highest,
		SignificantFigures:    digits,
		Counts:                h.counts,
	})
}

// MarshalJSON writes the histogram in HdrHistogram's V2 encoding: base64 in a string.
func (h *Histogram) MarshalJSON() ([]byte, error) {
	encoded, err := h.HDR().EncodeV2()
	if err != nil {
		return nil, fmt.Errorf("hist: %w", err)
	}
	return json.Marshal(string(encoded))
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (h *Histogram) UnmarshalJSON(data []byte) error {
	var encoded string
	if err := json.Unmarshal(data, &encoded); err != nil {
		return fmt.Errorf("hist: %w", err)
	}
	decoded, err := hdrhistogram.Decode([]byte(encoded))
	if err != nil {
		return fmt.Errorf("hist: %w", err)
	}
	s := decoded.Export()
	if s.LowestTrackableValue != lowest || s.SignificantFigures != digits || len(s.Counts) > size {
		return fmt.Errorf("hist: a histogram of another geometry (%d to %d, %d digits)", s.LowestTrackableValue, s.HighestTrackableValue, s.SignificantFigures)
	}
	h.counts = make([]int64, size)
	copy(h.counts, s.Counts)
	return nil
}

// Summary is the figures of a histogram that are printed.
type Summary struct {
	Count  int64 `json:"count"`
	MinNS  int64 `json:"min_ns"`
	MeanNS int64 `json:"mean_ns"`
	P50NS  int64 `json:"p50_ns"`
	P90NS  int64 `json:"p90_ns"`
	P99NS  int64 `json:"p99_ns"`
	P999NS int64 `json:"p99.9_ns"`
	MaxNS  int64 `json:"max_ns"`
}

// Summary computes the summary of all values.
func (h *Histogram) Summary() Summary {
	hdr := h.HDR()
	return Summary{
		Count:  hdr.TotalCount(),
		MinNS:  hdr.Min(),
		MeanNS: int64(math.Round(hdr.Mean())),
		P50NS:  hdr.ValueAtPercentile(50),
		P90NS:  hdr.ValueAtPercentile(90),
		P99NS:  hdr.ValueAtPercentile(99),
		P999NS: hdr.ValueAtPercentile(99.9),
		MaxNS:  hdr.Max(),
	}
}
