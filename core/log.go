package core

import "sync/atomic"

// chunkSize is how many octets a chunk of the log holds. A frame never lies
// across two chunks, so what a reader gets always ends at a frame's end.
const chunkSize = 1 << 20

// spareChunks bounds the chunks kept for reuse; more are left to the collector.
const spareChunks = 2

// chunk is a piece of the log. It is append-only: octets below size never
// change while a reader is in it.
type chunk struct {
	base    uint64                // position in the log of its first octet
	size    atomic.Int64          // octets that may be read
	next    atomic.Pointer[chunk] // set once, after the last octet
	readers atomic.Int64          // cursors in this chunk
	buf     []byte
}

// broadcastLog is what was said in the room, in order. One appender at a time
// (the room's lock); readers follow their cursors without a lock.
//
// A chunk is reused when no cursor is in it or before it. Cursors only move
// forward, count themselves in before they count themselves out, and new ones
// begin in the last chunk; so once the first chunk has no readers, none can
// come to it.
type broadcastLog struct {
	chunkSize   int
	first, last *chunk
	spare       []*chunk
	end         atomic.Uint64 // position after the last octet
}

func newBroadcastLog(chunkSize int) *broadcastLog {
	c := &chunk{buf: make([]byte, chunkSize)}
	return &broadcastLog{chunkSize: chunkSize, first: c, last: c}
}

// reserve returns an empty slice with room for n octets at the end of the log,
// to be filled and given to commit.
func (l *broadcastLog) reserve(n int) (space []byte) {
	size := int(l.last.size.Load())
	if size+n <= l.chunkSize {
		return l.last.buf[size:size]
	}
	if n > l.chunkSize {
		panic("core: a frame larger than a chunk")
	}
	l.reclaim()
	var c *chunk
	if k := len(l.spare); k > 0 {
		c, l.spare = l.spare[k-1], l.spare[:k-1]
	} else {
		c = &chunk{buf: make([]byte, l.chunkSize)}
	}
	c.base = l.last.base + uint64(size)
	l.last.next.Store(c)
	l.last = c
	return c.buf[:0]
}

// commit publishes what was written into the space that reserve gave.
func (l *broadcastLog) commit(written []byte) {
	size := l.last.size.Load() + int64(len(written))
	l.last.size.Store(size)
	l.end.Store(l.last.base + uint64(size))
}

// reclaim removes the chunks at the beginning that have no readers any more.
func (l *broadcastLog) reclaim() {
	for l.first != l.last && l.first.readers.Load() == 0 {
		c := l.first
		l.first = c.next.Load()
		c.next.Store(nil)
		c.size.Store(0)
		if len(l.spare) < spareChunks {
			l.spare = append(l.spare, c)
		}
	}
}

// cursor is a reader's place in the log. Its zero value reads nothing.
type cursor struct {
	chunk *chunk
	off   int // octets of the chunk that were read
}

// openCursor is a cursor at the end of the log. The caller holds the
// appender's lock.
func (l *broadcastLog) openCursor() cursor {
	l.last.readers.Add(1)
	return cursor{l.last, int(l.last.size.Load())}
}

// pending is the contiguous octets from the cursor on, none beyond limit, a
// position in the log. It moves the cursor into the next chunk when one is done.
func (c *cursor) pending(limit uint64) []byte {
	for c.chunk != nil {
		next := c.chunk.next.Load() // before size: size is final once next is set
		size := int(c.chunk.size.Load())
		if c.chunk.base+uint64(size) > limit {
			size = int(limit - c.chunk.base)
		}
		if c.off < size {
			return c.chunk.buf[c.off:size]
		}
		if next == nil || next.base >= limit {
			return nil
		}
		next.readers.Add(1)
		c.chunk.readers.Add(-1)
		c.chunk, c.off = next, 0
	}
	return nil
}

// position is where in the log an open cursor stands.
func (c *cursor) position() uint64 {
	return c.chunk.base + uint64(c.off)
}

// close removes the cursor from the log.
func (c *cursor) close() {
	if c.chunk != nil {
		c.chunk.readers.Add(-1)
		c.chunk = nil
	}
}
