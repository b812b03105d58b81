package process

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// What is said reaches a client in two steps, and the loop does only the first.
// So it could read on and on, say what it read, and find that children it left
// no processor to are further behind than a client may be. A loop that writes to
// the sockets itself is held back by just that work; this one holds itself back:
// while a pipe is full, nothing is read from clients.
//
// A client that does not read fills its pipe too, and must not hold up the
// others. So after a moment the loop looks whom it waits for: a child that
// sleeps although its pipe is full waits for its client, one that does not
// sleep for a processor. A client that was waited for in vain causes no other
// hold for a while: a moment at first, for one that reads may just have had no
// turn, and twice as long each time until it has taken all.
const (
	firstLook  = 5 * time.Millisecond // into a hold; later ones come at twice the time
	lastLook   = 80 * time.Millisecond
	firstTardy = 10 * time.Millisecond
	lastTardy  = 10 * time.Second
)

// hold is what the loop knows of the hold it is in, if it is in one.
type hold struct {
	awaited []*client     // who caused it; some may have caught up
	open    int           // how many have not
	look    time.Time     // when to look at their children
	pause   time.Duration // before that
}

func (h *hold) active() bool { return h.open > 0 }

// await holds input back until a client whose pipe is full has taken all.
func (l *loop) await(c *client) {
	if c.awaited {
		return
	}
	h, now := &l.hold, time.Now()
	if now.Before(c.tardy) {
		return
	}
	if !h.active() {
		if err := l.poller.modify(l.inputs.fd, 0); err != nil {
			panic("process: the poller has lost its inputs: " + err.Error())
		}
		h.pause = firstLook
		h.look = now.Add(h.pause)
	}
	c.awaited = true
	h.awaited = append(h.awaited, c)
	h.open++
}

// caughtUp takes a client off those who are waited for: it has taken all, or
// will be sent nothing more.
func (l *loop) caughtUp(c *client) {
	if !c.awaited {
		return
	}
	c.awaited = false
	if l.hold.open--; l.hold.open == 0 {
		l.release()
	}
}

// release reads from clients again.
func (l *loop) release() {
	clear(l.hold.awaited)
	l.hold.awaited = l.hold.awaited[:0]
	if err := l.poller.modify(l.inputs.fd, unix.EPOLLIN); err != nil {
		panic("process: the poller has lost its inputs: " + err.Error())
	}
}

// lookAtAwaited finds out who is waited for in vain.
func (l *loop) lookAtAwaited(now time.Time) {
	h := &l.hold
	if now.Before(h.look) {
		return
	}
	h.pause = min(2*h.pause, lastLook)
	h.look = now.Add(h.pause)
	for i := 0; i < len(h.awaited); i++ { // none are left once the last has caught up
		if c := h.awaited[i]; c.awaited && c.kid.waitsForClient() {
			c.vain = min(max(2*c.vain, firstTardy), lastTardy)
			c.tardy = now.Add(c.vain)
			l.caughtUp(c)
		}
	}
}

// waitsForClient says whether a child, of which the pipe was full, waits for
// its client to read. One that has octets in its pipe and sleeps does; one that
// has and does not sleep waits for a processor; and one that has none waits for
// this loop. What a child does its first thread does.
func (k *kid) waitsForClient() bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(k.pid) + "/stat")
	_, after, found := bytes.Cut(stat, []byte(") "))
	if err == nil && found && len(after) > 0 && after[0] == 'R' {
		return false
	}
	unread, err := unix.IoctlGetInt(k.down, unix.TIOCINQ) // of a pipe too, from either end
	return err != nil || unread > 0
}

// takeInput reads from the clients that have sent something.
func (l *loop) takeInput() {
	n, err := l.inputs.wait(0, true)
	if err != nil {
		panic("process: the poller of inputs: " + err.Error())
	}
	for i := range n {
		if l.hold.active() {
			return // they are still ready after the hold
		}
		l.inputs.handle(i)
	}
}
