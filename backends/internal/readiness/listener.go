package readiness

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/backends/internal/loopgroup"
	"chatbench/backends/internal/socket"
	"chatbench/internal/loglimit"
)

// restTime is how long a listener rests when accepting is of no use for now.
const restTime = 100 * time.Millisecond

// listener accepts connections. When descriptors run out it gives up its
// reserve for a moment to take the connection and close it, so that the
// client is told at once and the loop does not spin on it; when even that
// fails it is not watched for a while.
type listener struct {
	fd      int // -1 once stopped
	addr    netip.AddrPort
	reserve *socket.Reserve
	until   time.Time // when a rest ends; zero: not resting
	lines   loglimit.Limit
}

func (l *listener) resting() bool { return !l.until.IsZero() }

func listen(cfg backends.Config, share bool) (*listener, error) {
	fd, addr, err := socket.ListenFD(cfg, share)
	if err != nil {
		return nil, err
	}
	reserve, err := socket.NewReserve()
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return &listener{fd: fd, addr: addr, reserve: reserve}, nil
}

// stop takes no more connections. It may be called again.
func (l *listener) stop(p Poller) {
	if l.fd < 0 {
		return
	}
	p.Remove(newID(l.fd, 0))
	l.close()
}

func (l *listener) close() {
	_ = unix.Close(l.fd)
	l.fd = -1
	l.until = time.Time{}
	l.reserve.Close()
}

// accept takes the connections that wait, at most turnAccepts of them.
func (l *loop) accept() {
	for range turnAccepts {
		fd, peer, err := socket.Accept(l.listener.fd)
		switch {
		case err == nil:
			l.cfg.Counters.Accepts.Add(1)
			if l.member.Place(loopgroup.Arrival{FD: fd, Peer: peer}) {
				l.adopt(fd, peer)
			}
			continue
		case err == unix.EAGAIN:
			return
		}
		l.cfg.Counters.AcceptErrors.Add(1)
		if !socket.Exhausted(err) || !l.listener.reserve.TurnAway(l.listener.fd) {
			l.listener.lines.Warn(l.cfg.Log, "accepting rests", "for", restTime, "err", err)
			l.rest()
			return
		}
		l.cfg.Counters.NoDescriptors.Add(1)
	}
}

// rest stops watching the listener.
func (l *loop) rest() {
	l.poller.Remove(newID(l.listener.fd, 0))
	l.listener.until = time.Now().Add(restTime)
}

// endRest watches the listener again when it has rested long enough.
func (l *loop) endRest(now time.Time) {
	if now.Before(l.listener.until) {
		return
	}
	if err := l.poller.Add(newID(l.listener.fd, 0)); err == nil {
		l.listener.until = time.Time{}
	}
}
