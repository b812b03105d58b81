package gnet

import (
	"context"
	"sync"

	lib "github.com/panjf2000/gnet/v2"
)

// bell makes gnet's loop run one task soon: after the events of the turn that it is in, or
// of the next one. Any goroutine may ring it.
type bell struct {
	task lib.RunnableFunc

	mu   sync.Mutex
	loop lib.EventLoop // nil before the first connection, and after the end
}

// ring is false if there is no loop.
func (b *bell) ring() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.loop != nil && b.loop.Execute(context.Background(), b.task) == nil
}

// attach gives the bell its loop, which gnet names only with a connection.
func (b *bell) attach(loop lib.EventLoop) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.loop == nil {
		b.loop = loop
	}
}

// detach silences the bell: the descriptor that Execute writes to is about to be closed,
// and somebody else may get its number.
func (b *bell) detach() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.loop = nil
}
