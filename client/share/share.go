// Package share is the one directory that a client lets others read: the
// regular files in it, by their names, and nothing else on the machine.
//
// It refuses paths, dotfiles, links, pipes, devices and directories, whoever
// asks and however the name is written, and it refuses to write. A Dir may be
// used from any goroutine; no call waits for anything but the disk.
package share

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	"golang.org/x/text/unicode/norm"
)

const (
	// ListedMost and octetsListed bound what List gives. Whoever asked has a
	// bounded queue at the server, and is thrown out when a list overflows it.
	ListedMost   = 1000
	octetsListed = 64 << 10
	// entriesMost bounds how much of a directory is looked at.
	entriesMost = 20_000
	// longestName is the longest a name in a directory can be, in octets.
	longestName = 255
)

// ErrNotFound is that the directory shares no such file, for whatever reason:
// who asks from outside does not learn which.
var ErrNotFound = errors.New("share: no such file is shared")

// Dir is a shared directory.
type Dir struct{ root *os.Root }

// Open opens a directory to share.
func Open(path string) (*Dir, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("share: cannot share: %w", err)
	}
	return &Dir{root}, nil
}

// Close ends the sharing. Files that are open stay so.
func (d *Dir) Close() error { return d.root.Close() }

// List gives the names of the files, sorted, as the file system writes them.
// left is how many there are beside those; they can be opened all the same.
func (d *Dir) List() (names []string, left int, err error) {
	all, err := d.names()
	if err != nil {
		return nil, 0, err
	}
	slices.Sort(all)
	octets := 0
	for i, name := range all {
		if octets += len(name); i == ListedMost || octets > octetsListed {
			return all[:i], len(all) - i, nil
		}
	}
	return all, 0, nil
}

// names reads the directory anew.
func (d *Dir) names() ([]string, error) {
	dir, err := d.root.Open(".")
	if err != nil {
		return nil, fmt.Errorf("share: %w", err)
	}
	defer dir.Close()
	var names []string
	for seen := 0; seen < entriesMost; {
		entries, err := dir.ReadDir(512)
		for _, e := range entries {
			if fit(e.Name()) && e.Type().IsRegular() {
				names = append(names, e.Name())
			}
		}
		seen += len(entries)
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("share: %w", err)
		}
	}
	return names, nil
}

// Open opens a file for reading. Names that differ only in how their accents
// and syllables are composed are one name; one that is exact goes first.
func (d *Dir) Open(name string) (*os.File, fs.FileInfo, error) {
	if !fit(name) {
		return nil, nil, ErrNotFound
	}
	f, info, err := d.open(name)
	if err == nil {
		return f, info, nil
	}
	names, err := d.names()
	if err != nil {
		return nil, nil, ErrNotFound
	}
	canonical := norm.NFC.String(name)
	for _, other := range names {
		if other != name && norm.NFC.String(other) == canonical {
			return d.open(other)
		}
	}
	return nil, nil, ErrNotFound
}

// open opens what is a regular file under exactly this name. A pipe would
// block an ordinary open, a device might act on it, and between the look and
// the open one thing may have taken the place of another: so it is looked at
// before and after, and opened without waiting or following.
func (d *Dir) open(name string) (*os.File, fs.FileInfo, error) {
	before, err := d.root.Lstat(name)
	if err != nil || !before.Mode().IsRegular() {
		return nil, nil, ErrNotFound
	}
	f, err := d.root.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, ErrNotFound
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || !os.SameFile(before, info) {
		f.Close()
		return nil, nil, ErrNotFound
	}
	return f, info, nil
}

// fit says whether a name can be one of a shared file: a name, not a path, and
// not hidden. Half-done downloads are hidden too, in case they land here.
func fit(name string) bool {
	return name != "" && len(name) <= longestName && name[0] != '.' &&
		!strings.ContainsAny(name, "/\x00") && !strings.HasSuffix(name, Unfinished)
}

// Unfinished is how the names of downloads end that are not finished.
const Unfinished = ".part"
