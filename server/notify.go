package server

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

const (
	statusInterval = 5 * time.Second // least time between two reports of the number of clients
	closeTimeout   = time.Second     // how long close waits until all states are sent
)

// notifier reports the state of the server to the service manager: sd_notify(3). A nil
// notifier, of a process that no service manager has started, reports nothing.
//
// States wait in a queue for a goroutine that sends them, because sending blocks if the
// manager does not read. If the queue is full, further states are dropped.
//
// Only the server's ticker calls tick. close is called once. Any goroutine may call the other
// methods; after close they do nothing.
type notifier struct {
	addr   netip.AddrPort
	log    *slog.Logger
	states chan string
	closed chan struct{}
	done   chan struct{} // closed when all states are sent

	watchdogInterval time.Duration // 0: there is no watchdog
	lastWatchdog     time.Time     // when the watchdog was last notified
	lastStatus       time.Time     // when the number of clients was last checked
	clients          int           // the number that was last reported
}

// newNotifier returns nil if NOTIFY_SOCKET is not set.
func newNotifier(addr netip.AddrPort, log *slog.Logger) *notifier {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return nil
	}
	n := &notifier{addr: addr, log: log, states: make(chan string, 16), closed: make(chan struct{}), done: make(chan struct{})}
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("cannot notify the watchdog of the service manager", "err", err)
	}
	n.watchdogInterval = watchdog / 2
	go n.send()
	return n
}

// send sends the states in the queue, in order, and after close those that are left.
func (n *notifier) send() {
	defer close(n.done)
	failed := false
	send := func(state string) {
		if _, err := daemon.SdNotify(false, state); err != nil && !failed {
			failed = true
			n.log.Warn("cannot report to the service manager", "err", err)
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

// ready reports that the server is running with its current settings.
func (n *notifier) ready() { n.tell(daemon.SdNotifyReady) }

// reloading reports that the server reloads its files. The function that it returns reports
// that this has ended, successfully or not.
func (n *notifier) reloading() (ready func()) {
	n.tell(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
	return n.ready
}

func (n *notifier) stopping() { n.tell(daemon.SdNotifyStopping) }

// tick notifies the watchdog if it is time, and reports the number of clients if that has
// changed.
func (n *notifier) tick(now time.Time, clients func() int) {
	if n == nil {
		return
	}
	if n.watchdogInterval > 0 && now.Sub(n.lastWatchdog) >= n.watchdogInterval-tickEvery {
		n.lastWatchdog = now
		n.tell(daemon.SdNotifyWatchdog)
	}
	if now.Sub(n.lastStatus) < statusInterval {
		return
	}
	if c := clients(); c != n.clients || n.lastStatus.IsZero() {
		n.clients = c
		n.tell(fmt.Sprintf("STATUS=%d clients on %s", c, n.addr))
	}
	n.lastStatus = now
}

// close waits until all states are sent, but at most for closeTimeout.
func (n *notifier) close() {
	if n == nil {
		return
	}
	close(n.closed)
	select {
	case <-n.done:
	case <-time.After(closeTimeout):
	}
}
