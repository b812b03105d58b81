package evio

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	lib "github.com/tidwall/evio"
	"golang.org/x/sys/unix"
)

// bell makes the loop run a turn of the transport's: evio calls Data of a connection that
// the transport has to itself. However often it is rung until then, there is one turn. Any
// goroutine may ring it, after it has noted what there is to do.
//
// evio does not wake up for a Wake that comes while its loop is busy. So the bell also has
// an eventfd in evio's epoll, which makes evio's loop go round; evio does nothing else for
// it.
type bell struct {
	rung atomic.Bool // its turn has not begun yet

	mu    sync.Mutex
	conn  lib.Conn // nil before attach and after detach
	event int      // an eventfd
	alarm *time.Timer
}

// attach gives the bell its connection.
func (b *bell) attach(c lib.Conn, epoll int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	event, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("eventfd: %w", err)
	}
	// Edge-triggered: each ring causes one event, and the eventfd need not be read.
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

// detach silences the bell for good: evio is about to close the descriptor that Wake writes
// to, and somebody else may get its number.
func (b *bell) detach() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn != nil {
		b.conn = nil
		b.alarm.Stop()
		_ = unix.Close(b.event)
	}
}

var one = [8]byte{1}

// ring requests a turn.
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
	_, _ = unix.Write(b.event, one[:]) // after Wake, so that the loop finds it
}

// beginTurn is called at the beginning of the bell's turn.
func (b *bell) beginTurn() {
	b.rung.Store(false) // before the notes are read: what comes later rings again
}

// ringAfter rings some time later. A call replaces an earlier one.
func (b *bell) ringAfter(after time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn != nil {
		b.alarm.Reset(after)
	}
}
