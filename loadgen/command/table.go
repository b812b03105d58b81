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
	load := fmt.Sprintf("open loop, %v, %s arrivals", units.Rate(r.Rate), r.Arrivals)
	if r.Loop == "closed" {
		load = fmt.Sprintf("closed loop, window %d (finds saturation; no latency of real users)", r.Window)
	}
	fmt.Fprintf(&b, "broadcast to %s: %s clients, %s of them send %v texts\n%s, %v timed after %v\n\n",
		r.Server, count(uint64(r.Clients)), count(uint64(r.Senders)), units.Size(r.Size), load, time.Duration(r.Duration), time.Duration(r.Warmup))
	void := ""
	if len(r.GeneratorLimited) > 0 {
		void = "  (generator-limited)"
	}
	fmt.Fprintf(&b, "deliveries  %s/s%s\nmessages    %s/s\n\n", short(r.Deliveries.PerSecond), void, short(r.Messages.PerSecond))

	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "latency\tp50\tp90\tp99\tp99.9\tmax\t\n")
	if r.Loop == "open" {
		latencyRow(t, "from due", r.FromDue)
	}
	latencyRow(t, "from send", r.FromSend)
	if r.Loop == "open" {
		latencyRow(t, "generator lag", r.Generator.Lag)
	}
	t.Flush()

	g := r.Generator
	fmt.Fprintf(&b, "\nchecked     %s deliveries, every octet: %s\n", count(r.Deliveries.InAll), faults(r))
	fmt.Fprintf(&b, "generator   %.0f %% busy, %s recvs of %s, %s sends", 100*g.BusyRatio, count(g.Recvs), units.Size(int64(g.PerRecv)), count(g.Sends))
	if ran := float64(g.CPUUser+g.CPUSystem) / float64(max(g.Wall, 1)); ran < 0.97 {
		fmt.Fprintf(&b, ", without its CPU %.0f %% of the time", 100-100*ran)
	}
	if g.Stalled > 0 {
		fmt.Fprintf(&b, ", %s messages waited for the server", count(g.Stalled))
	}
	b.WriteString("\n")
	for _, why := range r.GeneratorLimited {
		fmt.Fprintf(&b, "LIMITED     by the generator: %s\n", why)
	}
	for _, what := range r.Violations {
		fmt.Fprintf(&b, "VIOLATED    %s\n", what)
	}
	_, err := io.WriteString(w, b.String())
	return err
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
