package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"chatbench/bench/record"
	"chatbench/bench/rules"
)

// ErrMismatch is returned by Verify for a run whose files do not agree.
var ErrMismatch = errors.New("report: files do not agree")

// Verify compares a run's raw files with the SHA-256 in its checks.json,
// and derives everything from them again: each round's
// percentiles from its histograms, each judgement from the rules, every table,
// plot and check, octet by octet. So one changed octet anywhere is found,
// and so is a file that does not belong to a run. It returns how many files and
// rounds are correct, and ErrMismatch, naming the first difference.
func Verify(dir string) (files, rounds int, err error) {
	if err := damaged(dir); err != nil {
		return 0, 0, err
	}
	run, sums, err := record.Read(dir)
	if err != nil {
		if errors.Is(err, record.ErrNotRun) {
			return 0, 0, err
		}
		return 0, 0, fmt.Errorf("%w: %w", ErrMismatch, err)
	}
	if err := unchanged(dir, run, sums); err != nil {
		return 0, 0, err
	}
	for i := range run.Rounds {
		if err := verifyRound(run, &run.Rounds[i]); err != nil {
			return 0, i, err
		}
	}
	derived, err := Files(run, sums)
	if err == nil {
		err = agree(dir, derived, sums)
	}
	if err != nil {
		return 0, len(run.Rounds), err
	}
	return len(derived) + len(sums), len(run.Rounds), nil
}

// agree says whether a directory contains the raw files, the derived files as they
// are derived now, and nothing else.
func agree(dir string, derived map[string][]byte, raw map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(derived)) {
		found, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return fmt.Errorf("%w: %v", ErrMismatch, err)
		}
		if line, differ := difference(found, derived[name]); differ {
			return fmt.Errorf("%w: %s, line %d is not what the raw files give", ErrMismatch, name, line)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	for _, e := range entries {
		if derived[e.Name()] == nil && raw[e.Name()] == "" {
			return fmt.Errorf("%w: %s is not a file of this run; move it elsewhere", ErrMismatch, e.Name())
		}
	}
	return nil
}

// damaged is the first raw file of a directory that does not have its digest in checks.json: that
// is known long before everything has been read, and says more than what cannot be read in such a file. Files
// that are missing, or have no digest, are left to unchanged.
func damaged(dir string) error {
	known, err := digests(dir)
	if err != nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if data, err := os.ReadFile(filepath.Join(dir, filepath.Base(name))); err == nil {
			if err := sameDigest(name, known, record.Sums(map[string][]byte{name: data})); err != nil {
				return err
			}
		}
	}
	return nil
}

// digests reads the digests of the raw files in the run's checks.json.
func digests(dir string) (map[string]string, error) {
	text, err := os.ReadFile(filepath.Join(dir, ChecksFile))
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrMismatch, err)
	}
	var known record.Checks
	if err := json.Unmarshal(text, &known); err != nil {
		return nil, fmt.Errorf("%w: %s: %v", ErrMismatch, ChecksFile, err)
	}
	return known.Files, nil
}

func sameDigest(name string, known, sums map[string]string) error {
	if known[name] != sums[name] {
		return fmt.Errorf("%w: %s does not have the digest in %s", ErrMismatch, name, ChecksFile)
	}
	return nil
}

// unchanged says whether the raw files have the digests in the run's checks.json.
func unchanged(dir string, run *record.Run, sums map[string]string) error {
	known, err := digests(dir)
	if err != nil {
		return err
	}
	for _, name := range run.RawFiles() {
		if err := sameDigest(name, known, sums); err != nil {
			return err
		}
	}
	return nil
}

// Renew writes the derived files of a run again: for runs of an older version of
// the bench, whose figures were derived in another way. It removes percentile files that this
// version does not derive. It refuses a run whose
// raw files do not have the digests in its checks.json.
func Renew(dir string) error {
	run, sums, err := record.Read(dir)
	if err != nil {
		return err
	}
	if err := unchanged(dir, run, sums); err != nil {
		return err
	}
	derived, err := Files(run, sums)
	if err != nil {
		return err
	}
	for name, data := range derived {
		if err := WriteFile(filepath.Join(dir, name), data); err != nil {
			return err
		}
	}
	for _, l := range run.Manifest.Loads {
		for _, a := range run.Manifest.Arms {
			name := l.Name + "." + a.Name + gramSuffix
			if derived[name] != nil {
				continue
			}
			if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("report: %w", err)
			}
		}
	}
	return nil
}

// verifyRound compares a round's summary with its histograms, and its void
// reasons and marks with the rules.
func verifyRound(run *record.Run, r *record.Round) error {
	where := fmt.Sprintf("%s, line %d", record.RoundsFile, r.Seq)
	load, ok := run.Load(r.Load)
	if !ok {
		return fmt.Errorf("%w: %s: there is no load %q", ErrMismatch, where, r.Load)
	}
	for stream, says := range map[string]record.Latency{
		record.StreamDue: r.Due, record.StreamSent: r.Sent, record.StreamLag: r.Lag, record.StreamChat: r.Chat, record.StreamLogin: r.Login, record.StreamQueue: r.Queue, record.StreamElsewhere: r.Elsewhere,
	} {
		h := run.Histograms[record.Key{Load: r.Load, Arm: r.Arm, Stream: stream, StartedMs: r.StartedMs}]
		if record.Summarize(h) != says {
			return fmt.Errorf("%w: %s and %s differ in %s", ErrMismatch, where, record.LogFile(r.Load), record.Tag(r.Arm, stream))
		}
	}
	for i, s := range r.Slices {
		if void := rules.Slice(s, load, run.Manifest.RulesOf(r.Arm)); !reflect.DeepEqual(void, s.Void) {
			return fmt.Errorf("%w: %s: the rules give void %v for slice %d", ErrMismatch, where, void, i+1)
		}
	}
	if load.Sliced() && !adds(r) {
		return fmt.Errorf("%w: %s: the slices do not add up to the round", ErrMismatch, where)
	}
	void, marks := rules.Judge(*r, load, run.Manifest.RulesOf(r.Arm), CeilingOf(run, r.Load, r.Arm))
	if !reflect.DeepEqual(void, r.Void) || !reflect.DeepEqual(marks, r.Marks) {
		return fmt.Errorf("%w: %s: the rules give void %v, marks %v", ErrMismatch, where, void, marks)
	}
	return nil
}

// adds says whether the slices that count add up to the round. A round
// that broke off has no sums.
func adds(r *record.Round) bool {
	var deliveries, inTime, due, cpu int64
	for i := range r.Slices {
		if s := &r.Slices[i]; s.Counts() {
			deliveries, inTime, due, cpu = deliveries+s.Deliveries, inTime+s.InTime, due+s.Due, cpu+s.CPU
		}
	}
	t := &r.Traffic
	return r.Error != "" || deliveries == t.Between && inTime == t.Deliveries && due == t.Due && (r.Usage.CPU == nil || *r.Usage.CPU == cpu)
}

// difference finds the first line in which two texts differ.
func difference(a, b []byte) (line int, differ bool) {
	if bytes.Equal(a, b) {
		return 0, false
	}
	as, bs := bytes.Split(a, []byte("\n")), bytes.Split(b, []byte("\n"))
	for i := range min(len(as), len(bs)) {
		if !bytes.Equal(as[i], bs[i]) {
			return i + 1, true
		}
	}
	return min(len(as), len(bs)) + 1, true
}
