// Package history keeps the last messages in a file, so that a server that is restarted can show
// them to new clients.
//
// The file begins with a line that names its format. Each other line is one message:
//
//	crc SP length SP time SP name: text LF
//
// crc is the CRC-32C of what follows the first space, without the LF, in 8 hexadecimal digits.
// length is the number of octets after the second space. time is UTC, with milliseconds. A line
// that does not agree with its crc and length is ignored when the file is read: a crash can leave
// an incomplete line at the end.
//
// Lines are appended. When the file has more than Slack times as many lines as are kept, the last
// ones are written to a new file that replaces it.
//
// The package does not decide when to write, and keeps no lines in memory. A File belongs to one
// goroutine.
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

// Slack is how many times the number of lines that are kept a file may have.
const Slack = 8

// head is the first line of a file.
const head = "chatbench history 1\n"

// File is an open history. It is locked against other processes.
type File struct {
	path  string
	keep  int
	file  *os.File
	size  int64 // octets of complete lines; after an error the file may have more
	lines int
}

// Found is what a file contained when it was opened.
type Found struct {
	Lines   []core.Line // the last lines, oldest first
	Damaged int         // ignored lines, which do not agree with their crc or length
	Torn    int64       // octets cut off at the end
}

// Open opens the history at path, or makes it. keep, at least 1, is how many lines are kept. If
// the file cannot be opened, is not a history, or another process has it open, Open returns an
// error and does not change it.
func Open(path string, keep int) (*File, Found, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, Found{}, fmt.Errorf("history: %w", err)
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // Rewrite replaces what the link points to now
	}
	f := &File{path: path, keep: keep, file: file}
	found, err := f.load()
	if err != nil {
		file.Close()
		return nil, Found{}, err
	}
	replace.RemoveLeftovers(f.path) // the lock is held, so no other process is rewriting the file
	return f, found, nil
}

// Check returns the error that Open would return, and changes nothing.
func Check(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if err := unix.Access(filepath.Dir(path), unix.W_OK|unix.X_OK); err != nil {
			return fmt.Errorf("history: cannot make a file in %s: %w", filepath.Dir(path), err)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("history: %w", err)
	}
	defer file.Close()
	_, _, err = (&File{path: path, file: file}).lock()
	return err
}

// lock locks the file, and returns its size and whether it has its first line.
func (f *File) lock() (size int64, begun bool, err error) {
	info, err := f.file.Stat()
	switch {
	case err != nil:
		return 0, false, fmt.Errorf("history: %w", err)
	case !info.Mode().IsRegular():
		return 0, false, fmt.Errorf("history: %s is not a regular file: choose another path", f.path)
	case flock(f.file) != nil || !f.inPlace(info):
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
	return info.Size(), n == len(head), nil // without its first line it is new, or a crash has left it incomplete
}

// inPlace says whether the file, now that it is locked, is still the one at its path. Another
// server may have replaced it.
func (f *File) inPlace(info fs.FileInfo) bool {
	now, err := os.Stat(f.path)
	return err == nil && os.SameFile(info, now)
}

// load reads the file, and cuts off an incomplete line at its end.
func (f *File) load() (Found, error) {
	size, begun, err := f.lock()
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

// begin makes the file an empty history.
func (f *File) begin() error {
	_, err := f.file.WriteAt([]byte(head), 0)
	if err == nil {
		f.size = int64(len(head))
		err = f.cut()
	}
	if err != nil {
		return fmt.Errorf("history: write the first line of %s: %w", f.path, err)
	}
	return nil
}

// cut cuts off what follows the complete lines.
func (f *File) cut() error {
	if err := f.file.Truncate(f.size); err != nil {
		return fmt.Errorf("history: cut off the end of %s: %w", f.path, err)
	}
	return nil
}

// read reads lines to the end. size is the number of octets up to the end of the last good line,
// lines the number of lines in them, and damaged how many of these are not good.
func read(from io.Reader, keep int) (last []core.Line, damaged int, size int64, lines int, err error) {
	r := bufio.NewReaderSize(from, maxLine)
	var at int64
	bad := 0 // lines since the last good one
	for {
		text, err := r.ReadSlice('\n')
		at += int64(len(text))
		for errors.Is(err, bufio.ErrBufferFull) { // longer than any line
			text, err = r.ReadSlice('\n')
			at += int64(len(text))
			text = nil
		}
		if errors.Is(err, io.EOF) {
			return last[max(0, len(last)-keep):], damaged, size, lines, nil // a line without LF is incomplete
		}
		if err != nil {
			return nil, 0, 0, 0, err
		}
		line, good := parse(bytes.TrimSuffix(text, []byte("\n")))
		if !good {
			bad++
			continue
		}
		damaged += bad
		lines += bad + 1
		bad = 0
		size = at
		if last = append(last, line); len(last) == 2*keep {
			last = last[:copy(last, last[keep:])]
		}
	}
}

// Append writes lines at the end, and syncs them to the disk. After an error none of them is in
// the file, and Append may be called with them again.
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

// Long says whether the file has so many lines that it should be rewritten.
func (f *File) Long() bool { return f.lines > Slack*f.keep }

// Rewrite replaces the file by a new one with only these lines. If it fails and replaced is false,
// the old file stays in use. If it fails and replaced is true, only the sync of the directory has
// failed.
func (f *File) Rewrite(lines []core.Line) (replaced bool, err error) {
	temp, err := replace.New(f.path)
	if err != nil {
		return false, fmt.Errorf("history: rewrite %s: %w", f.path, err)
	}
	fresh := &File{path: f.path, keep: f.keep, file: temp.File}
	if err = flock(temp.File); err == nil {
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

// flock locks a file against other processes until it is closed.
func flock(file *os.File) error { return unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) }

// Close closes the file. What was appended is on the disk.
func (f *File) Close() error { return f.file.Close() }
