package report

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"

	"chatbench/bench/machine"
	"chatbench/bench/record"
)

// Concern is what a difference between two runs is about, which determines its effect on
// a comparison of them.
type Concern string

const (
	OfMachine Concern = "machine" // absolute figures are of two machines
	OfMethod  Concern = "method"  // figures were taken in two ways
	OfWork    Concern = "work"    // a load is not the same load
	OfCode    Concern = "code"    // what is to be compared
)

// Difference is something that differs between two runs.
type Difference struct {
	Concern Concern `json:"concern"`
	What    string  `json:"what"`
	A       string  `json:"a"`
	B       string  `json:"b"`
	Means   string  `json:"means"` // for the comparison
	load    string  // that it is about; "" all
}

// String is the difference in one line, without what it means.
func (d Difference) String() string { return fmt.Sprintf("%s %q, not %q", d.What, d.B, d.A) }

// disturbing returns the differences without those that are the point of a comparison.
func disturbing(all []Difference) (lines []string) {
	for _, d := range all {
		if d.Concern != OfCode {
			lines = append(lines, d.String())
		}
	}
	return lines
}

// What differences mean.
const (
	meansMachine = "absolute figures are of two machines; at best the ratios to the reference can be compared"
	meansTuning  = "the same server can cost more or less; trust the ratios to the reference"
	meansGo      = "compilers and runtimes differ; what changed in all arms alike may be theirs"
	meansTaken   = "these figures were taken in two ways; do not compare them in absolute terms"
	meansSlices  = "in slices an arm is measured among the others, as a whole by itself; trust the ratios to the reference, and those with care"
	meansLength  = "the same work for another time; p99 and beyond, memory and GC depend on it"
	meansWork    = "it is not the same work, so this load is not compared"
	meansRules   = "rounds were void for other reasons, so the runs kept rounds of other kinds"
	meansSetting = "servers had other settings; what that changes is in every comparison"
	meansSchema  = "benches of two versions; what one did not record is absent"
	meansRounds  = "an arm that is decided early has fewer rounds, and looks a little more different than it is"
	meansCode    = "servers and generator are of two versions; what changed in all servers alike is in B/A and not in the ratios to the reference"
	meansDirty   = "the commit does not say what was measured"
	meansBuild   = "one commit in two builds: other flags, another compiler, or not this commit"
	meansArm     = "it is not the same arm, in spite of its name"
	meansAgainst = "the runs judged their arms against two references; here all are held against the one that both measured"
	meansCeiling = "the generator itself, or its CPU, is not as fast; a rate that it bounds is no server's"
)

// differing collects differences.
type differing []Difference

func (ds *differing) add(c Concern, what, a, b, means string) {
	if a != b {
		*ds = append(*ds, Difference{Concern: c, What: what, A: a, B: b, Means: means})
	}
}

// differences returns everything that makes two runs hard to compare, the most important
// first, and at the end what is compared.
func differences(a, b *record.Run) []Difference {
	var ds differing
	ds.ofMachine(a, b)
	ds.ofMethod(&a.Manifest, &b.Manifest)
	for _, l := range b.Manifest.Loads {
		if was, ok := a.Load(l.Name); ok {
			ds.ofLoad(was, l, Ceiling(a, l.Name), Ceiling(b, l.Name))
		}
	}
	ds.ofServers(&a.Manifest, &b.Manifest)
	ds.ofCode(a, b)
	return ds
}

func (ds *differing) ofMachine(a, b *record.Run) {
	e, f := &a.Env, &b.Env
	add := func(what, was, is, means string) { ds.add(OfMachine, what, was, is, means) }
	add("CPU", e.CPU, f.CPU, meansMachine)
	add("number of CPUs", fmt.Sprint(e.CPUs), fmt.Sprint(f.CPUs), meansMachine)
	add("hypervisor", yesNo(e.Hypervisor), yesNo(f.Hypervisor), meansMachine)
	add("server's CPUs", machine.FormatCPUs(a.Manifest.ServerCPUs), machine.FormatCPUs(b.Manifest.ServerCPUs), meansMachine)
	add("generator's CPUs", machine.FormatCPUs(a.Manifest.GeneratorCPUs), machine.FormatCPUs(b.Manifest.GeneratorCPUs), meansMachine)
	add("agents", agentsText(a.Manifest.Agents), agentsText(b.Manifest.Agents), meansMachine)
	add("generator's threads", threadsText(&a.Manifest), threadsText(&b.Manifest), meansMachine)
	add("CPUs shared by server and generator", yesNo(a.Manifest.SharedCPU), yesNo(b.Manifest.SharedCPU), meansMachine)
	add("memory, GiB", gib(e.Memory), gib(f.Memory), meansMachine)
	add("host", e.Host, f.Host, meansMachine)
	add("kernel", e.Kernel, f.Kernel, meansTuning)
	add("kernel's command line", e.CommandLine, f.CommandLine, meansTuning)
	add("congestion control", e.Congestion, f.Congestion, meansTuning)
	add("clock source", e.ClockSource, f.ClockSource, meansTuning)
	add("governor", e.Governor, f.Governor, meansTuning)
	add("huge pages", e.TransparentPages, f.TransparentPages, meansTuning)
	ds.settings("sysctl", e.Sysctls, f.Sysctls)
	ds.settings("mitigation", e.Mitigations, f.Mitigations)
}

func gib(octets int64) string { return fmt.Sprintf("%.0f", float64(octets)/(1<<30)) }

// derived are the sysctls that the kernel computes from the size of memory, to
// the page: they differ at each boot.
var derived = []string{"fs.file-max", "net.ipv4.tcp_mem"}

// settings adds the keys whose values differ between two machines.
func (ds *differing) settings(what string, a, b map[string]string) {
	keys := slices.Concat(slices.Collect(maps.Keys(a)), slices.Collect(maps.Keys(b)))
	slices.Sort(keys)
	for _, key := range slices.Compact(keys) {
		if !slices.Contains(derived, key) {
			ds.add(OfMachine, what+" "+key, a[key], b[key], meansTuning)
		}
	}
}

func (ds *differing) ofMethod(a, b *record.Manifest) {
	add := func(what, was, is, means string) { ds.add(OfMethod, what, was, is, means) }
	add("schema", fmt.Sprint(a.Schema), fmt.Sprint(b.Schema), meansSchema)
	add("reference", a.Reference, b.Reference, meansAgainst)
	keys := slices.Concat(slices.Collect(maps.Keys(a.Measures)), slices.Collect(maps.Keys(b.Measures)))
	slices.Sort(keys)
	for _, key := range slices.Compact(keys) {
		add("measure of "+key, a.Measures[key], b.Measures[key], meansTaken)
	}
	add("rounds", roundsText(a), roundsText(b), meansRounds)
	ds.rules(a.Rules, b.Rules)
}

// rules adds the rules that differ, by their names in the manifest.
func (ds *differing) rules(a, b record.Rules) {
	was, is := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range was.NumField() {
		name, _, _ := strings.Cut(was.Type().Field(i).Tag.Get("json"), ",")
		ds.add(OfMethod, "rule "+name, fmt.Sprint(was.Field(i)), fmt.Sprint(is.Field(i)), meansRules)
	}
}

// ofServers adds the settings that differ between the servers of the arms that both runs have,
// each setting once, with the first arm.
func (ds *differing) ofServers(a, b *record.Manifest) {
	seen := make(map[string]bool)
	for _, arm := range b.Arms {
		was, is := a.Servers[arm.Name], b.Servers[arm.Name]
		for _, key := range slices.Sorted(maps.Keys(is)) {
			if old, ok := was[key]; ok && !seen[key] && !reflect.DeepEqual(old, is[key]) {
				seen[key] = true
				ds.add(OfMethod, fmt.Sprintf("server's %s (%s)", key, arm.Name), fmt.Sprint(old), fmt.Sprint(is[key]), meansSetting)
			}
		}
	}
}

func roundsText(m *record.Manifest) string {
	if m.Rounds > 0 {
		return "a fixed number"
	}
	return "as many as it takes"
}

func (ds *differing) ofLoad(a, b record.Load, ceilingA, ceilingB float64) {
	from := len(*ds)
	if work(a) != work(b) {
		ds.add(OfWork, "load "+a.Name, loadText(a), loadText(b), meansWork)
	} else {
		ds.add(OfMethod, "load "+a.Name, slicesText(a), slicesText(b), meansSlices)
		ds.add(OfMethod, "load "+a.Name, lengthText(a), lengthText(b), meansLength)
	}
	const much = 0.1
	if ceilingA > 0 && ceilingB > 0 && math.Abs(math.Log(ceilingB/ceilingA)) > math.Log1p(much) {
		ds.add(OfMachine, "the generator's ceiling under "+a.Name, count(ceilingA)+" deliveries/s", count(ceilingB)+" deliveries/s", meansCeiling)
	}
	for i := range (*ds)[from:] {
		(*ds)[from+i].load = a.Name
	}
}

// work is a load without how long and in how many pieces it was measured.
func work(l record.Load) record.Load {
	l.Warmup, l.Duration, l.Slices = 0, 0, 0
	return l
}

func (ds *differing) ofCode(a, b *record.Run) {
	add := func(what, was, is, means string) { ds.add(OfCode, what, was, is, means) }
	add("commit", commitText(&a.Manifest), commitText(&b.Manifest), meansCode)
	if a.Manifest.Dirty || b.Manifest.Dirty {
		*ds = append(*ds, Difference{Concern: OfCode, What: "uncommitted changes", A: yesNo(a.Manifest.Dirty), B: yesNo(b.Manifest.Dirty), Means: meansDirty})
	} else if was, is := buildOf(a), buildOf(b); a.Manifest.Commit == b.Manifest.Commit && was != "" && is != "" {
		add("server's SHA-256", was, is, meansBuild)
	}
	ds.add(OfMachine, "Go", a.Env.Go, b.Env.Go, meansGo)
	for _, arm := range b.Manifest.Arms {
		for _, was := range a.Manifest.Arms {
			if was.Name == arm.Name {
				ds.add(OfWork, "arm "+arm.Name, armText(was), armText(arm), meansArm)
			}
		}
	}
}

// buildOf is the beginning of the SHA-256 of a run's own server; "": not recorded.
func buildOf(r *record.Run) string {
	if len(r.Manifest.Binaries) == 0 {
		return ""
	}
	sum := r.Manifest.Binaries[0].SHA256
	return sum[:min(len(sum), 12)]
}

func armText(a record.Arm) string {
	text := strings.Join(append([]string{a.Backend}, a.Args...), " ")
	if a.TLS {
		text += ", clients of TLS"
	}
	if a.Clients > 0 {
		text += fmt.Sprintf(", %d clients", a.Clients)
	}
	return text
}

func commitText(m *record.Manifest) string {
	text := "unknown"
	if m.Commit != "" {
		text = m.Commit[:min(len(m.Commit), 12)]
	}
	if m.Dirty {
		text += " with changes"
	}
	return text
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func loadText(l record.Load) string {
	return fmt.Sprintf("%s, %s, %s", (&LoadSummary{Load: l}).describe(), lengthText(l), slicesText(l))
}

func lengthText(l record.Load) string { return fmt.Sprintf("%v after %v", l.Duration, l.Warmup) }

func slicesText(l record.Load) string {
	if l.Sliced() {
		return fmt.Sprintf("%d times in turns", l.Slices)
	}
	return "as a whole"
}
