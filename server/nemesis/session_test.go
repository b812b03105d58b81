package nemesis

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"chatbench/core/wire"
)

const (
	lineInterval  = 250 * time.Millisecond // between two lines of a client
	burst         = 20                     // lines that a client says at once from time to time
	burstEvery    = 12                     // intervals between two bursts
	nameCount     = 8                      // names that a client tries in turn
	leaveAfter    = 20                     // intervals after which a client with leaves set leaves
	contestedName = "ann"                  // the name that one client of each chatd wants
	// deadCut is the shortest cut after which other chatd may have removed the names of one: its
	// key, which it renews every second, has not been renewed for 12 s.
	deadCut = 11 * time.Second
)

// cutOffDenial is why a chatd that is cut off denies a login.
const cutOffDenial = "this server has lost touch with the others: try again in a moment"

// Notices of a chatd that is cut off, and that is connected again.
const (
	cutOffText      = "this server has lost touch with the others: what you say waits until that is over"
	reconnectedText = "this server is in touch with the others again"
)

// nameLostText is the notice for a client that has to leave, because another one claimed its name first.
const nameLostText = "somebody with your name entered the room before you, on another server"

// user is a client that talks on one chatd. When its connection has ended it connects again, with
// the same name, or with another one if that is taken.
type user struct {
	cl      *cluster
	node    int  // of the chatd
	index   int  // among the clients of the chatd
	insists bool // it uses only the name contestedName, for which it competes with clients of other chatd
	leaves  bool // it leaves and comes back, again and again
}

func (p *user) name(k int) string {
	if p.insists {
		return contestedName
	}
	return fmt.Sprintf("bob%d-%d-%d", p.node, p.index, k%nameCount)
}

// run connects and talks, again and again, until the end of the test.
func (p *user) run() {
	for k := 0; p.cl.pause(100 * time.Millisecond); {
		v, denied := p.enter(p.name(k))
		switch {
		case v != nil:
			v.talk(p.leaves)
		case denied == wire.NameTaken:
			k++
		}
	}
}

// enter logs in; nil if that is not possible now.
func (p *user) enter(name string) (v *session, denied string) {
	run := p.cl.chatd[p.node].run.Load() // before dialing: if it is killed meanwhile, the connection may be one of that run
	conn, err := p.cl.dial(p.node)
	if err != nil {
		return nil, ""
	}
	c := newChatConn(conn)
	denied, err = c.login(name, timeout)
	if err != nil || denied != "" {
		conn.Close()
		return nil, denied
	}
	v = &session{cl: p.cl, conn: c, name: name, node: p.node, run: run, lastLine: map[int]int{}, from: time.Now()}
	p.cl.mu.Lock()
	defer p.cl.mu.Unlock()
	v.id = len(p.cl.sessions)
	p.cl.sessions = append(p.cl.sessions, v)
	return v, ""
}

// session is one session of a client: from a login to the end of its connection.
type session struct {
	cl     *cluster
	id     int
	conn   *chatConn
	name   string
	node   int
	run    *processRun // of its chatd
	from   time.Time
	left   atomic.Bool // it is about to send Close
	closed atomic.Bool // it has sent Close without an error

	saying sync.Mutex // one line at a time

	mu         sync.Mutex
	sent       []time.Time
	received   []line
	newestLine [nodes]time.Time // by chatd: when the newest received line of one of its clients was said
	lastLine   map[int]int      // by session: the number of its last received line
	who        []string         // answer to the last /who, nil until it comes
	notice     string           // the last notice
	replaced   bool             // it was told that it has to leave
	cut        bool             // it was told that its chatd is cut off, and not yet that it is connected again
	ended      time.Time        // zero: it is in the room
}

// talk says lines until the connection ends.
func (v *session) talk(leaves bool) {
	over := make(chan struct{})
	go func() {
		defer close(over)
		v.end(v.read())
	}()
	defer func() { v.conn.Close(); <-over }()
	tick := time.NewTicker(lineInterval)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-tick.C:
		case <-over:
			return
		case <-v.cl.talking.Done(): // it stays, and goes on reading
			<-over
			return
		}
		if leaves && n >= leaveAfter && v.mayLeave() {
			v.conn.SetDeadline(time.Now().Add(timeout))
			_, err := v.conn.Write(wire.AppendClose(nil))
			v.closed.Store(err == nil)
			<-over
			return
		}
		lines := 1
		if n%burstEvery == 0 {
			lines = burst
		}
		for range lines {
			if v.say(false) != nil {
				return
			}
		}
	}
}

// mayLeave says whether clients may leave by themselves. If so, the session counts as left from now on.
func (v *session) mayLeave() bool {
	v.left.Store(true) // first: whoever sets noLeaving and then looks at left finds out
	if v.cl.noLeaving.Load() {
		v.left.Store(false)
	}
	return v.left.Load()
}

// say says the next line. After the end of the talk it says nothing, unless the line is the last one.
func (v *session) say(last bool) error {
	v.saying.Lock()
	defer v.saying.Unlock()
	if !last && v.cl.talking.Err() != nil {
		return nil
	}
	v.mu.Lock()
	number := len(v.sent)
	v.sent = append(v.sent, time.Now())
	v.mu.Unlock()
	v.conn.SetWriteDeadline(time.Now().Add(timeout))
	return v.conn.say(line{v.id, number}.text())
}

// read reads what the server sends until the connection ends, and returns why it ended.
func (v *session) read() error {
	for {
		f, err := v.conn.next()
		if err != nil {
			return err
		}
		switch f.Type {
		case wire.Close:
			return errors.New("the server sent Close")
		case wire.Chat:
			from, text, _ := bytes.Cut(f.Body, []byte(": "))
			if string(from) == wire.ServerName {
				v.addNotice(string(text))
			} else {
				v.addLine(string(from), string(text))
			}
		}
	}
}

// addNotice handles a notice.
func (v *session) addNotice(notice string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if list, is := whoNames(notice); is {
		v.who = list
	} else {
		v.notice, v.replaced = notice, v.replaced || notice == nameLostText
		switch notice {
		case cutOffText:
			v.cut = true
		case reconnectedText:
			v.cut = false
		}
	}
}

// addLine records a received line. A line that nobody said is a violation.
func (v *session) addLine(from, text string) {
	var l line
	var said *session
	if _, err := fmt.Sscanf(text, "%d %d", &l.session, &l.number); err == nil {
		said = v.cl.session(l.session)
	}
	if said == nil || said.name != from || text != l.text() {
		v.cl.violate("%s received an altered line: %s: %s", v.name, from, text)
		return
	}
	said.mu.Lock()
	known := l.number < len(said.sent)
	var at time.Time
	if known {
		at = said.sent[l.number]
	}
	said.mu.Unlock()
	if !known {
		v.cl.violate("%s received a line that was not said: %s: %s", v.name, from, text)
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.received = append(v.received, l)
	v.lastLine[l.session] = l.number
	if at.After(v.newestLine[said.node]) {
		v.newestLine[said.node] = at
	}
}

// end records that the connection has ended. It is a violation if no fault explains that.
func (v *session) end(why error) {
	v.mu.Lock()
	v.ended = time.Now()
	notice, replaced := v.notice, v.replaced
	v.mu.Unlock()
	var late net.Error
	switch {
	case v.left.Load() && errors.As(why, &late) && late.Timeout():
		v.cl.violate("%s sent Close, and the server has not ended the connection within %v", v.name, timeout)
	case v.left.Load() || v.run.killed.Load() || v.cl.ctx.Err() != nil:
	case replaced && v.cl.longCut.Load() && v.cl.hasOlder(v):
	default:
		v.cl.violate("the server has ended the connection of %s, after the notice %q: %v", v.name, notice, why)
	}
}

// hasOlder says whether another session with the same name was in the room when a session began.
func (cl *cluster) hasOlder(than *session) bool {
	cl.mu.RLock()
	defer cl.mu.RUnlock()
	return slices.ContainsFunc(cl.sessions, func(v *session) bool {
		v.mu.Lock()
		defer v.mu.Unlock()
		return v.name == than.name && v.from.Before(than.from) && (v.ended.IsZero() || v.ended.After(than.from))
	})
}

// wasTold says whether the last such notice said that its chatd is cut off, or is not.
func (v *session) wasTold(cut bool) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return cut == v.cut
}

func (v *session) isIn() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.ended.IsZero()
}

// hasReceivedSince says whether it has received, from each chatd, a line that was said after a time.
func (v *session) hasReceivedSince(after time.Time) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return !slices.ContainsFunc(v.newestLine[:], func(at time.Time) bool { return !at.After(after) })
}

// missing is how many lines of another session it has not received yet.
func (v *session) missing(of *session) int {
	of.mu.Lock()
	said := len(of.sent)
	of.mu.Unlock()
	v.mu.Lock()
	defer v.mu.Unlock()
	last, some := v.lastLine[of.id]
	if !some {
		last = -1
	}
	return said - 1 - last
}

// asks asks who is in the room.
func (v *session) asks() error {
	v.mu.Lock()
	v.who = nil
	v.mu.Unlock()
	return v.conn.say("/who")
}

func (v *session) answer() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.who
}

// in is the sessions that are in the room, and how many of them are on each chatd.
func (cl *cluster) in() (all []*session, by [nodes]int) {
	cl.mu.RLock()
	defer cl.mu.RUnlock()
	for _, v := range cl.sessions {
		if v.isIn() {
			all = append(all, v)
			by[v.node]++
		}
	}
	return all, by
}

// session is the session with an ID, nil if there is none.
func (cl *cluster) session(id int) *session {
	cl.mu.RLock()
	defer cl.mu.RUnlock()
	if id < 0 || id >= len(cl.sessions) {
		return nil
	}
	return cl.sessions[id]
}

// checkLines checks all lines so far. quiet is the sessions that have received all lines; nil: some
// lines may not be delivered yet.
func (cl *cluster) checkLines(quiet []*session) verdict {
	cl.mu.Lock() // no session is added meanwhile
	h := make(history, len(cl.sessions))
	for i, v := range cl.sessions {
		v.mu.Lock()
		h[i] = sessionRecord{name: v.name, from: v.from, received: slices.Clone(v.received), in: v.ended.IsZero() && slices.Contains(quiet, v)}
		h[i].closed = quiet != nil && v.closed.Load() && !v.replaced && !v.run.killed.Load()
		v.mu.Unlock()
	}
	for i, v := range cl.sessions { // after the received lines, so that all of these are in sent
		v.mu.Lock()
		h[i].sent = slices.Clone(v.sent)
		v.mu.Unlock()
	}
	cl.mu.Unlock()
	return h.check()
}

// violate records a violation.

func (cl *cluster) violate(format string, args ...any) {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	cl.violations = append(cl.violations, fmt.Sprintf(format, args...))
}
