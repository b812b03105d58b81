package report

import "math"

// A percentile is determined by messages, not by deliveries: all receivers of a
// message wait for the same server, so a hundred late deliveries of one message
// are one event. tail messages must lie beyond a percentile that is shown. Their
// number is a matter of chance with a standard deviation of about its square root
// (binomial; H. A. David and H. N. Nagaraja, "Order Statistics", chapter 7.1):
// with ten, in 95 of 100 runs, between 4 and 17 really do, and 1-p is
// known within a factor of two or so. Rounds whose medians are shown share them,
// but each must have at least one: the percentile of a round that has none is its
// slowest message, and so is the median of such rounds.
const (
	tail      = 10
	tailRound = 1
)

// reach is the greatest percentile, as a share, that so many messages determine.
func reach(messages int64) float64 { return max(0, 1-tail/float64(max(messages, 1))) }

// carries says whether of so many messages enough lie beyond the percentile p.
func carries(messages int64, p, beyond float64) bool {
	return float64(messages)*(1-p) >= beyond*(1-1e-9) // 1-p is not exact
}

// reachDecades is reach on an axis of powers of ten: 3 for 99.9 %.
func reachDecades(messages int64) float64 { return -math.Log10(1 - reach(messages)) }

// The number of messages by which a percentile of a round is determined. The generator's lag has
// none: rounds are judged by its p99, which is shown as it was judged.

func ofMessages(v view) int64 { return v.Traffic.Messages }
func ofLogins(v view) int64   { return v.Traffic.Clients }

// ofSayings is the number of chat messages in a relay load: each was delivered to every client.
func ofSayings(v view) int64 { return v.Traffic.Chat / max(1, int64(v.load.Clients)) }
