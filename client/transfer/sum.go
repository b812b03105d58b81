package transfer

import "hash"

const (
	// block is how much is read, summed and written at a time: it stays in a
	// core's cache on its way, and is long enough that handing it to another
	// core does not count.
	block = 512 << 10
	// blocks is how many there are: as many as keep reading, writing and summing
	// busy, and no more.
	blocks = 4
)

// summing sums blocks up in a goroutine of its own, while the next are read and
// written. Blocks come from take and go to put, in the file's order; wait ends
// it, and is called once.
type summing struct {
	sum        hash.Hash
	full, free chan []byte
	done       chan struct{}
}

// sumBeside adds blocks to sum, which is its alone until wait has returned. For
// a sum that is known already it is nil, and nothing is summed.
func sumBeside(sum hash.Hash) *summing {
	s := &summing{sum: sum, full: make(chan []byte, blocks), free: make(chan []byte, blocks), done: make(chan struct{})}
	for range blocks {
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

func (s *summing) take() []byte { return <-s.free }

func (s *summing) put(b []byte) {
	if s.sum == nil {
		s.free <- b[:block]
		return
	}
	s.full <- b
}

func (s *summing) wait() {
	close(s.full)
	<-s.done
}
