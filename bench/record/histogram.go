package record

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The streams of a round: what its histograms count, all in nanoseconds.
const (
	StreamDue  = "due"
	StreamSent = "sent"
	StreamLag  = "lag"
	// StreamChat is of the chat during a relay load, StreamLogin of logins.
	StreamChat  = "chat"
	StreamLogin = "login"
	// StreamQueue is of the generator's reads: how long the data had waited
	// in its own receive queue.
	StreamQueue = "queue"
	// StreamElsewhere is of deliveries from one agent's senders to another's clients.
	StreamElsewhere = "elsewhere"
)

// Streams are all streams, in the order in which they are written.
var Streams = []string{StreamDue, StreamSent, StreamLag, StreamChat, StreamLogin, StreamQueue, StreamElsewhere}

// Key finds one histogram of a run: one stream of one round.
type Key struct {
	Load, Arm, Stream string
	StartedMs         int64
}

// Tag is the tag of an interval in the .hlog file: "epoll.due". It
// has no comma and no space, because a backend's name has neither.
func Tag(arm, stream string) string { return arm + "." + stream }

// Summarize computes the figures of a histogram that rounds.jsonl keeps. A nil
// or empty histogram gives the zero Latency.
func Summarize(h *hdrhistogram.Histogram) Latency {
	if h == nil || h.TotalCount() == 0 {
		return Latency{}
	}
	q := h.ValueAtPercentilesSlice([]float64{50, 90, 99, 99.9, 99.99})
	return Latency{
		Count: h.TotalCount(), Min: h.Min(), Mean: h.Mean(), Max: h.Max(),
		P50: q[0], P90: q[1], P99: q[2], P999: q[3], P9999: q[4],
	}
}

// Merge adds histograms into a new one that is wide enough for all of them; nil if
// there are none or all are empty.
func Merge(hs []*hdrhistogram.Histogram) *hdrhistogram.Histogram {
	var low, high, digits int64 = math.MaxInt64, 0, 0
	for _, h := range hs {
		if h != nil && h.TotalCount() > 0 {
			low = min(low, h.LowestTrackableValue())
			high = max(high, h.HighestTrackableValue())
			digits = max(digits, h.SignificantFigures())
		}
	}
	if high == 0 {
		return nil
	}
	sum := hdrhistogram.New(low, high, int(digits))
	for _, h := range hs {
		if h != nil {
			sum.Merge(h)
		}
	}
	return sum
}

// writeLog writes the histograms of one load as an HdrHistogram V2 interval
// log, one interval a round and stream, in the order of rounds.
func writeLog(w io.Writer, load string, rounds []Round, of map[Key]*hdrhistogram.Histogram) error {
	log := hdrhistogram.NewHistogramLogWriter(w)
	if err := log.OutputLogFormatVersion(); err != nil {
		return err
	}
	if err := log.OutputComment("[nanoseconds; a tag is ARM.STREAM, a line one round]"); err != nil {
		return err
	}
	if err := log.OutputLegend(); err != nil {
		return err
	}
	for i := range rounds {
		r := &rounds[i]
		for _, stream := range Streams {
			h := of[Key{load, r.Arm, stream, r.StartedMs}]
			if r.Load != load || h == nil || h.TotalCount() == 0 {
				continue
			}
			h.SetTag(Tag(r.Arm, stream))
			h.SetStartTimeMs(r.StartedMs)
			h.SetEndTimeMs(r.StartedMs + r.Wall.Milliseconds())
			if err := log.OutputIntervalHistogram(h); err != nil {
				return fmt.Errorf("record: %s, %s: %w", load, h.Tag(), err)
			}
		}
	}
	return nil
}

// readLog is the inverse of writeLog. It does not use the library's reader, which skips
// lines that it cannot read.
func readLog(data []byte, load string, into map[Key]*hdrhistogram.Histogram) error {
	number := 0
	for line := range strings.Lines(string(data)) {
		number++
		if line[0] == '#' || line[0] == '"' {
			continue
		}
		key, h, err := parseInterval(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return fmt.Errorf("record: %s, line %d: %w", LogFile(load), number, err)
		}
		key.Load = load
		into[key] = h
	}
	return nil
}

// parseInterval reads "Tag=ARM.STREAM,start,length,max,histogram".
func parseInterval(line string) (Key, *hdrhistogram.Histogram, error) {
	fields := strings.Split(line, ",")
	tag, tagged := strings.CutPrefix(fields[0], "Tag=")
	arm, stream, dotted := cutLast(tag, '.')
	if len(fields) != 5 || !tagged || !dotted {
		return Key{}, nil, errors.New("not Tag=ARM.STREAM,start,length,max,histogram")
	}
	start, err := strconv.ParseFloat(fields[1], 64)
	if err != nil {
		return Key{}, nil, err
	}
	h, err := hdrhistogram.Decode([]byte(fields[4]))
	if err != nil {
		return Key{}, nil, err
	}
	h.SetTag(tag)
	return Key{Arm: arm, Stream: stream, StartedMs: int64(math.Round(start * 1000))}, h, nil
}

// cutLast cuts s around the last sep: an arm's name may hold it.
func cutLast(s string, sep byte) (before, after string, ok bool) {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == sep {
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}
