package command

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"chatbench/core/units"
	"chatbench/loadgen"
)

// writeTable prints a result for people.
func writeTable(w io.Writer, r *loadgen.Result) error {
	var b strings.Builder
	heading(&b, r)
	if r.Loop != loadgen.None {
		limited := ""
		if len(r.GeneratorLimited) > 0 {
			limited = "  (generator-limited)"
		}
		what := [...]string{"deliveries", "messages"}
		if r.Scenario == loadgen.Relay {
			what = [...]string{"frames", "requests"}
		}
		fmt.Fprintf(&b, "%-10s  %s/s%s\n%-10s  %s/s\n\n", what[0], short(r.Deliveries.PerSecond), limited, what[1], short(r.Messages.PerSecond))
	}
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "latency\tp50\tp90\tp99\tp99.9\tmax\t\n")
	if r.Loop == loadgen.Open {
		latencyRow(t, "from due", r.FromDue)
	}
	if r.Loop != loadgen.None {
		latencyRow(t, "from send", r.FromSend)
	}
	if r.Requests != nil && r.Requests.Rate > 0 {
		latencyRow(t, "chat from due", r.Requests.Chat)
	}
	if r.Servers != nil {
		latencyRow(t, "same server", r.Servers.Within)
		latencyRow(t, "across servers", r.Servers.Across)
	}
	if r.Loop == loadgen.Open {
		latencyRow(t, "generator lag", r.Generator.Lag)
	}
	if r.Generator.Queue.Count > 0 {
		latencyRow(t, "receive queue", r.Generator.Queue)
	}
	latencyRow(t, "connect to login", r.Login)
	t.Flush()

	g := r.Generator
	checked := r.Deliveries.InAll
	if r.Requests != nil {
		checked += r.Requests.Heard
	}
	fmt.Fprintf(&b, "\nchecked     %s deliveries, every octet: %s\n", count(checked), faults(r))
	threads := ""
	if n := len(g.Threads); n > 0 {
		threads = fmt.Sprintf("%d threads, the busiest ", n)
	}
	fmt.Fprintf(&b, "generator   %s%.0f %% busy, %s recvs of %s, %s sends", threads, 100*g.BusyRatio, count(g.Recvs), units.Size(int64(g.PerRecv)), count(g.Sends))
	if ran := g.Ran(); ran < 0.97 {
		fmt.Fprintf(&b, ", without its CPU %.0f %% of the time", 100-100*ran)
	}
	if g.Stalled > 0 {
		fmt.Fprintf(&b, ", %s messages waited for the server", count(g.Stalled))
	}
	b.WriteString("\n")
	if r.TLS != nil {
		fmt.Fprintf(&b, "tls         %s, %s, %s; the generator's own part is in all of this\n", r.TLS.Version, r.TLS.CipherSuite, r.TLS.KeyExchange)
	}
	for _, why := range r.GeneratorLimited {
		fmt.Fprintf(&b, "LIMITED     by the generator: %s\n", why)
	}
	for _, what := range r.Violations {
		fmt.Fprintf(&b, "VIOLATED    %s\n", what)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// heading says what the load was.
func heading(b *strings.Builder, r *loadgen.Result) {
	clients := count(uint64(r.Clients))
	switch r.Scenario {
	case loadgen.Idle:
		fmt.Fprintf(b, "idle at %s: %s clients, silent for %v\n\n", r.Server, clients, time.Duration(r.Duration))
		return
	case loadgen.Relay:
		q := r.Requests
		fmt.Fprintf(b, "relay through %s: %s pairs, lists of %d files with names of %v", r.Server, count(uint64(q.Pairs)), q.Files, units.Size(r.Size))
		if q.Downloads > 0 {
			fmt.Fprintf(b, ", one request in %d for a file", q.Downloads)
		}
		if q.Rate > 0 {
			fmt.Fprintf(b, "; meanwhile %v of chat to %s clients", units.Rate(q.Rate), clients)
		}
		b.WriteString("\n")
	default:
		fmt.Fprintf(b, "broadcast to %s: %s clients, %s of them send %v texts\n", r.Server, clients, count(uint64(r.Senders)), units.Size(r.Size))
	}
	load := fmt.Sprintf("open loop, %v, %s arrivals", units.Rate(r.Rate), r.Arrivals)
	if r.Loop == loadgen.Closed {
		load = fmt.Sprintf("closed loop, window %d (finds saturation; no latency of real users)", r.Window)
	}
	fmt.Fprintf(b, "%s, %v timed after %v\n\n", load, time.Duration(r.Duration), time.Duration(r.Warmup))
}

func latencyRow(w io.Writer, name string, l loadgen.Latency) {
	fmt.Fprintf(w, "%s\t", name)
	for _, ns := range []int64{l.P50NS, l.P90NS, l.P99NS, l.P999NS, l.MaxNS} {
		fmt.Fprintf(w, "%s\t", latency(ns))
	}
	fmt.Fprint(w, "\n")
}

func faults(r *loadgen.Result) string {
	l := r.Ledger
	if l.Clean() {
		return "none lost, duplicated, reordered or altered"
	}
	return fmt.Sprintf("%s lost, %s duplicated, %s reordered, %s altered", count(l.Lost), count(l.Duplicated), count(l.Reordered), count(l.Altered))
}

// latency has three digits and its unit: 1.23 ms.
func latency(ns int64) string {
	switch v := float64(ns); {
	case v < 1e3:
		return fmt.Sprintf("%d ns", ns)
	case v < 1e6:
		return digits(v/1e3) + " µs"
	case v < 1e9:
		return digits(v/1e6) + " ms"
	default:
		return digits(v/1e9) + " s"
	}
}

// short has three digits and a multiple: 23.4 M.
func short(v float64) string {
	switch {
	case v >= 1e9:
		return digits(v/1e9) + " G"
	case v >= 1e6:
		return digits(v/1e6) + " M"
	case v >= 1e4:
		return digits(v/1e3) + " k"
	default:
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
}

func digits(v float64) string {
	switch {
	case v < 10:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case v < 100:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
}

// count is exact, with a comma at each thousand.
func count(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
