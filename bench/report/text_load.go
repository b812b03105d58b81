package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"chatbench/bench/record"
	"chatbench/bench/stats"
)

// value is the median as it is printed, with its unit if withUnit is set.
func (f Figure) value(m metric, withUnit bool) string {
	text := m.print(f.Median)
	switch {
	case f.AtLeast:
		text = "≥ " + text
	case f.AtMost:
		text = "≤ " + text
	}
	if withUnit && m.unit != "" {
		text += " " + m.unit
	}
	return text
}

// short is the name of a load for a sentence.
func (l *LoadSummary) short() string {
	switch {
	case l.Scenario == record.Idle:
		return "idle"
	case l.Open() && l.Scenario == record.Relay:
		return fmt.Sprintf("at %s requests/s", count(l.Rate))
	case l.Open():
		return fmt.Sprintf("at %s messages/s", count(l.Rate))
	}
	return "saturated"
}

// word replaces delivery by what a delivery is called under this load.
func (l *LoadSummary) word(title string) string {
	if l.Scenario == record.Relay {
		return frames.Replace(title)
	}
	return title
}

var frames = strings.NewReplacer("deliveries/s", "frames/s", "messages/s", "requests/s", "/deliv.", "/deliv.", "deliv.", "frames")

// describe is the heading of a load.
func (l *LoadSummary) describe() string {
	switch l.Scenario {
	case record.Idle:
		return fmt.Sprintf("%d clients, or as many as stand in the table, log in over %v and keep silent", l.Clients, l.Ramp)
	case record.Relay:
		return l.describeRelay()
	}
	text := fmt.Sprintf("%d clients, texts of %d octets, ", l.Clients, l.Size)
	if l.Open() {
		return text + fmt.Sprintf("%s messages/s in all (open loop, %s)", count(l.Rate), l.Arrivals)
	}
	return text + fmt.Sprintf("saturated by %d senders with %d messages under way each (closed loop)", l.Senders, l.Window)
}

func (l *LoadSummary) describeRelay() string {
	text := fmt.Sprintf("%d pairs, lists of %d files with names of %d octets", l.Pairs, l.Files, l.Size)
	if l.Downloads > 0 {
		text += fmt.Sprintf(", one request in %d for a file", l.Downloads)
	}
	if l.ChatRate > 0 {
		text += fmt.Sprintf(", beside %s messages/s to all %d clients, whose deliveries share the cost", count(l.ChatRate), l.Clients)
	}
	if l.Open() {
		return text + fmt.Sprintf("; %s requests/s in all (open loop, %s)", count(l.Rate), l.Arrivals)
	}
	return text + fmt.Sprintf("; saturated with %d requests under way for each pair (closed loop)", l.Window)
}

// columns are the figures of a load's table.
func (l *LoadSummary) columns() []string {
	columns := []string{keyCPU, keyUser, keyKernel, keySyscalls, keySwitches, keyP50, keyP99, keyP999, keyRSS}
	switch {
	case l.Scenario == record.Idle:
		return []string{keyClients, keyRSSEach, keyPSSEach, keyKernEach, keyRSSBase, keyThreads, keyBusy, keyLogin, keyLoginP99}
	case l.Scenario == record.Relay && l.ChatRate > 0:
		chat := keyChat
		if !l.has(chat) { // too few chat messages for a p99
			chat = keyChatP50
		}
		columns = slices.Insert(columns, len(columns)-1, chat)
	}
	if l.Closed() {
		columns = append([]string{keyRate}, columns...)
	}
	return columns
}

// text writes one load: heading, table, what the machine resolves, what was the limit.
func (l *LoadSummary) text(w io.Writer, style Style, reference string) {
	fmt.Fprintln(w, style.paint(bold, l.Name)+": "+l.describe())
	if l.Pilot != nil {
		fmt.Fprintln(w, "  "+capital(pilotText(l.Pilot)))
	}
	columns := l.columns()
	t := table{{"backend"}, {""}}
	for _, key := range columns {
		if l.has(key) {
			head := heads[key]
			t[0], t[1] = append(t[0], l.word(head[0])), append(t[1], l.word(head[1]))
		}
	}
	for _, a := range l.Arms {
		row := []string{a.Name}
		for _, key := range columns {
			if !l.has(key) {
				continue
			}
			cell := "–"
			if f, ok := a.Figures[key]; ok {
				cell = f.value(find(key), false)
			}
			row = append(row, cell)
		}
		t = append(t, row)
	}
	t.write(w, 1, style)
	l.ratios(w, style, reference)
	l.below(w, reference)
}

// below writes what is below the table: on a terminal and on the page.
func (l *LoadSummary) below(w io.Writer, reference string) {
	l.limits(w)
	l.full(w, reference)
	if l.Ranking != nil { // otherwise it is above
		l.finds(w)
	}
	if !l.Closed() {
		l.lags(w)
	}
}

// ratios writes the comparison of every arm with the reference, figure by figure. The A/A arm
// alone needs no table: it only says what the machine resolves.
func (l *LoadSummary) ratios(w io.Writer, style Style, reference string) {
	head := []string{"ratio to " + reference}
	var arms []ArmSummary
	for _, a := range l.Arms {
		if a.Name != reference {
			arms, head = append(arms, a), append(head, a.Name)
		}
	}
	switch {
	case len(arms) < 2:
		return
	case len(arms) > 3:
		l.manyRatios(w, style, reference, arms)
		return
	}
	t := table{head, {""}}
	for _, m := range metrics {
		row, some := []string{l.mark(m)}, false
		for _, a := range arms {
			cell := "–"
			if v := a.Figures[m.key].Versus; v != nil {
				switch some = true; {
				case v.full():
					cell = string(v.Reason)
				case v.Verdict == string(stats.Unresolved):
					cell = ratioText(v) + " " + v.reason()
				default:
					cell = ratioText(v) + " " + v.word()
				}
			}
			row = append(row, cell)
		}
		if some {
			t = append(t, row)
		}
	}
	if len(t) > 2 {
		t.write(w, 1, style)
		fmt.Fprintln(w, "  •: primary, corrected together; the others are exploratory.")
	}
}

// mark is the title of a figure, with a dot before primary ones.
func (l *LoadSummary) mark(m metric) string {
	if l.primary(m.key) {
		return "• " + l.word(m.title)
	}
	return l.word(m.title)
}

// manyRatios is ratios for so many arms that they do not fit into a line: one
// line for each arm, with the most important figures.
func (l *LoadSummary) manyRatios(w io.Writer, style Style, reference string, arms []ArmSummary) {
	keys := []string{keyRate, keyCPU, keySyscalls, keyP50, keyP99}
	if l.Scenario == record.Idle {
		keys = []string{keyRSSEach, keyPSSEach, keyLogin}
	}
	head, shown := []string{"ratio to " + reference}, []string{}
	for _, key := range keys {
		if l.has(key) && (key != keyP99 || !l.has(keyRate)) {
			head, shown = append(head, l.mark(find(key))), append(shown, key)
		}
	}
	t := table{head, {""}}
	for _, a := range arms {
		row := []string{a.Name}
		for _, key := range shown {
			cell := "–"
			if v := a.Figures[key].Versus; v != nil {
				if cell = ratioText(v) + marks[v.Verdict]; v.full() {
					cell = string(v.Reason)
				}
			}
			row = append(row, cell)
		}
		t = append(t, row)
	}
	t.write(w, 1, style)
	fmt.Fprintln(w, "  = a tie, ? not resolved; •: primary, corrected together, the others are exploratory; all figures are in report.html and summary.csv.")
}

// marks stand for verdicts without a direction.
var marks = map[string]string{string(stats.Tie): " =", string(stats.Unresolved): " ?", holds: " =", fails: " ?"}

// heads are the headings of columns, in two lines.
var heads = map[string][2]string{
	keyRate:     {"deliv.", "/s"},
	keyCPU:      {"CPU µs", "/1000 d."},
	keyUser:     {"user", "µs"},
	keyKernel:   {"kernel", "µs"},
	keySyscalls: {"syscalls", "/deliv."},
	keySwitches: {"switches", "/1000 d."},
	keyP50:      {"p50", "ms"},
	keyP99:      {"p99", "ms"},
	keyP999:     {"p99.9", "ms"},
	keyRSS:      {"RSS", "MiB"},
	keyChat:     {"chat", "p99"},
	keyChatP50:  {"chat", "p50"},
	keyClients:  {"clients", ""},
	keyRSSEach:  {"RSS KiB", "/client"},
	keyPSSEach:  {"PSS KiB", "/client"},
	keyKernEach: {"sockets", "KiB/cl."},
	keyRSSBase:  {"RSS MiB", "without"},
	keyThreads:  {"threads", ""},
	keyBusy:     {"CPU", "%"},
	keyLogin:    {"login", "p50 ms"},
	keyLoginP99: {"login", "p99 ms"},
}

// has says whether any arm has the figure.
func (l *LoadSummary) has(key string) bool {
	for _, a := range l.Arms {
		if _, ok := a.Figures[key]; ok {
			return true
		}
	}
	return false
}

// limits says which side was the limit, with what each used; arms of one
// kind share a line.
func (l *LoadSummary) limits(w io.Writer) {
	for _, kind := range []struct{ limit, text string }{
		{"server", "the server was the limit"},
		{"generator", "the generator was the limit, the server can do more"},
		{"both", "server and generator were both at their limit, so the rate is that of the pair"},
		{"pair", "server and generator shared a CPU, so the rate is that of the pair"},
		{"others", "the server did not have its CPU to itself"},
		{"unclear", "the server used as much as one CPU and not all of them, so nobody knows whether it was the limit"},
		{"neither", "neither side was at its limit: they waited for each other"},
	} {
		var arms []string
		for _, a := range l.Arms {
			if a.Limit == kind.limit && !a.Again {
				arms = append(arms, l.used(a))
			}
		}
		if arms != nil {
			fmt.Fprintf(w, "  %s: %s.\n", capital(kind.text), strings.Join(arms, ", "))
		}
	}
	if l.Ceiling > 0 {
		f := l.nullServer.Figures
		fmt.Fprintf(w, "  Generator and null server together reach %s %s (median of %d; null server %s %% of its CPU, generator %s %%).\n",
			count(l.Ceiling), l.word(find(keyRate).title), f[keyRate].N, percent(f[keyBusy].Median), percent(f[keyGenBusy].Median))
	}
}

// used is what an arm's server, other processes and the generator used, in brackets.
func (l *LoadSummary) used(a ArmSummary) string {
	text := fmt.Sprintf("%s (server %s %%", a.Name, percent(a.Figures[keyBusy].Median))
	if f := a.Figures[keyForeign]; a.Limit == "others" {
		text += fmt.Sprintf(", others %s %%", percent(f.Median))
	}
	if f, ok := a.Figures[keyGenBusy]; ok {
		text += fmt.Sprintf(", generator %s %%", percent(f.Median))
	}
	if f, ok := a.Figures[keyRate]; ok && l.Ceiling > 0 && !a.TLS {
		text += fmt.Sprintf(", %s %% of the rate with the null server", percent(f.Median/l.Ceiling))
	}
	return text + ")"
}

// finds writes how small a difference the rounds could find.
func (l *LoadSummary) finds(w io.Writer) {
	if text := l.found(); text != "" {
		fmt.Fprintln(w, "  "+text)
	}
}

// found is that sentence; "" if it is not known.
func (l *LoadSummary) found() string {
	var parts []string
	for _, key := range primary(l.Load) {
		f, ok := l.Finds[key]
		if !ok {
			continue
		}
		text := l.word(find(key).title) + " " + f.size()
		if f.MoreRounds > 0 {
			text += fmt.Sprintf(" (about %d more rounds for %.0f %%)", f.MoreRounds, 100*f.Wanted)
		}
		parts = append(parts, text)
	}
	if parts == nil {
		return ""
	}
	return fmt.Sprintf("Four times in five this run finds a difference of: %s.", strings.Join(parts, ", "))
}

// lags writes the generator's own lateness next to the latencies that include it.
func (l *LoadSummary) lags(w io.Writer) {
	var least, most float64
	for _, a := range l.Arms {
		if f, ok := a.Figures[keyLag]; ok {
			if most == 0 || f.Median < least {
				least = f.Median
			}
			most = max(most, f.Median)
		}
	}
	if most == 0 {
		return
	}
	what, span := "latencies", millis(most)
	switch l.Scenario {
	case record.Relay:
		what = "times of answers"
	case record.Idle:
		what = "times of logins"
	}
	if low := millis(least); low != span {
		span = low + " to " + span
	}
	fmt.Fprintf(w, "  The %s contain the generator's own lateness: at its p99 %s ms.\n", what, span)
}
