package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// series is a file of JSON lines: first what is repeated, then one
// line for each repetition. A series that was interrupted continues where it stopped.
type series[T any] struct {
	path string
	Done []T
}

// openSeries reads the file, if it exists, and refuses one of something
// else. It ignores an incomplete last line.
func openSeries[T any](path string, what any) (*series[T], error) {
	s := &series[T]{path: path}
	head, err := json.Marshal(what)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
		return s, s.append(head)
	}
	if err != nil {
		return nil, err
	}
	whole := data[:bytes.LastIndexByte(data, '\n')+1]
	if len(whole) < len(data) {
		if err := os.Truncate(path, int64(len(whole))); err != nil {
			return nil, err
		}
	}
	if len(whole) == 0 {
		return s, s.append(head)
	}
	lines := bytes.Split(bytes.TrimSuffix(whole, []byte("\n")), []byte("\n"))
	if !bytes.Equal(lines[0], head) {
		return nil, fmt.Errorf("%s belongs to other flags, or other builds of the programs; give another -o, or remove it", path)
	}
	for i, line := range lines[1:] {
		var one T
		if err := json.Unmarshal(line, &one); err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", path, i+2, err)
		}
		s.Done = append(s.Done, one)
	}
	return s, nil
}

// add appends one line.
func (s *series[T]) add(one T) error {
	line, err := json.Marshal(one)
	if err != nil {
		return err
	}
	s.Done = append(s.Done, one)
	return s.append(line)
}

func (s *series[T]) append(line []byte) error {
	f, err := os.OpenFile(s.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Sync(), f.Close())
}

// dir makes a directory next to the file for what belongs to one of its lines. It removes
// what an interrupted repetition left there.
func (s *series[T]) dir(name string) (string, error) {
	dir := filepath.Join(strings.TrimSuffix(s.path, filepath.Ext(s.path))+".runs", name)
	return dir, os.RemoveAll(dir)
}
