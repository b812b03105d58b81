package gnet

import (
	"context"
	"sync"
	"sync/atomic"

	lib "github.com/panjf2000/gnet/v2"
)

// bell makes the loop run one task soon: after the events of the turn it is
// in, or of the next. However often it is rung until then, it costs one task.
// Any goroutine may ring it; what there is to do must be noted before.
type bell struct {
	task lib.RunnableFunc
	rung atomic.Bool // the task has not begun yet

	mu   sync.Mutex
	loop lib.EventLoop // nil before the first connection and after the end
}

// ring is false if there is no loop that could hear it.
func (b *bell) ring() bool {
	if b.rung.Load() {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.loop == nil {
		return false
	}
	if b.rung.Swap(true) {
		return true
	}
	if b.loop.Execute(context.Background(), b.task) != nil {
		b.rung.Store(false)
		return false
	}
	return true
}

// hang gives the bell its loop. gnet tells of it only with a connection.
func (b *bell) hang(loop lib.EventLoop) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.loop == nil {
		b.loop = loop
	}
}

// takeDown silences the bell: the descriptor it would write to is about to be
// closed, and may be somebody else's then.
func (b *bell) takeDown() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.loop = nil
}
