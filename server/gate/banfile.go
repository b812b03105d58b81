package gate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"chatbench/internal/replace"
)

// largestBanFile bounds what is read, in octets: MaxBans lines are a third of it.
const largestBanFile = 4 << 20

// errNoFile says that the bans are kept in memory alone.
var errNoFile = errors.New("gate: there is no bans file")

// load reads the bans for the first time.
func (b *bans) load() error {
	set, err := b.read()
	if err == nil {
		b.now.Store(set)
	}
	return err
}

// read gives what the file says. No file is no bans, but an error where there are some
// now: it was lost. Where the bans are in memory alone, they are as they are.
func (b *bans) read() (*banned, error) {
	if b.path == "" {
		if set := b.now.Load(); set != nil {
			return set, nil
		}
		return newBanned(nil, time.Time{})
	}
	f, err := os.Open(b.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if set := b.now.Load(); set != nil && set.count(time.Now()) > 0 {
			return nil, fmt.Errorf("gate: %s is gone: put it back, or an empty file to lift all bans", b.path)
		}
		return newBanned(nil, time.Time{})
	case err != nil:
		return nil, fmt.Errorf("gate: bans: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, largestBanFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("gate: bans: %w", err)
	case len(data) > largestBanFile:
		return nil, fmt.Errorf("gate: bans: %s has over %d octets: it is no file of bans", b.path, largestBanFile)
	}
	var list []Ban
	for i, line := range bytes.Split(data, []byte("\n")) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		ban, err := parseBan(line)
		if err != nil {
			return nil, fmt.Errorf("gate: %s:%d: %w: mend or delete the line", b.path, i+1, err)
		}
		list = append(list, ban)
	}
	return newBanned(list, time.Now())
}

var errBanLine = errors.New(`a line is {"name":"bob"} or {"prefix":"203.0.113.0/24"}, with "since" and, if it ends, "until" as in 2026-01-31T18:00:00Z`)

// parseBan reads a line.
func parseBan(line []byte) (Ban, error) {
	var raw Ban
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&raw); err != nil || d.More() || (raw.Name == "") == !raw.Prefix.IsValid() {
		return Ban{}, errBanLine
	}
	ban, err := Ban{}, error(nil)
	if raw.Name != "" {
		ban, err = nameBan(raw.Name)
	} else {
		ban, err = prefixBan(raw.Prefix)
	}
	ban.Since, ban.Until = raw.Since, raw.Until
	return ban, err
}

// save writes the bans to the file, if there is one, and notes whether they are there.
func (b *bans) save() error {
	if b.path == "" {
		return errNoFile
	}
	err := b.replace()
	b.unsaved = err != nil
	return err
}

// saveRest saves what could not be saved before.
func (b *bans) saveRest() error {
	if !b.unsaved {
		return nil
	}
	if err := b.save(); err != nil {
		return fmt.Errorf("gate: the bans stay as they were, for they cannot be saved: %w", err)
	}
	return nil
}

// replace replaces the file.
func (b *bans) replace() error {
	var text bytes.Buffer
	lines := json.NewEncoder(&text)
	for _, ban := range b.now.Load().all(time.Now()) {
		if err := lines.Encode(ban); err != nil {
			return fmt.Errorf("gate: bans: %w", err) // a year over 9999
		}
	}
	file, err := replace.New(b.path)
	if err != nil {
		return fmt.Errorf("gate: bans: %w", err)
	}
	defer file.Close()
	if _, err = file.Write(text.Bytes()); err == nil {
		_, err = file.Commit()
	}
	if err != nil {
		return fmt.Errorf("gate: bans: %w", err)
	}
	return nil
}
