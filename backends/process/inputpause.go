package process

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// A message reaches a client in two steps: the loop writes it to a pipe, and the child writes it
// to the socket. So the loop could read and feed without end while the children have no
// processor, until they are further behind than a client may be. Other transports write to the
// sockets themselves, which slows them down enough. This loop pauses its input instead: while a
// pipe is full, it reads nothing from clients.
//
// A client that does not read fills its pipe too, and must not stop the input of the others.
// So after a short time the loop checks what each child with a full pipe does: a child that
// sleeps waits for its client, and one that does not sleep waits for a processor. A client that
// its child waits for is exempt: its full pipe causes no pause for a while. That time is short
// at first, because a client that reads may just have had no processor, and doubles until the
// client has taken everything.
const (
	firstCheck  = 5 * time.Millisecond // from the beginning of a pause; the interval doubles up to lastCheck
	lastCheck   = 80 * time.Millisecond
	firstExempt = 10 * time.Millisecond
	lastExempt  = 10 * time.Second
)

// inputPause is the state of a pause.
type inputPause struct {
	awaited   []*client     // whose full pipes caused it; some may have caught up
	unsettled int           // how many have not caught up; 0: there is no pause
	nextCheck time.Time     // when to check what their children do
	interval  time.Duration // between two checks
}

func (p *inputPause) active() bool { return p.unsettled > 0 }

// pauseInputFor pauses the input until a client whose pipe is full has caught up, unless it is
// exempt.
func (l *loop) pauseInputFor(c *client) {
	if c.awaited {
		return
	}
	p, now := &l.inputPause, time.Now()
	if now.Before(c.exemptUntil) {
		return
	}
	if !p.active() {
		if err := l.poller.modify(l.inputs.fd, 0); err != nil {
			panic("process: the poller of inputs is not watched any more: " + err.Error())
		}
		p.interval = firstCheck
		p.nextCheck = now.Add(p.interval)
	}
	c.awaited = true
	p.awaited = append(p.awaited, c)
	p.unsettled++
}

// caughtUp says that the input need not pause for a client any more: it has taken everything, or
// will be sent nothing more.
func (l *loop) caughtUp(c *client) {
	if !c.awaited {
		return
	}
	c.awaited = false
	if l.inputPause.unsettled--; l.inputPause.unsettled == 0 {
		l.resumeInput()
	}
}

// resumeInput ends a pause.
func (l *loop) resumeInput() {
	clear(l.inputPause.awaited)
	l.inputPause.awaited = l.inputPause.awaited[:0]
	if err := l.poller.modify(l.inputs.fd, unix.EPOLLIN); err != nil {
		panic("process: the poller of inputs is not watched any more: " + err.Error())
	}
}

// checkAwaited exempts the clients that their children wait for.
func (l *loop) checkAwaited(now time.Time) {
	p := &l.inputPause
	if now.Before(p.nextCheck) {
		return
	}
	p.interval = min(2*p.interval, lastCheck)
	p.nextCheck = now.Add(p.interval)
	for i := 0; i < len(p.awaited); i++ { // the list is empty once the last has caught up
		if c := p.awaited[i]; c.awaited && c.child.waitsForClient() {
			c.exemptFor = min(max(2*c.exemptFor, firstExempt), lastExempt)
			c.exemptUntil = now.Add(c.exemptFor)
			l.caughtUp(c)
		}
	}
}

// waitsForClient says whether a child whose pipe was full waits for its client to read. If
// octets are left in the pipe, a child that sleeps waits for its client, and one that does not
// sleep waits for a processor. If none are left, it waits for this loop. The state is that of the
// child's first thread, which does all the work.
func (k *childProc) waitsForClient() bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(k.pid) + "/stat")
	_, after, found := bytes.Cut(stat, []byte(") "))
	if err == nil && found && len(after) > 0 && after[0] == 'R' {
		return false
	}
	unread, err := unix.IoctlGetInt(k.toChild, unix.TIOCINQ) // works for a pipe, at either end
	return err != nil || unread > 0
}

// takeInput reads from the clients that have sent something, unless input is paused.
func (l *loop) takeInput() {
	n, err := l.inputs.wait(0, true)
	if err != nil {
		panic("process: waiting for inputs: " + err.Error())
	}
	for i := range n {
		if l.inputPause.active() {
			return // the rest is still ready after the pause
		}
		l.inputs.handle(i)
	}
}
