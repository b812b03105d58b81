// Package history is a file of what was said last, so that a server that starts
// again can tell newcomers.
//
// It begins with a line that names its format. Each other line is one that was said:
//
//	crc SP length SP time SP name: text LF
//
// crc is the CRC-32C of what follows its space, without the LF, in 8 hex digits;
// length how many octets stand behind the second space; time is UTC with
// milliseconds. A line that does not agree with its crc and length is left out when
// the file is read: a crash can leave half of one at the end.
//
// The file grows at the end alone. When it holds Slack times as many lines as are
// kept, the last ones are written to a new file that takes its place.
//
// The package refuses to decide when to write, and to keep lines in memory. A File
// is for one goroutine.
package history

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"chatbench/core"
	"chatbench/internal/replace"
)

// Slack is how many times as many lines as are kept a file may have.
const Slack = 8

// head is the first line of a file.
const head = "chatbench history 1\n"

// File is an open history. No other process has it open meanwhile.
type File struct {
	path  string
	keep  int
	file  *os.File
	size  int64 // octets that are whole; the file may have more after an error
	lines int
}

// Found is what a file held when it was opened.
type Found struct {
	Lines   []core.Line // the last of them, oldest first
	Damaged int         // lines left out: they do not agree with their sums
	Torn    int64       // octets cut off at the end
}

// Open opens the history at path for a server that keeps so many lines, at least 1;
// one that is not there is made. An error leaves the file as it was: it cannot be
// opened, it is no history, or another process has it open.
func Open(path string, keep int) (*File, Found, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, Found{}, fmt.Errorf("history: %w", err)
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // rewrite what a link points to, also if it points elsewhere then
	}
	f := &File{path: path, keep: keep, file: file}
	found, err := f.load()
	if err != nil {
		file.Close()
		return nil, Found{}, err
	}
	replace.RemoveLeftovers(f.path) // nobody else rewrites the file, for it is locked
	return f, found, nil
}

// Check says why Open would fail, and changes nothing.
func Check(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if err := unix.Access(filepath.Dir(path), unix.W_OK|unix.X_OK); err != nil {
			return fmt.Errorf("history: no file can be made in %s: %w", filepath.Dir(path), err)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("history: %w", err)
	}
	defer file.Close()
	_, _, err = (&File{path: path, file: file}).claim()
	return err
}

// claim locks the file, and says how long it is and whether it has its head.
func (f *File) claim() (size int64, begun bool, err error) {
	info, err := f.file.Stat()
	switch {
	case err != nil:
		return 0, false, fmt.Errorf("history: %w", err)
	case !info.Mode().IsRegular():
		return 0, false, fmt.Errorf("history: %s is no regular file: choose another path", f.path)
	case lock(f.file) != nil || !f.inPlace(info):
		return 0, false, fmt.Errorf("history: %s is in use by another server: choose another path", f.path)
	}
	first := make([]byte, len(head))
	n, err := io.ReadFull(f.file, first)
	switch {
	case err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return 0, false, fmt.Errorf("history: %w", err)
	case string(first[:n]) != head[:n]:
		return 0, false, fmt.Errorf("history: %s is a file of another kind: choose another path", f.path)
	}
	return info.Size(), n == len(head), nil // without its head it is new, or was torn when it was
}

// inPlace says whether the file, now that it is locked, is still the one at its path.
// If another server has just rewritten that, it is not.
func (f *File) inPlace(info fs.FileInfo) bool {
	now, err := os.Stat(f.path)
	return err == nil && os.SameFile(info, now)
}

// load reads the file, and cuts off what is torn at its end.
func (f *File) load() (Found, error) {
	size, begun, err := f.claim()
	switch {
	case err != nil:
		return Found{}, err
	case !begun:
		return Found{}, f.begin()
	}
	found := Found{}
	found.Lines, found.Damaged, f.size, f.lines, err = read(f.file, f.keep)
	if err != nil {
		return Found{}, fmt.Errorf("history: read %s: %w", f.path, err)
	}
	f.size += int64(len(head))
	if found.Torn = size - f.size; found.Torn > 0 {
		err = f.cut()
	}
	return found, err
}

// begin makes an empty history of the file.
func (f *File) begin() error {
	_, err := f.file.WriteAt([]byte(head), 0)
	if err == nil {
		f.size = int64(len(head))
		err = f.cut()
	}
	if err != nil {
		return fmt.Errorf("history: begin %s: %w", f.path, err)
	}
	return nil
}

// cut cuts off what stands behind the whole lines.
func (f *File) cut() error {
	if err := f.file.Truncate(f.size); err != nil {
		return fmt.Errorf("history: cut off the end of %s: %w", f.path, err)
	}
	return nil
}

// read reads lines to the end. size is how many octets stand before the end of the
// last line that is whole, lines how many lines there are in these; damaged is how
// many of them do not agree with their sums.
func read(from io.Reader, keep int) (last []core.Line, damaged int, size int64, lines int, err error) {
	r := bufio.NewReaderSize(from, longest)
	var at int64
	unsound := 0 // lines since the last good one
	for {
		text, err := r.ReadSlice('\n')
		at += int64(len(text))
		for errors.Is(err, bufio.ErrBufferFull) { // longer than any line
			text, err = r.ReadSlice('\n')
			at += int64(len(text))
			text = nil
		}
		if errors.Is(err, io.EOF) {
			return last[max(0, len(last)-keep):], damaged, size, lines, nil // what has no LF is torn
		}
		if err != nil {
			return nil, 0, 0, 0, err
		}
		line, good := parse(bytes.TrimSuffix(text, []byte("\n")))
		if !good {
			unsound++
			continue
		}
		damaged += unsound
		lines += unsound + 1
		unsound = 0
		size = at
		if last = append(last, line); len(last) == 2*keep {
			last = last[:copy(last, last[keep:])]
		}
	}
}

// Append writes lines to the end, and has the disk take them. After an error none of
// them is there, and they may be given again.
func (f *File) Append(lines []core.Line) error {
	var b []byte
	for _, line := range lines {
		b = appendLine(b, line)
	}
	_, err := f.file.WriteAt(b, f.size)
	if err == nil {
		err = f.file.Sync()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("history: write %s: %w", f.path, err), f.cut())
	}
	f.size += int64(len(b))
	f.lines += len(lines)
	return nil
}

// Long says that the file is to be rewritten.
func (f *File) Long() bool { return f.lines > Slack*f.keep }

// Rewrite has a new file with these lines alone take the place of the old one. If it
// fails before it has replaced that, the old one stays in use. If it has, only the disk
// may not have taken the name of the new one yet.
func (f *File) Rewrite(lines []core.Line) (replaced bool, err error) {
	temp, err := replace.New(f.path)
	if err != nil {
		return false, fmt.Errorf("history: rewrite %s: %w", f.path, err)
	}
	fresh := &File{path: f.path, keep: f.keep, file: temp.File}
	if err = lock(temp.File); err == nil {
		err = fresh.begin()
	}
	if err == nil {
		err = fresh.Append(lines)
	}
	if err == nil {
		replaced, err = temp.Commit()
	}
	if replaced {
		f.file.Close()
		*f = *fresh
	} else {
		temp.Close()
	}
	if err != nil {
		return replaced, fmt.Errorf("history: rewrite %s: %w", f.path, err)
	}
	return true, nil
}

// lock keeps other processes from the file while it is open.
func lock(file *os.File) error { return unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) }

// Close closes the file. What was appended is on the disk.
func (f *File) Close() error { return f.file.Close() }
