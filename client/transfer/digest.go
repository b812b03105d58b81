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
	digestsMost = 1000
	// settled is how long a file must have been left alone before its sum is
	// remembered: clocks of file systems tick every 10 ms or so, and between two
	// ticks a file can change without a trace.
	settled = 100 * time.Millisecond
)

// version is a file as it was at some time: whatever is done to what it holds,
// its owner's tools cannot but leave another version.
type version struct {
	dev, inode   uint64
	size         int64
	mtime, ctime int64 // in nanoseconds
	whole        bool  // false: not known; equal to no other
}

func versionOf(info fs.FileInfo) version {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return version{}
	}
	return version{uint64(s.Dev), s.Ino, s.Size, s.Mtim.Nano(), s.Ctim.Nano(), true}
}

// unchanged says whether the file is still that version of it.
func (v version) unchanged(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && v.whole && versionOf(info) == v
}

// digests are the sums of files that have been sent once: who sends a file to
// many sums it once. They may be wrong, for file systems are as they are; what
// arrives is summed in any case, and who finds it wrong says so.
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

// keep remembers the sum of a file that has not changed since before began.
func (d *digests) keep(v version, sum [sha256.Size]byte, began time.Time) {
	if !v.whole || began.UnixNano()-max(v.mtime, v.ctime) < int64(settled) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.all) >= digestsMost || d.all == nil {
		d.all = make(map[version][sha256.Size]byte)
	}
	d.all[v] = sum
}

func (d *digests) forget(v version) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.all, v)
}
