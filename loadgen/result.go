package loadgen

import (
	"fmt"
	"math"
	"time"

	"chatbench/loadgen/hist"
	"chatbench/loadgen/ledger"
)

// Schema is the version of Result as JSON.
const Schema = 2

// The kinds of loops.
const (
	Open   = "open"   // messages are sent by a schedule, whatever the server does
	Closed = "closed" // each sender waits for its window
	None   = "none"   // nothing is sent
)

// Result is what a run measured.
//
// Which messages and deliveries are timed: a message belongs to the
// timed section if it was due in it (closed loop: sent in it). The latency of
// each of its deliveries counts whenever it arrives, so that slow deliveries are
// not cut off; messages of the warm-up have no latency. A rate counts what
// happened in the timed section: the messages that the kernel took in it, and the
// deliveries that arrived in it, divided by its length. Deliveries that arrive after
// the section are balanced by those from before it that arrive within, as
// long as the server keeps up. The ledger counts everything, warm-up included.
type Result struct {
	Schema   int       `json:"schema"`
	Scenario string    `json:"scenario"` // Broadcast, Relay or Idle
	Loop     string    `json:"loop"`     // Open, Closed or None
	Arrivals string    `json:"arrivals"` // fixed, poisson, or window in a closed loop
	Server   string    `json:"server"`   // HOST:PORT; several with commas between
	Clients  int       `json:"clients"`
	Senders  int       `json:"senders"`
	Rate     float64   `json:"target_messages_per_second"` // 0 in a closed loop
	Window   int       `json:"window_messages"`            // 0 in an open loop
	Size     int       `json:"size_octets"`                // of a text
	Frame    int       `json:"frame_octets"`               // of a text as delivered
	Seed     uint64    `json:"seed"`
	Started  time.Time `json:"started"` // of the load, warm-up included
	Warmup   int64     `json:"warmup_ns"`
	Duration int64     `json:"duration_ns"` // of the timed section

	Messages   Messages   `json:"messages"`
	Deliveries Deliveries `json:"deliveries"`
	// PerMessage is how many deliveries a message causes, on average.
	PerMessage float64 `json:"deliveries_per_message"`

	// FromDue is the latency that a user experiences: a stall of the server or the
	// generator is in it. Empty in a closed loop, where nothing is due.
	FromDue  Latency `json:"latency_from_due"`
	FromSend Latency `json:"latency_from_send"`

	// Servers has the latencies again, split by server, if the room is on several servers; else nil.
	Servers *Servers `json:"servers,omitempty"`

	// Elsewhere is the latency of messages whose sender another agent drives; nil if there is
	// one process. It is in no other latency.
	Elsewhere *Elsewhere `json:"elsewhere,omitempty"`

	// Login is from connect (with a ramp: from when that was due) to the answer
	// to the login, of every client. A TLS handshake is included.
	Login Latency `json:"login"`
	// Requests is present in a relay load only.
	Requests *Requests `json:"requests,omitempty"`

	// TLS is what the clients and the server negotiated; nil without TLS. The time in which
	// the generator itself encrypts and decrypts is in its busy ratio and its CPU, and
	// in every latency: a delivery has come when it is decrypted.
	TLS *TLS `json:"tls,omitempty"`

	Generator Generator    `json:"generator"`
	Ledger    ledger.Tally `json:"ledger"`
	Notices   uint64       `json:"server_notices"`

	// Violations is what the server did wrong or did not manage. If it is not empty the
	// result is void, exit status 3.
	Violations []string `json:"violations"`
	// GeneratorLimited says why the figures may be the generator's and not the
	// server's. If it is not empty, never print them as the server's.
	GeneratorLimited []string `json:"generator_limited"`
}

// Messages counts the messages that were sent.
type Messages struct {
	InAll     uint64  `json:"in_all"` // warm-up included
	Unsent    uint64  `json:"unsent"` // that were due, but the server never read
	Due       uint64  `json:"due_in_time"`
	Sent      uint64  `json:"sent_in_time"`
	PerSecond float64 `json:"sent_per_second"`
}

func (m *Messages) add(other *Messages) {
	m.InAll, m.Unsent = m.InAll+other.InAll, m.Unsent+other.Unsent
	m.Due, m.Sent = m.Due+other.Due, m.Sent+other.Sent
}

// Deliveries counts what was received; every octet of each delivery was checked.
type Deliveries struct {
	InAll     uint64  `json:"in_all"` // warm-up included
	Timed     uint64  `json:"timed"`  // latencies: of deliveries of timed messages; relay: of whole answers
	Due       uint64  `json:"due"`    // that the messages due in the timed section cause
	InTime    uint64  `json:"in_time"`
	PerSecond float64 `json:"per_second"`
}

func (d *Deliveries) add(other *Deliveries) {
	d.InAll, d.Due, d.InTime = d.InAll+other.InAll, d.Due+other.Due, d.InTime+other.InTime
}

// Servers has the latencies of a room on several servers, from when a message was due (closed
// loop: sent): to clients of the sender's own server, and to clients of the others.
type Servers struct {
	Within Latency `json:"latency_within_a_server"`
	Across Latency `json:"latency_across_servers"`
}

// Elsewhere is a latency from when a message was due by the receiver's clock, although
// the sender used another clock. It is right to within Bound. Empty in a closed loop.
type Elsewhere struct {
	Latency Latency `json:"latency"`
	Bound   int64   `json:"bound_ns"` // the largest sum of two agents' bounds on their clocks' offsets, drift while the load went on included
}

// Requests is what a relay load measures in addition: the requests, and the chat at the same time.
type Requests struct {
	Pairs      int     `json:"pairs"`
	Files      int     `json:"files_in_a_list"`
	Downloads  int     `json:"one_download_in"` // requests; 0: none
	Answered   uint64  `json:"answered"`
	Unanswered uint64  `json:"unanswered"` // of those the server read
	Rate       float64 `json:"chat_messages_per_second"`
	Chat       Latency `json:"chat_latency_from_due"`
	// ChatLag is the generator's own lateness with the chat.
	ChatLag     Latency `json:"chat_lag"`
	Heard       uint64  `json:"chat_deliveries"`
	HeardInTime uint64  `json:"chat_deliveries_in_time"`
}

// Latency is a distribution: its summary and the whole histogram.
type Latency struct {
	hist.Summary
	Histogram *hist.Histogram `json:"histogram"`
}

func latency(h *hist.Histogram) Latency { return Latency{h.Summary(), h} }

// Void says whether the result must not be used as a measurement of the server.
func (r *Result) Void() bool { return len(r.Violations) > 0 }

// latencies returns all latencies of a result, in a fixed order.
func (r *Result) latencies() []*Latency {
	all := []*Latency{&r.FromDue, &r.FromSend, &r.Login, &r.Generator.Lag, &r.Generator.Queue}
	if r.Requests != nil {
		all = append(all, &r.Requests.Chat, &r.Requests.ChatLag)
	}
	if r.Servers != nil {
		all = append(all, &r.Servers.Within, &r.Servers.Across)
	}
	if r.Elsewhere != nil {
		all = append(all, &r.Elsewhere.Latency)
	}
	return all
}

// part returns what the generator measured.
func (g *generator) part() *Part {
	c := &g.cfg
	p := &Part{Result: Result{
		Schema: Schema, Scenario: c.Scenario, Loop: Open, Arrivals: "fixed",
		Server: c.Server, Clients: c.Clients, Senders: c.Senders, Rate: float64(c.Rate), Window: c.Window, Seed: c.Seed,
		Started: g.base.Add(time.Duration(g.origin)), Warmup: int64(c.Warmup), Duration: int64(c.Duration),
		PerMessage: c.PerMessage(), TLS: g.negotiated(), Generator: g.health.report(),
	}}
	g.load.fill(p)
	p.Login.Histogram, p.Generator.Queue.Histogram = g.logins, g.queue.waits
	if c.Scenario == Idle {
		p.Generator.Lag.Histogram = g.connectLag
	}
	switch {
	case c.Scenario == Idle:
		p.Loop, p.Arrivals = None, "none"
	case c.Window > 0:
		p.Loop, p.Arrivals = Closed, "window"
	case c.Poisson:
		p.Arrivals = "poisson"
	}
	return p
}

// complete fills in what follows from counts and latencies, and judges the result.
func (r *Result) complete(c *Config) {
	seconds := c.Duration.Seconds()
	r.Messages.PerSecond = float64(r.Messages.Sent) / seconds
	r.Deliveries.PerSecond = float64(r.Deliveries.InTime) / seconds
	r.Deliveries.Timed = uint64(r.FromSend.Count)
	r.judge(c)
}

func (r *Result) unanswered() uint64 {
	if r.Requests == nil {
		return 0
	}
	return r.Requests.Unanswered
}

// judge applies the rules, all of them fixed beforehand.
func (r *Result) judge(c *Config) {
	r.Violations, r.GeneratorLimited = []string{}, []string{}
	violated := func(format string, args ...any) { r.Violations = append(r.Violations, fmt.Sprintf(format, args...)) }
	limited := func(format string, args ...any) {
		r.GeneratorLimited = append(r.GeneratorLimited, fmt.Sprintf(format, args...))
	}
	l := r.Ledger
	for _, wrong := range []struct {
		n    uint64
		what string
	}{
		{l.Lost, "deliveries lost"}, {l.Duplicated, "deliveries duplicated"},
		{l.Reordered, "deliveries reordered"}, {l.Altered, "deliveries altered"},
		{l.OtherOrder, "receivers saw another order than the first"},
		{r.Messages.Unsent, "messages the server never read"},
		{r.unanswered(), "requests never answered"},
	} {
		if wrong.n > 0 {
			violated("%d %s", wrong.n, wrong.what)
		}
	}
	if c.Ceiling > 0 && r.Deliveries.PerSecond > 0.7*c.Ceiling {
		limited("%.1f M deliveries/s are above 70 %% of the generator's ceiling of %.1f M", r.Deliveries.PerSecond/1e6, c.Ceiling/1e6)
	}
	if r.Loop != Open {
		// Nothing is due, so there is no lag: check whether the thread, which spins, had its CPU.
		if ran := r.Generator.Ran(); ran < 0.9 {
			limited("its thread had a CPU for %.0f %% of the time only; something else runs there", 100*ran)
		}
		return
	}
	if lag := time.Duration(r.Generator.WorstLag()); lag > c.Objective/10 {
		limited("its lag p99 of %v is above 10 %% of the objective of %v", lag.Round(10*time.Microsecond), c.Objective)
	}
	r.judgeRate(c, violated, limited)
}

// judgeRate compares what was sent and received in time with what was due, to 1 %.
// In addition a message may be as late as the rule on lag allows, and a
// delivery may take as long as the objective: that much may be missing at the end of
// the section, or left over at its beginning.
func (r *Result) judgeRate(c *Config, violated, limited func(string, ...any)) {
	due := float64(r.Messages.Due)
	allowed := 0.01 + c.Objective.Seconds()/10/c.Duration.Seconds()
	if short := 1 - float64(r.Messages.Sent)/due; math.Abs(short) > allowed {
		switch {
		case r.Generator.Stalled > 0:
			violated("target rate missed: %.1f messages/s sent where %.1f were due, %d had to wait for the server to read", r.Messages.PerSecond, due/c.Duration.Seconds(), r.Generator.Stalled)
		default:
			violated("target rate missed: %.1f messages/s sent where %.1f were due", r.Messages.PerSecond, due/c.Duration.Seconds())
			limited("its rate is off by %.1f %%", -100*short)
		}
	}
	offered := float64(r.Deliveries.Due)
	allowed = 0.01 + c.Objective.Seconds()/c.Duration.Seconds()
	if short := 1 - float64(r.Deliveries.InTime)/offered; short > allowed {
		violated("the server fell behind: %.1f %% of the deliveries did not come in time", 100*short)
	}
}
