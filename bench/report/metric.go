package report

import (
	"slices"

	"chatbench/bench/record"
	"chatbench/bench/rules"
)

// better says which direction of a figure is good; "" if neither is.
type better string

const (
	lower  better = "lower"
	higher better = "higher"
)

// when says under which loads a figure is meaningful.
type when int

const (
	always when = iota
	openOnly
	closedOnly
	idleOnly
	relayOnly
	traffic // any load but idle
)

// metric is one figure of a round. Its key is its unit in bench.txt, its row in
// summary.csv and its name in JSON: base units, scaled only in tables.
type metric struct {
	key    string
	title  string // in words, for tables and plots
	unit   string // the unit of what print returns
	better better
	when   when
	judged bool // arms are compared in it
	words  [2]string
	print  func(float64) string
	of     func(view) (float64, bool) // of a round; callers use at
	// p is the percentile that the figure is, as a share, and messages how many messages it is computed
	// from; 0: it is not a percentile.
	p        float64
	messages func(view) int64
	slice    func(*record.Slice, record.Load) (float64, bool) // of a single slice; nil: only all slices together have it
}

// at is the figure of a round; false if there is none, or if the round has
// too few messages for one.
func (m metric) at(v view) (float64, bool) {
	if !m.applies(v.load) || m.p > 0 && !carries(m.messages(v), m.p, tailRound) {
		return 0, false
	}
	return m.of(v)
}

func (m metric) applies(l record.Load) bool {
	switch m.when {
	case openOnly:
		return l.Open()
	case closedOnly:
		return l.Closed()
	case idleOnly:
		return l.Scenario == record.Idle
	case relayOnly:
		return l.Scenario == record.Relay
	case traffic:
		return l.Scenario != record.Idle
	}
	return true
}

// The keys that the code uses by name.
const (
	keyRate     = "deliveries/s"
	keyCPU      = "cpu-ns/delivery"
	keyUser     = "user-ns/delivery"
	keyKernel   = "kernel-ns/delivery"
	keySyscalls = "syscalls/delivery"
	keySwitches = "switches/delivery"
	keyP50      = "p50-ns"
	keyP99      = "p99-ns"
	keyP999     = "p99.9-ns"
	keyRSS      = "rss-B"
	keyBusy     = "server-busy"
	keyGenBusy  = "generator-busy"
	keyForeign  = "foreign"
	keyNobody   = "uncharged"
	keyLag      = "lag-p99-ns"
	keyChat     = "chat-p99-ns"
	keyChatP50  = "chat-p50-ns"
	keyLogin    = "login-p50-ns"
	keyLoginP99 = "login-p99-ns"
	keyRSSEach  = "rss-B/client"
	keyPSSEach  = "pss-B/client"
	keyKernEach = "socket-B/client"
	keyClients  = "clients"
	keyThreads  = "threads"
	keyRSSBase  = "rss-base-B"
)

// PrimaryFigures is how many figures under a load are primary: chosen before the
// run, and corrected together. All others are exploratory.
func PrimaryFigures(l record.Load) int { return len(primary(l)) }

// primary returns their keys.
func primary(l record.Load) []string {
	switch {
	case l.Scenario == record.Idle:
		return []string{keyPSSEach}
	case l.Open():
		return []string{keyCPU, keyP50}
	}
	return []string{keyCPU}
}

func (l *LoadSummary) primary(key string) bool {
	return slices.Contains(primary(l.Load), key)
}

var (
	speed = [2]string{"faster", "slower"}
	cost  = [2]string{"cheaper", "dearer"}
	size  = [2]string{"smaller", "larger"}
	span  = [2]string{"shorter", "longer"}
)

// metrics are all figures, in the order of summary.csv.
var metrics = []metric{
	{key: keyRate, title: "deliveries/s", better: higher, judged: true, when: closedOnly, words: speed, print: count, of: perSecond,
		slice: func(s *record.Slice, l record.Load) (float64, bool) {
			return float64(s.InTime) / l.Duration.Seconds(), s.InTime > 0
		}},
	{key: "messages/s", title: "messages/s", when: traffic, print: count, of: func(v view) (float64, bool) {
		return ratio(&v.Traffic.Messages, v.Wall.Seconds())
	}},
	{key: keyCPU, title: "CPU per delivery", unit: "µs/1000", better: lower, judged: true, words: cost, print: plain,
		of:    perDelivery(func(u record.Usage) *int64 { return u.CPU }),
		slice: ofSlice(func(s *record.Slice) *int64 { return &s.CPU })},
	{key: keyUser, title: "in user code", unit: "µs/1000", better: lower, print: plain,
		of: perDelivery(func(u record.Usage) *int64 { return u.CPUUser })},
	{key: keyKernel, title: "in the kernel", unit: "µs/1000", better: lower, print: plain,
		of: perDelivery(func(u record.Usage) *int64 { return u.CPUKernel })},
	{key: keySyscalls, title: "system calls", unit: "per delivery", better: lower, judged: true, words: cost, print: small,
		of:    perDelivery(func(u record.Usage) *int64 { return u.Syscalls }),
		slice: ofSlice(func(s *record.Slice) *int64 { return s.Syscalls })},
	{key: keySwitches, title: "context switches", unit: "per 1000", better: lower, judged: true, words: cost, print: thousandth,
		of:    perDelivery(func(u record.Usage) *int64 { return u.ContextSwitches }),
		slice: ofSlice(func(s *record.Slice) *int64 { return &s.Switches })},

	{key: keyP50, title: "p50", unit: "ms", better: lower, judged: true, words: span, print: millis, p: 0.5, messages: ofMessages, of: latency(p50),
		slice: func(s *record.Slice, _ record.Load) (float64, bool) { return float64(s.P50), s.P50 > 0 }},
	{key: "p90-ns", title: "p90", unit: "ms", better: lower, print: millis, p: 0.9, messages: ofMessages, of: latency(p90)},
	{key: keyP99, title: "p99", unit: "ms", better: lower, judged: true, words: span, print: millis, p: 0.99, messages: ofMessages, of: latency(p99),
		slice: func(s *record.Slice, _ record.Load) (float64, bool) { return float64(s.P99), s.P99 > 0 }},
	{key: keyP999, title: "p99.9", unit: "ms", better: lower, print: millis, p: 0.999, messages: ofMessages, of: latency(p999)},
	{key: "max-ns", title: "slowest", unit: "ms", better: lower, print: millis, of: latency(top)},
	{key: "p50-sent-ns", title: "p50 from the send", unit: "ms", better: lower, when: openOnly, print: millis, p: 0.5, messages: ofMessages, of: fromSend(p50)},
	{key: "p99-sent-ns", title: "p99 from the send", unit: "ms", better: lower, when: openOnly, print: millis, p: 0.99, messages: ofMessages, of: fromSend(p99)},
	{key: "p99.9-sent-ns", title: "p99.9 from the send", unit: "ms", better: lower, when: openOnly, print: millis, p: 0.999, messages: ofMessages, of: fromSend(p999)},
	{key: keyLag, title: "generator lag p99", unit: "ms", better: lower, print: millis,
		of: func(v view) (float64, bool) { return float64(v.Lag.P99), v.Lag.Count > 0 }},
	{key: "queue-p50-ns", title: "generator's receive queue, p50", unit: "ms", when: traffic, print: millis, of: inQueue(p50)},
	{key: "queue-p99-ns", title: "generator's receive queue, p99", unit: "ms", when: traffic, print: millis, of: inQueue(p99)},

	{key: keyChatP50, title: "chat p50", unit: "ms", better: lower, when: relayOnly, print: millis, p: 0.5, messages: ofSayings, of: ofChat(p50)},
	{key: keyChat, title: "chat p99", unit: "ms", better: lower, judged: true, when: relayOnly, words: span, print: millis, p: 0.99, messages: ofSayings, of: ofChat(p99)},

	{key: keyLogin, title: "login p50", unit: "ms", better: lower, judged: true, when: idleOnly, words: span, print: millis, p: 0.5, messages: ofLogins, of: ofLogin(p50)},
	{key: keyLoginP99, title: "login p99", unit: "ms", better: lower, judged: true, when: idleOnly, words: span, print: millis, p: 0.99, messages: ofLogins, of: ofLogin(p99)},
	{key: keyRSSEach, title: "RSS a client", unit: "KiB", better: lower, judged: true, when: idleOnly, words: size, print: kibi,
		of: each(func(u record.Usage) (*int64, *int64, *int64) { return u.RSS, u.RSSFirst, u.RSSBase })},
	{key: keyPSSEach, title: "PSS a client", unit: "KiB", better: lower, judged: true, when: idleOnly, words: size, print: kibi,
		of: each(func(u record.Usage) (*int64, *int64, *int64) { return u.PSS, u.PSSFirst, u.PSSBase })},
	{key: keyKernEach, title: "socket buffers a client, both sides", unit: "KiB", better: lower, when: idleOnly, print: kibi,
		of: each(func(u record.Usage) (*int64, *int64, *int64) { return u.SocketMemory, nil, new(int64) })},
	{key: keyRSSBase, title: "RSS without clients", unit: "MiB", better: lower, when: idleOnly, print: mebi,
		of: memory(func(u record.Usage) *int64 { return u.RSSBase })},
	{key: keyClients, title: "clients", when: idleOnly, print: whole,
		of: func(v view) (float64, bool) { return float64(v.Traffic.Clients), v.Traffic.Clients > 0 }},
	{key: keyThreads, title: "threads, of all processes", better: lower, when: idleOnly, print: whole,
		of: func(v view) (float64, bool) { return float64(v.Usage.Threads), v.Usage.Threads > 0 }},

	{key: keyRSS, title: "RSS", unit: "MiB", better: lower, judged: true, words: size, print: mebi,
		of: memory(func(u record.Usage) *int64 { return u.RSS })},
	{key: "rss-peak-B", title: "RSS at its peak", unit: "MiB", better: lower, print: mebi,
		of: memory(func(u record.Usage) *int64 { return u.RSSPeak })},
	{key: "pss-B", title: "PSS", unit: "MiB", better: lower, print: mebi,
		of: memory(func(u record.Usage) *int64 { return u.PSS })},
	{key: "socket-B", title: "socket buffers, both sides", unit: "MiB", better: lower, print: mebi,
		of: memory(func(u record.Usage) *int64 { return u.SocketMemory })},

	{key: "B/write", title: "octets per write", better: higher, print: count, of: perWrite},
	{key: "short-writes", title: "short writes", better: lower, print: count, of: ofServer(func(s *record.Server) int64 { return s.Stalls })},
	{key: "gc-cycles", title: "GC cycles", better: lower, print: count, of: ofServer(func(s *record.Server) int64 { return s.GCCycles })},
	{key: "gc-pause-ns", title: "GC pauses", unit: "ms", better: lower, print: millis, of: ofServer(func(s *record.Server) int64 { return s.GCPause })},

	{key: keyBusy, title: "server's use of its CPUs", unit: "%", print: percent,
		of: busy},
	{key: keyGenBusy, title: "generator's use of its CPU", unit: "%", print: percent,
		of: func(v view) (float64, bool) { return v.Traffic.GeneratorBusy, v.Wall > 0 }},
	{key: "generator-ran", title: "generator had its CPU", unit: "%", better: higher, print: percent,
		of: func(v view) (float64, bool) { return v.Traffic.GeneratorRan, v.Wall > 0 }},
	{key: keyForeign, title: "others on the server's CPUs", unit: "%", better: lower, print: percent,
		of: func(v view) (float64, bool) { return optional(v.Usage.Foreign) }},
	{key: keyNobody, title: "charged to nobody on them", unit: "%", print: percent,
		of: func(v view) (float64, bool) { return optional(v.Usage.Uncharged) }},
	{key: "steal", title: "stolen by the hypervisor", unit: "%", better: lower, print: percent,
		of: func(v view) (float64, bool) { return optional(v.Usage.Steal) }},
	{key: "throttled", title: "stopped by a CPU limit", unit: "%", print: percent,
		of: func(v view) (float64, bool) { return optional(v.Usage.Throttled) }},
}

// find returns the metric with a key; all keys above exist.
func find(key string) metric {
	for _, m := range metrics {
		if m.key == key {
			return m
		}
	}
	panic("report: no metric " + key)
}

// view is a round with its context, from which a figure is computed.
type view struct {
	*record.Round
	load record.Load
	*record.Manifest
}

// ratio is absent if the value is, or if by is 0.
func ratio(v *int64, by float64) (float64, bool) {
	if v == nil || by <= 0 {
		return 0, false
	}
	return float64(*v) / by, true
}

func optional(v *float64) (float64, bool) {
	if v == nil {
		return 0, false
	}
	return *v, true
}

func perSecond(v view) (float64, bool) { return rules.PerSecond(*v.Round), v.Wall > 0 }

// perDelivery is a cost of each delivery; in a relay load deliveries of chat
// are counted too.
func perDelivery(of func(record.Usage) *int64) func(view) (float64, bool) {
	return func(v view) (float64, bool) { return ratio(of(v.Usage), chargedDeliveries(v)) }
}

// chargedDeliveries is the deliveries for which the CPU of a round was used.
func chargedDeliveries(v view) float64 {
	if v.load.Sliced() {
		return float64(v.Traffic.Between)
	}
	return float64(v.Traffic.Deliveries + v.Traffic.Chat)
}

// ofSlice is a cost of each delivery of one slice.
func ofSlice(of func(*record.Slice) *int64) func(*record.Slice, record.Load) (float64, bool) {
	return func(s *record.Slice, _ record.Load) (float64, bool) { return ratio(of(s), float64(s.Deliveries)) }
}

func memory(of func(record.Usage) *int64) func(view) (float64, bool) {
	return func(v view) (float64, bool) { return ratio(of(v.Usage), 1) }
}

// busy is the share of all the server's CPUs over the timed section.
func busy(v view) (float64, bool) {
	return ratio(v.Usage.CPU, float64(v.Edged())*float64(len(v.CPUsOf(v.Arm))))
}

func ofServer(of func(*record.Server) int64) func(view) (float64, bool) {
	return func(v view) (float64, bool) {
		if v.Server == nil {
			return 0, false
		}
		return float64(of(v.Server)), true
	}
}

func perWrite(v view) (float64, bool) {
	if v.Server == nil {
		return 0, false
	}
	return ratio(&v.Server.BytesOut, float64(v.Server.Writes))
}

// latency is a percentile of the time from due to delivery. A closed loop
// has no due times: there it is the time from the send.
func latency(of func(record.Latency) int64) func(view) (float64, bool) {
	return func(v view) (float64, bool) {
		if v.load.Closed() {
			return float64(of(v.Sent)), v.Sent.Count > 0
		}
		return float64(of(v.Due)), v.Due.Count > 0
	}
}

func fromSend(of func(record.Latency) int64) func(view) (float64, bool) {
	return func(v view) (float64, bool) { return float64(of(v.Sent)), v.Sent.Count > 0 }
}

// inQueue is a percentile of the part of the latency in which received data waited in
// the generator's own receive queue.
func inQueue(of func(record.Latency) int64) func(view) (float64, bool) {
	return func(v view) (float64, bool) { return float64(of(v.Queue)), v.Queue.Count > 0 }
}

// ofChat leaves out rounds in which the generator itself was late with the chat.
func ofChat(of func(record.Latency) int64) func(view) (float64, bool) {
	return func(v view) (float64, bool) {
		late := float64(v.Traffic.ChatLag) > v.Rules.LagShare*float64(v.Rules.Objective)
		return float64(of(v.Chat)), v.Chat.Count > 0 && !late
	}
}

func ofLogin(of func(record.Latency) int64) func(view) (float64, bool) {
	return func(v view) (float64, bool) { return float64(of(v.Login)), v.Login.Count > 0 }
}

// each is what one more client adds: the slope between a first number of clients and
// all of them. If there is only one number (in older runs, or with few
// clients) it is the slope between none and all, and so includes what the server
// allocates once.
func each(of func(record.Usage) (all, first, none *int64)) func(view) (float64, bool) {
	return func(v view) (float64, bool) {
		all, less, none := of(v.Usage)
		clients := v.Traffic.Clients
		if less == nil {
			less = none
		} else {
			clients -= v.Usage.FirstClients
		}
		if all == nil || less == nil {
			return 0, false
		}
		added := *all - *less
		return ratio(&added, float64(clients))
	}
}

func p50(l record.Latency) int64  { return l.P50 }
func p90(l record.Latency) int64  { return l.P90 }
func p99(l record.Latency) int64  { return l.P99 }
func p999(l record.Latency) int64 { return l.P999 }
func top(l record.Latency) int64  { return l.Max }
