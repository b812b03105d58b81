package hist

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The layout is HdrHistogram's own: recording the same values into both gives
// equal histograms, at every power of two and its neighbours and at random.
func TestSameAsHdrHistogram(t *testing.T) {
	h, want := New(), hdrhistogram.New(lowest, highest, digits)
	record := func(v, n int64) {
		h.Record(v, n)
		if err := want.RecordValues(v, n); err != nil {
			t.Fatalf("%d: %v", v, err)
		}
	}
	for shift := range 42 {
		for d := int64(-1); d <= 1; d++ {
			if v := int64(1)<<shift + d; v <= highest {
				record(v, 1+d*d)
			}
		}
	}
	record(highest, 3)
	random := rand.New(rand.NewPCG(1, 2))
	for range 10000 {
		record(random.Int64N(highest)>>random.IntN(42), random.Int64N(9)+1)
	}
	if got := h.HDR(); !got.Equals(want) {
		t.Fatalf("not equal: %d values up to %d, want %d up to %d", got.TotalCount(), got.Max(), want.TotalCount(), want.Max())
	}
}

func TestOutOfRangeIsClamped(t *testing.T) {
	h := New()
	h.Record(-5, 2)
	h.Record(int64(2*time.Hour), 1)
	s := h.Summary()
	if s.Count != 3 || s.MinNS != 0 || s.MaxNS < highest || s.MaxNS > highest+highest/1000 {
		t.Errorf("%+v", s)
	}
	h.Reset()
	if s := h.Summary(); s.Count != 0 {
		t.Errorf("after Reset: %+v", s)
	}
}

func TestJSON(t *testing.T) {
	h := New()
	for v := int64(1); v < 1e9; v = v*3 + 1 {
		h.Record(v, v%5+1)
	}
	data, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	var back Histogram
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if !back.HDR().Equals(h.HDR()) {
		t.Error("what came back differs")
	}
	back.Record(highest, 1) // still room for every value
	for _, bad := range []string{`5`, `"nonsense"`} {
		if json.Unmarshal([]byte(bad), &back) == nil {
			t.Errorf("%s was read", bad)
		}
	}
}

func TestRecordAllocatesNothing(t *testing.T) {
	h := New()
	if n := testing.AllocsPerRun(1000, func() { h.Record(12345678, 3) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRecord(b *testing.B) {
	h := New()
	v := int64(0)
	for b.Loop() {
		h.Record(v&0xfffff, 1)
		v += 7919
	}
}
