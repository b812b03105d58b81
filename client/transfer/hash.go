package transfer

import "hash"

const (
	// block is how many octets are read, hashed and written at a time: few enough to
	// stay in a core's cache, and many enough that passing them to another core costs
	// little.
	block = 512 << 10
	// blockCount is how many buffers there are: enough to keep reading, writing and
	// hashing busy at the same time.
	blockCount = 4
)

// backgroundHash hashes blocks in a goroutine of its own, while the next ones are read
// and written. The caller gets a buffer from take and passes it to put, in the file's
// order. wait ends it, and is called once.
type backgroundHash struct {
	sum        hash.Hash
	full, free chan []byte
	done       chan struct{}
}

// hashInBackground adds blocks to sum, which nobody else may use until wait has
// returned. If sum is nil nothing is hashed.
func hashInBackground(sum hash.Hash) *backgroundHash {
	s := &backgroundHash{sum: sum, full: make(chan []byte, blockCount), free: make(chan []byte, blockCount), done: make(chan struct{})}
	for range blockCount {
		s.free <- make([]byte, block)
	}
	go func() {
		defer close(s.done)
		for b := range s.full {
			sum.Write(b)
			s.free <- b[:block]
		}
	}()
	return s
}

func (s *backgroundHash) take() []byte { return <-s.free }

func (s *backgroundHash) put(b []byte) {
	if s.sum == nil {
		s.free <- b[:block]
		return
	}
	s.full <- b
}

func (s *backgroundHash) wait() {
	close(s.full)
	<-s.done
}
