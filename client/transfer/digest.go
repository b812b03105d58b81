package transfer

import (
	"crypto/sha256"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	maxDigests = 1000
	// minAge is how long a file must be unchanged before its checksum is remembered.
	// Timestamps of file systems advance every 10 ms or so, and between two of their
	// ticks a file can change without a trace.
	minAge = 100 * time.Millisecond
)

// version identifies a file's contents at some time: a later change of the contents
// gives another version.
type version struct {
	dev, inode   uint64
	size         int64
	mtime, ctime int64 // in nanoseconds
	known        bool  // false if the file system did not say
}

func versionOf(info fs.FileInfo) version {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return version{}
	}
	return version{uint64(s.Dev), s.Ino, s.Size, s.Mtim.Nano(), s.Ctim.Nano(), true}
}

// unchanged says whether the file is still that version.
func (v version) unchanged(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && v.known && versionOf(info) == v
}

// digests remembers the checksums of files that were sent, so that a file that is sent
// to many is hashed once. A checksum may be outdated where timestamps do not tell. The
// receiver finds that out, since it always hashes what arrives, and then reports it.
type digests struct {
	mu  sync.Mutex
	all map[version][sha256.Size]byte
}

func (d *digests) of(v version) (sum [sha256.Size]byte, known bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	sum, known = d.all[v]
	return sum, known
}

// keep remembers the checksum of a file, if the file was at least minAge old at began.
func (d *digests) keep(v version, sum [sha256.Size]byte, began time.Time) {
	if !v.known || began.UnixNano()-max(v.mtime, v.ctime) < int64(minAge) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.all) >= maxDigests || d.all == nil {
		d.all = make(map[version][sha256.Size]byte)
	}
	d.all[v] = sum
}

func (d *digests) forget(v version) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.all, v)
}
