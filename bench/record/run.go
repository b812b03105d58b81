package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The raw files of a run. All other files in its directory are derived from these.
const (
	ManifestFile = "manifest.json"
	EnvFile      = "env.json"
	RoundsFile   = "rounds.jsonl"
	logSuffix    = ".hlog"
)

// ErrNotRun is returned by Read for a directory that contains no run.
var ErrNotRun = errors.New("record: not a run's directory")

// Run is a run in memory: the contents of the raw files, and nothing derived.
type Run struct {
	Manifest   Manifest
	Env        Env
	Rounds     []Round // in the order they were measured
	Histograms map[Key]*hdrhistogram.Histogram
}

// LogFile is the name of the histogram log of a load.
func LogFile(load string) string { return load + logSuffix }

// RawFiles returns the names of the run's raw files, in a fixed order.
func (r *Run) RawFiles() []string {
	names := []string{ManifestFile, EnvFile, RoundsFile}
	for _, l := range r.Manifest.Loads {
		names = append(names, LogFile(l.Name))
	}
	return names
}

// Load finds a load of the plan by name.
func (r *Run) Load(name string) (Load, bool) {
	for _, l := range r.Manifest.Loads {
		if l.Name == name {
			return l, true
		}
	}
	return Load{}, false
}

// Encode returns the raw files' contents by name.
func (r *Run) Encode() (map[string][]byte, error) {
	files := make(map[string][]byte)
	for name, v := range map[string]any{ManifestFile: r.Manifest, EnvFile: r.Env} {
		text, err := JSON(v)
		if err != nil {
			return nil, err
		}
		files[name] = text
	}
	var lines bytes.Buffer
	enc := json.NewEncoder(&lines)
	for _, round := range r.Rounds {
		if err := enc.Encode(round); err != nil {
			return nil, fmt.Errorf("record: %w", err)
		}
	}
	files[RoundsFile] = lines.Bytes()
	for _, l := range r.Manifest.Loads {
		var log bytes.Buffer
		if err := writeLog(&log, l.Name, r.Rounds, r.Histograms); err != nil {
			return nil, err
		}
		files[LogFile(l.Name)] = log.Bytes()
	}
	return files, nil
}

// Read reads the raw files of a run's directory. It also returns their SHA-256 by name.
func Read(dir string) (*Run, map[string]string, error) {
	r := &Run{Histograms: make(map[Key]*hdrhistogram.Histogram)}
	sums := make(map[string]string)
	read := func(name string) ([]byte, error) {
		data, err := os.ReadFile(filepath.Join(dir, name))
		sum := sha256.Sum256(data)
		sums[name] = hex.EncodeToString(sum[:])
		return data, err
	}
	data, err := read(ManifestFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("%w: %s has no %s", ErrNotRun, dir, ManifestFile)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("record: %w", err)
	}
	if err := decode(ManifestFile, data, &r.Manifest); err != nil {
		return nil, nil, err
	}
	if err := r.Manifest.check(); err != nil {
		return nil, nil, err
	}
	if data, err = read(EnvFile); err != nil {
		return nil, nil, fmt.Errorf("record: %w", err)
	}
	if err := decode(EnvFile, data, &r.Env); err != nil {
		return nil, nil, err
	}
	if data, err = read(RoundsFile); err != nil {
		return nil, nil, fmt.Errorf("record: %w", err)
	}
	if err := r.decodeRounds(data); err != nil {
		return nil, nil, err
	}
	for _, l := range r.Manifest.Loads {
		if data, err = read(LogFile(l.Name)); err != nil {
			return nil, nil, fmt.Errorf("record: %w", err)
		}
		if err := readLog(data, l.Name, r.Histograms); err != nil {
			return nil, nil, err
		}
	}
	return r, sums, nil
}

// check refuses a plan that no run can have had.
func (m *Manifest) check() error {
	known := func(a Arm) bool { return a.Name == m.Reference }
	switch {
	case len(m.Loads) == 0:
		return fmt.Errorf("record: %s names no load", ManifestFile)
	case !slices.ContainsFunc(m.Arms, known):
		return fmt.Errorf("record: %s has the reference %q, which is not one of its arms", ManifestFile, m.Reference)
	}
	return nil
}

func (r *Run) decodeRounds(data []byte) error {
	line := 0
	for text := range bytes.Lines(data) {
		line++
		var round Round
		if err := decode(fmt.Sprintf("%s, line %d", RoundsFile, line), text, &round); err != nil {
			return err
		}
		r.Rounds = append(r.Rounds, round)
	}
	return nil
}

// decode is strict: it accepts one value, no unknown field, and only this schema.
func decode(what string, data []byte, into any) error {
	var version struct {
		Schema int `json:"schema"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return fmt.Errorf("record: %s: %w", what, err)
	}
	if version.Schema < oldest || version.Schema > Schema {
		return fmt.Errorf("record: %s has schema %d, this bench reads %d to %d", what, version.Schema, oldest, Schema)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("record: %s: %w", what, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("record: %s: there is more after the end", what)
	}
	return nil
}

// JSON encodes a value as it is written to a file: indented, one newline at the end,
// & and < left readable.
func JSON(v any) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	return out.Bytes(), nil
}

// Sums is the SHA-256 of each file, in hex.
func Sums(files map[string][]byte) map[string]string {
	sums := make(map[string]string, len(files))
	for name, data := range files {
		sum := sha256.Sum256(data)
		sums[name] = hex.EncodeToString(sum[:])
	}
	return sums
}
