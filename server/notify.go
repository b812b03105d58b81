package server

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// statusEvery is how often the service manager may be told how many clients there
// are, and notifyFor how long the last of what it is told may take.
const (
	statusEvery = 5 * time.Second
	notifyFor   = time.Second
)

// notifier tells the service manager how the server is: sd_notify(3). A nil notifier,
// as of a process that none has started, tells nothing.
//
// What is told waits in a queue for a goroutine of its own, for a manager that does
// not read would hold up whoever writes to it. If the queue is full it is not read,
// and what comes then is dropped.
//
// tick is for the server's ticker alone, close is called once, the others are for any
// goroutine; what comes after close is told to nobody.
type notifier struct {
	addr   netip.AddrPort
	log    *slog.Logger
	states chan string
	closed chan struct{}
	done   chan struct{} // all has been told

	beatEvery time.Duration // 0: nobody watches
	beat      time.Time     // when the last one was
	shown     time.Time     // when the status was last looked at
	clients   int           // that it shows
}

// newNotifier is nil where NOTIFY_SOCKET is not set.
func newNotifier(addr netip.AddrPort, log *slog.Logger) *notifier {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return nil
	}
	n := &notifier{addr: addr, log: log, states: make(chan string, 16), closed: make(chan struct{}), done: make(chan struct{})}
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("the watchdog of the service manager gets no sign of life", "err", err)
	}
	n.beatEvery = watchdog / 2
	go n.send()
	return n
}

// send tells what is in the queue, in order, and after close what is left in it.
func (n *notifier) send() {
	defer close(n.done)
	failed := false
	send := func(state string) {
		if _, err := daemon.SdNotify(false, state); err != nil && !failed {
			failed = true
			n.log.Warn("the service manager cannot be told how the server is", "err", err)
		}
	}
	for {
		select {
		case state := <-n.states:
			send(state)
		case <-n.closed:
			for len(n.states) > 0 {
				send(<-n.states)
			}
			return
		}
	}
}

func (n *notifier) tell(state string) {
	if n == nil {
		return
	}
	select {
	case n.states <- state:
	default:
	}
}

// ready says that the server is at work, and as it was told to be.
func (n *notifier) ready() { n.tell(daemon.SdNotifyReady) }

// reloading says that it reads its files again. What it returns says that this is
// over, whether it is as it was or as the files have it now.
func (n *notifier) reloading() (ready func()) {
	n.tell(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
	return n.ready
}

func (n *notifier) stopping() { n.tell(daemon.SdNotifyStopping) }

// tick gives a sign of life if it is time for one, and shows how many clients there
// are if that has changed.
func (n *notifier) tick(now time.Time, clients func() int) {
	if n == nil {
		return
	}
	if n.beatEvery > 0 && now.Sub(n.beat) >= n.beatEvery-tickEvery {
		n.beat = now
		n.tell(daemon.SdNotifyWatchdog)
	}
	if now.Sub(n.shown) < statusEvery {
		return
	}
	if c := clients(); c != n.clients || n.shown.IsZero() {
		n.clients = c
		n.tell(fmt.Sprintf("STATUS=%d clients on %s", c, n.addr))
	}
	n.shown = now
}

// close waits until all has been told, but not for a manager that does not read.
func (n *notifier) close() {
	if n == nil {
		return
	}
	close(n.closed)
	select {
	case <-n.done:
	case <-time.After(notifyFor):
	}
}
