package goroutine

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// alarm calls a function at a given time, within about 50 µs. It is a timerfd(2) that Go's
// netpoller watches: for its own timers an idle runtime waits in whole milliseconds.
type alarm struct {
	fd    int
	file  *os.File // of fd
	ended chan struct{}
}

// newAlarm makes an alarm that calls ring, on a goroutine of its own.
func newAlarm(ring func()) (*alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("goroutine: timerfd: %w", err)
	}
	a := &alarm{fd: fd, file: os.NewFile(uintptr(fd), "timerfd"), ended: make(chan struct{})}
	go func() {
		defer close(a.ended)
		var count [8]byte
		for {
			if _, err := a.file.Read(count[:]); err != nil {
				return // closed
			}
			ring()
		}
	}()
	return a, nil
}

// set makes the alarm ring once, after the given time. It replaces an earlier time.
func (a *alarm) set(in time.Duration) {
	when := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(max(in, 1)))} // 0 would stop it
	// It fails only for an invalid descriptor or time.
	_ = unix.TimerfdSettime(a.fd, 0, &when, nil)
}

// close ends the alarm. set must not be called any more.
func (a *alarm) close() {
	a.file.Close()
	<-a.ended
}
