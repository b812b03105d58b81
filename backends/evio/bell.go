package evio

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	lib "github.com/tidwall/evio"
	"golang.org/x/sys/unix"
)

// bell gives the loop turns of its own: Data of a connection that is the
// transport's alone. However often it is rung until then, it costs one turn.
// Any goroutine may ring it; what there is to do must be noted before.
//
// evio forgets to wake up for a note that comes while a turn is under way. So
// the bell has a descriptor in evio's epoll as well, for which evio does
// nothing, but for which it turns.
type bell struct {
	rung atomic.Bool // its turn has not begun yet

	mu    sync.Mutex
	conn  lib.Conn // nil before it hangs and after the end
	event int      // an eventfd
	alarm *time.Timer
}

// hang makes a connection the bell's.
func (b *bell) hang(c lib.Conn, epoll int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	event, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("eventfd: %w", err)
	}
	// Edge-triggered: each ring is told once, and need not be read.
	e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET&(1<<32-1), Fd: int32(event)}
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, event, &e); err != nil {
		_ = unix.Close(event)
		return fmt.Errorf("adding to the epoll of evio: %w", err)
	}
	b.conn, b.event = c, event
	b.alarm = time.AfterFunc(time.Hour, b.ring)
	b.alarm.Stop()
	return nil
}

// takeDown silences the bell for good: evio is about to close the descriptor
// that Wake writes to, which may be somebody else's then.
func (b *bell) takeDown() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn != nil {
		b.conn = nil
		b.alarm.Stop()
		_ = unix.Close(b.event)
	}
}

var one = [8]byte{1}

// ring asks for a turn.
func (b *bell) ring() {
	if b.rung.Load() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn == nil || b.rung.Swap(true) {
		return
	}
	b.conn.Wake()
	_, _ = unix.Write(b.event, one[:]) // after the note: the turn that follows finds it
}

// answer begins the bell's turn.
func (b *bell) answer() {
	b.rung.Store(false) // before the notes are read: what comes later rings again
}

// ringIn rings some time later. One call takes the place of another.
func (b *bell) ringIn(after time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn != nil {
		b.alarm.Reset(after)
	}
}
