package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"chatbench/bench/record"
	"chatbench/bench/stats"
)

// targetSlowdown is by how much a delivery of the slow server has to cost more CPU.
const targetSlowdown = 0.05

// A trial with an interval narrower than trialWidth corrects the spin. The slow
// server that is kept may be off by tolerance.
const (
	trialWidth = 0.03
	tolerance  = 0.01
)

// corrections is how often the spin is corrected at most, until the slow server costs
// the wanted amount more.
const corrections = 3

// costs are what the slow server spends in addition, in femtoseconds: for each write,
// which all deliveries in it share, and for each octet that is given out.
type costs struct {
	PerWrite int64 `json:"per_write_fs"`
	PerOctet int64 `json:"per_octet_fs"`
}

// calibration is the slow server, and how much more it was found to cost.
type calibration struct {
	Costs   costs    `json:"costs"`
	Wanted  []extra  `json:"wanted"`
	Reached []judged `json:"reached"` // in CPU per delivery, under each load
}

// extra is what a write costs under a load, and what it has to cost in addition.
type extra struct {
	Load        string  `json:"load"`
	CPU         float64 `json:"cpu_ns_per_delivery"`
	OctetsWrite float64 `json:"octets_per_write"`
	Octets      float64 `json:"octets_per_delivery"`
	Spin        float64 `json:"spin_ns_per_delivery"`
}

// solve returns the costs that make a delivery more expensive by Spin under both loads:
// under an open loop, where a write has one frame, and at saturation, where it has
// hundreds. Two loads, two unknowns.
func solve(open, saturated extra) (costs, error) {
	perWrite := func(e extra) float64 { return e.Spin * e.OctetsWrite / e.Octets }
	octet := (perWrite(saturated) - perWrite(open)) / (saturated.OctetsWrite - open.OctetsWrite)
	write := perWrite(open) - octet*open.OctetsWrite
	c := costs{PerWrite: int64(1e6 * write), PerOctet: int64(1e6 * octet)}
	if !(c.PerWrite >= 0 && c.PerOctet >= 0) {
		return c, fmt.Errorf("no spin slows both loads down by 5 %%: they need %+v and %+v; try again on a quieter machine", open, saturated)
	}
	return c, nil
}

// calibrationFlag names the file that calibrate writes and other verbs read.
func (f *flags) calibrationFlag() *string {
	return f.set.String("slowdown", filepath.Join("results", "proofs", "slowdown.json"), "`FILE` that calibrate wrote")
}

func readCalibration(path string) (c calibration, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return c, fmt.Errorf("there is no slow server yet (%w); run the verb calibrate first", err)
	}
	if err := json.Unmarshal(data, &c); err != nil || len(c.Wanted) != 2 || len(c.Reached) != 2 {
		return c, fmt.Errorf("%s was not written by calibrate; remove it and run the verb calibrate again", path)
	}
	return c, nil
}

// reached says how much more the slow server costs, load by load.
func (c calibration) reached() string {
	var parts []string
	for _, j := range c.Reached {
		parts = append(parts, fmt.Sprintf("%s times under %s", j.text(), j.Load))
	}
	return strings.Join(parts, " and ")
}

// calibrate is the verb: it measures the plain server, builds one that spins for 5 %
// of what a delivery costs, compares the two, corrects the spin, and
// measures again, until the difference is 5 %; the last server is kept. If a server has been kept already, it is
// printed: a series that was begun with it can continue.
func calibrate(ctx context.Context, args []string, out io.Writer) error {
	f := newFlags("calibrate")
	f.benchFlag()
	path := f.calibrationFlag()
	trial := f.set.Int("rounds", 24, "`N` rounds for each of two measurements before the last")
	last := f.set.Int("verify", 48, "`N` rounds for each of at most three measurements of the corrected server")
	if err := f.parse(args); err != nil {
		return err
	}
	if c, err := readCalibration(*path); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			c.print(out, "kept before in "+*path)
			err = c.check()
		}
		return err
	}
	dir := strings.TrimSuffix(*path, filepath.Ext(*path)) + ".runs"
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
		return err
	}
	if _, err := f.measure(ctx, dir, "plain", *trial, "-arm", "plain=epoll"); err != nil {
		return err
	}
	wanted, err := deliveries(filepath.Join(dir, "plain"))
	if err != nil {
		return err
	}
	c := calibration{Wanted: wanted}
	if err := f.try(ctx, &c, dir, "trial", *trial); err != nil {
		return err
	}
	c.print(out, "trial")
	for k := range corrections {
		c.correct()
		if err := f.try(ctx, &c, dir, fmt.Sprintf("verify%d", k+1), *last); err != nil {
			return err
		}
		c.print(out, "verified")
		if c.check() == nil {
			break
		}
	}
	text, err := record.JSON(c)
	if err == nil {
		err = os.WriteFile(*path, text, 0o644)
	}
	if err != nil {
		return err
	}
	return c.check()
}

// correct changes the spin by the result of a trial, assuming that cost is proportional to it.
func (c calibration) correct() {
	for k, j := range c.Reached {
		if j.Low > 1 && j.High-j.Low < trialWidth {
			c.Wanted[k].Spin *= targetSlowdown / (j.Ratio - 1)
		}
	}
}

// check says whether the slow server costs as much more as wanted.
func (c calibration) check() error {
	for _, j := range c.Reached {
		if math.Abs(j.Ratio-1-targetSlowdown) > tolerance {
			return errNotShown
		}
	}
	return nil
}

// measure is one run of that many rounds.
func (f *flags) measure(ctx context.Context, dir, name string, rounds int, arms ...string) (outcome, error) {
	f.seed += 1_000_003
	argv := append(append(arms, "-rounds", fmt.Sprint(rounds)), strings.Fields(f.more)...)
	return programs{f.bin}.run(ctx, argv, f.beside(), f.seed, filepath.Join(dir, name))
}

// try builds the slow server and compares it with the plain one.
func (f *flags) try(ctx context.Context, c *calibration, dir, name string, rounds int) (err error) {
	if c.Costs, err = solve(c.Wanted[0], c.Wanted[1]); err != nil {
		return err
	}
	chatd, err := buildSlow(ctx, c.Costs, filepath.Join(dir, "chatd-slow"))
	if err != nil {
		return err
	}
	o, err := f.measure(ctx, dir, name, rounds, "-arm", "plain=epoll", "-arm", "slow="+chatd+":epoll")
	if err != nil {
		return err
	}
	c.Reached = nil
	for _, j := range o.of("slow") {
		if j.Figure == keyCPU && j.Low > 0 {
			c.Reached = append(c.Reached, j)
		}
	}
	if len(c.Reached) != len(c.Wanted) {
		return errors.New("too few rounds count to measure the slowdown; try again on a quieter machine")
	}
	return nil
}

// print prints what the slow server spends, and how much more it costs.
func (c calibration) print(out io.Writer, name string) {
	for k, w := range c.Wanted {
		fmt.Fprintf(out, "%s, %s: plain %.1f ns a delivery, %.0f octets a write; spins %.2f ns a delivery; CPU per delivery %s\n",
			name, w.Load, w.CPU, w.OctetsWrite, w.Spin, c.Reached[k].text())
	}
}

// deliveries computes from a run's raw files what a delivery of its first arm costs,
// under its open loop and then its closed one.
func deliveries(dir string) (all []extra, err error) {
	run, _, err := record.Read(dir)
	if err != nil {
		return nil, err
	}
	for _, l := range run.Manifest.Loads {
		e := extra{Load: l.Name}
		var cpu []float64
		var octets, writes, given int64
		for _, r := range run.Rounds {
			if r.Load == l.Name && r.Arm != record.NullArm && r.Counts() && r.Server != nil && r.Traffic.Between > 0 {
				cpu = append(cpu, float64(*r.Usage.CPU)/float64(r.Traffic.Between))
				octets, writes, given = octets+r.Server.BytesOut, writes+r.Server.Writes, given+r.Traffic.Checked
			}
		}
		if len(cpu) == 0 {
			return nil, fmt.Errorf("no round under %s counts; try again on a quieter machine", l.Name)
		}
		e.CPU = stats.Median(cpu)
		e.OctetsWrite, e.Octets = float64(octets)/float64(writes), float64(octets)/float64(given)
		e.Spin = targetSlowdown * e.CPU
		all = append(all, e)
	}
	if len(all) != 2 || !run.Manifest.Loads[0].Open() || !run.Manifest.Loads[1].Closed() {
		return nil, fmt.Errorf("a calibration needs one open loop and one closed loop; leave -rate and -window out")
	}
	return all, nil
}

// The place where the core learns that frames were given out. Code inserted there spends the
// slow server's time: on the transport's goroutine, without the room's lock.
const (
	slowFile   = "core/output.go"
	slowAnchor = "func (s *Session) Wrote(n int) {\n"
	slowImport = "package core\n"
)

// slowed returns the source of slowFile with the call that makes it slow.
func slowed(source []byte, c costs) ([]byte, error) {
	if bytes.Count(source, []byte(slowAnchor)) != 1 || bytes.Count(source, []byte(slowImport)) != 1 {
		return nil, fmt.Errorf("%s no longer contains %q; change slowAnchor in bench/proofs to where frames are given out", slowFile, strings.TrimSpace(slowAnchor))
	}
	call := fmt.Sprintf("%s\tslowdown.Charge(n, %d, %d)\n", slowAnchor, c.PerWrite, c.PerOctet)
	source = bytes.Replace(source, []byte(slowAnchor), []byte(call), 1)
	return bytes.Replace(source, []byte(slowImport), []byte(slowImport+"\nimport \"chatbench/bench/proofs/slowdown\"\n"), 1), nil
}

// buildSlow builds the slow server from the sources here, which do not change, and returns
// its absolute path.
func buildSlow(ctx context.Context, c costs, path string) (string, error) {
	root, err := command(ctx, ".", "go", "list", "-m", "-f", "{{.Dir}}")
	if err != nil {
		return "", err
	}
	file := filepath.Join(root, slowFile)
	source, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	if source, err = slowed(source, c); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "proofs-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	changed, overlay := filepath.Join(dir, "output.go"), filepath.Join(dir, "overlay.json")
	list, err := json.Marshal(map[string]map[string]string{"Replace": {file: changed}})
	if err != nil {
		return "", err
	}
	if err := errors.Join(os.WriteFile(changed, source, 0o644), os.WriteFile(overlay, list, 0o644)); err != nil {
		return "", err
	}
	if path, err = filepath.Abs(path); err != nil {
		return "", err
	}
	_, err = command(ctx, root, "go", "build", "-overlay", overlay, "-o", path, "./cmd/chatd")
	return path, err
}

// command runs a program and returns its stdout.
func command(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0") // as make builds
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return "", errInterrupted
	}
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, args[0], err, strings.TrimSpace(complaints.String()))
	}
	return strings.TrimSpace(string(out)), nil
}
