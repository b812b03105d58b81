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

// maxBanFile is the largest bans file, in octets. MaxBans lines have a third of it.
const maxBanFile = 4 << 20

// errNoFile means that the bans are kept only in memory.
var errNoFile = errors.New("gate: there is no bans file")

// load reads the bans for the first time.
func (b *bans) load() error {
	set, err := b.read()
	if err == nil {
		b.now.Store(set)
	}
	return err
}

// read reads the file. If there is no file there are no bans; but it is an error if there are
// some now, because then the file was lost. Bans that are kept only in memory do not change.
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
	data, err := io.ReadAll(io.LimitReader(f, maxBanFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("gate: bans: %w", err)
	case len(data) > maxBanFile:
		return nil, fmt.Errorf("gate: bans: %s has more than %d octets: it is not a bans file", b.path, maxBanFile)
	}
	var list []Ban
	for i, line := range bytes.Split(data, []byte("\n")) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		ban, err := parseBan(line)
		if err != nil {
			return nil, fmt.Errorf("gate: %s:%d: %w: correct or delete the line", b.path, i+1, err)
		}
		list = append(list, ban)
	}
	return newBanned(list, time.Now())
}

var errBanLine = errors.New(`a line must be {"name":"bob"} or {"prefix":"203.0.113.0/24"}, with "since" and, if the ban ends, "until", such as 2026-01-31T18:00:00Z`)

// parseBan parses a line.
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

// save writes the bans to the file, if there is one, and notes in unsaved whether it failed.
func (b *bans) save() error {
	if b.path == "" {
		return errNoFile
	}
	err := b.replace()
	b.unsaved = err != nil
	return err
}

// saveUnsaved saves the bans if that has failed before.
func (b *bans) saveUnsaved() error {
	if !b.unsaved {
		return nil
	}
	if err := b.save(); err != nil {
		return fmt.Errorf("gate: the bans stay as they were, because they cannot be saved: %w", err)
	}
	return nil
}

// replace replaces the file.
func (b *bans) replace() error {
	var text bytes.Buffer
	lines := json.NewEncoder(&text)
	for _, ban := range b.now.Load().all(time.Now()) {
		if err := lines.Encode(ban); err != nil {
			return fmt.Errorf("gate: bans: %w", err) // a time after the year 9999
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
