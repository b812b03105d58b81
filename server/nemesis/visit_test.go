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
	beat      = 250 * time.Millisecond // between two lines of a client
	burst     = 20                     // lines that it says at once now and then
	burstEach = 12                     // beats between two bursts
	nameCount = 8                      // names that a client goes through when it comes back
	restBeats = 20                     // beats after which one who is restless leaves
	wanted    = "ann"                  // the name that one by way of each chatd insists on
	// deadCut is a cut after which other chatd may have taken the names of one away: 12 s without
	// a renewal of its key, which it renews every second.
	deadCut = 11 * time.Second
)

// What people are told whose chatd is cut off, and when that is over.
const (
	lostText = "this server has lost touch with the others: what you say waits until that is over"
	backText = "this server is in touch with the others again"
)

// elderText is what somebody is told who has to go, as somebody else came first under the name.
const elderText = "somebody of your name was in the room before you, by way of another server"

// person is somebody who talks by way of one chatd, and comes back whenever the connection
// has ended: under its own name again, or under another if that is taken.
type person struct {
	w        *world
	node     int  // of the chatd
	index    int  // among those of the chatd
	insists  bool // it wants one name, as others do by way of other chatd, and waits until that is free
	restless bool // it leaves by itself, again and again
}

func (p *person) name(k int) string {
	if p.insists {
		return wanted
	}
	return fmt.Sprintf("bob%d-%d-%d", p.node, p.index, k%nameCount)
}

// live is the person's whole life.
func (p *person) live() {
	for k := 0; p.w.pause(100 * time.Millisecond); {
		v, denied := p.enter(p.name(k))
		switch {
		case v != nil:
			v.talk(p.restless)
		case denied == wire.NameTaken:
			k++
		}
	}
}

// enter logs in; nil if that is not possible now.
func (p *person) enter(name string) (v *visit, denied string) {
	boot := p.w.chatd[p.node].boot.Load() // before the connection: if it dies meanwhile, that was for us
	conn, err := p.w.dial(p.node)
	if err != nil {
		return nil, ""
	}
	c := newTalk(conn)
	denied, err = c.login(name, patience)
	if err != nil || denied != "" {
		conn.Close()
		return nil, denied
	}
	v = &visit{w: p.w, conn: c, name: name, node: p.node, boot: boot, upTo: map[int]int{}, from: time.Now()}
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	v.id = len(p.w.visits)
	p.w.visits = append(p.w.visits, v)
	return v, ""
}

// visit is one stay of a person.
type visit struct {
	w    *world
	id   int
	conn *talk
	name string
	node int
	boot *boot // of its chatd
	from time.Time
	left atomic.Bool // it is about to say goodbye
	bye  atomic.Bool // it has said goodbye, as far as it knows

	saying sync.Mutex // one line at a time

	mu     sync.Mutex
	sent   []time.Time
	heard  []line
	newest [nodes]time.Time // by chatd: when the newest line was said that was heard of those who are there
	upTo   map[int]int      // by visit: the last line heard of it
	who    []string         // answer to the last /who, nil while it is awaited
	notice string           // the last of the server
	elder  bool             // it was told that it has to go
	cut    bool             // it was told that its chatd is cut off, and not yet that this is over
	ended  time.Time        // zero: it is in the room
}

// talk says lines until the connection ends.
func (v *visit) talk(restless bool) {
	over := make(chan struct{})
	go func() {
		defer close(over)
		v.end(v.read())
	}()
	defer func() { v.conn.Close(); <-over }()
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-tick.C:
		case <-over:
			return
		case <-v.w.talking.Done(): // it stays, and hears
			<-over
			return
		}
		if restless && n >= restBeats && !v.w.still.Load() {
			v.left.Store(true)
			v.conn.SetDeadline(time.Now().Add(patience))
			_, err := v.conn.Write(wire.AppendClose(nil)) // if it fails, that was it
			v.bye.Store(err == nil)
			<-over
			return
		}
		lines := 1
		if n%burstEach == 0 {
			lines = burst
		}
		for range lines {
			if v.say(false) != nil {
				return
			}
		}
	}
}

// say says the next line. When nobody is to talk any more, only a last one is said, and none
// follows it.
func (v *visit) say(last bool) error {
	v.saying.Lock()
	defer v.saying.Unlock()
	if !last && v.w.talking.Err() != nil {
		return nil
	}
	v.mu.Lock()
	number := len(v.sent)
	v.sent = append(v.sent, time.Now())
	v.mu.Unlock()
	v.conn.SetWriteDeadline(time.Now().Add(patience))
	return v.conn.say(line{v.id, number}.text())
}

// read takes what the server sends until it ends, and says why it did.
func (v *visit) read() error {
	for {
		f, err := v.conn.next()
		if err != nil {
			return err
		}
		switch f.Type {
		case wire.Close:
			return errors.New("it has closed the conversation")
		case wire.Chat:
			from, text, _ := bytes.Cut(f.Body, []byte(": "))
			if string(from) == wire.ServerName {
				v.told(string(text))
			} else {
				v.hear(string(from), string(text))
			}
		}
	}
}

// told takes a notice.
func (v *visit) told(notice string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if list, is := whoNames(notice); is {
		v.who = list
	} else {
		v.notice, v.elder = notice, v.elder || notice == elderText
		switch notice {
		case lostText:
			v.cut = true
		case backText:
			v.cut = false
		}
	}
}

// hear notes a line. One that nobody said is a violation.
func (v *visit) hear(from, text string) {
	var l line
	var said *visit
	if _, err := fmt.Sscanf(text, "%d %d", &l.stay, &l.number); err == nil {
		said = v.w.visit(l.stay)
	}
	if said == nil || said.name != from || text != l.text() {
		v.w.violate("%s heard a line that is altered: %s: %s", v.name, from, text)
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
		v.w.violate("%s heard a line that was not said: %s: %s", v.name, from, text)
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.heard = append(v.heard, l)
	v.upTo[l.stay] = l.number
	if at.After(v.newest[said.node]) {
		v.newest[said.node] = at
	}
}

// end notes that the connection has ended, which has to be for a fault of ours.
func (v *visit) end(why error) {
	v.mu.Lock()
	v.ended = time.Now()
	notice, elder := v.notice, v.elder
	v.mu.Unlock()
	var late net.Error
	switch {
	case v.left.Load() && errors.As(why, &late) && late.Timeout():
		v.w.violate("%s said goodbye, and the server has not ended the connection within %v", v.name, patience)
	case v.left.Load() || v.boot.killed.Load() || v.w.living.Err() != nil:
	case elder && v.w.longCut.Load() && v.w.hasElder(v):
	default:
		v.w.violate("the server has ended %s, which was told %q: %v", v.name, notice, why)
	}
}

// hasElder says whether somebody else was in the room under the name of a visit when that began.
func (w *world) hasElder(than *visit) bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return slices.ContainsFunc(w.visits, func(v *visit) bool {
		v.mu.Lock()
		defer v.mu.Unlock()
		return v.name == than.name && v.from.Before(than.from) && (v.ended.IsZero() || v.ended.After(than.from))
	})
}

// knows says whether it was told that its chatd is cut off, or that this is over.
func (v *visit) knows(cut bool) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return cut == v.cut
}

func (v *visit) isIn() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.ended.IsZero()
}

// hasHeard says whether it has heard, of each chatd, a line that was said after a time.
func (v *visit) hasHeard(after time.Time) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return !slices.ContainsFunc(v.newest[:], func(at time.Time) bool { return !at.After(after) })
}

// lacks is how many lines of another it has not heard yet.
func (v *visit) lacks(of *visit) int {
	of.mu.Lock()
	said := len(of.sent)
	of.mu.Unlock()
	v.mu.Lock()
	defer v.mu.Unlock()
	last, some := v.upTo[of.id]
	if !some {
		last = -1
	}
	return said - 1 - last
}

// asks asks who is in the room.
func (v *visit) asks() error {
	v.mu.Lock()
	v.who = nil
	v.mu.Unlock()
	return v.conn.say("/who")
}

func (v *visit) answer() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.who
}

// rival has somebody log in at a chatd under a name that is in the room by way of another. It
// says what is wrong: everything but that the name is taken, as all servers agree on who is there.
func (w *world) rival(node int, name string) (wrong string) {
	conn, err := w.dial(node)
	if err != nil {
		return fmt.Sprintf("chatd%d takes no connection: %v", node, err)
	}
	defer conn.Close()
	denied, err := newTalk(conn).login(name, patience)
	switch {
	case err != nil:
		return fmt.Sprintf("chatd%d does not answer a login: %v", node, err)
	case denied == "":
		return fmt.Sprintf("%s is in the room twice, the second time by way of chatd%d", name, node)
	case denied != wire.NameTaken:
		return fmt.Sprintf("chatd%d denies a login: %s", node, denied)
	}
	return ""
}

// rivals tries a name of each chatd at all the others.
func (w *world) rivals() (wrong []string) {
	all, _ := w.in()
	for owner := range nodes {
		i := slices.IndexFunc(all, func(v *visit) bool { return v.node == owner })
		for node := range nodes {
			if node == owner || i < 0 {
				continue
			}
			if text := w.rival(node, all[i].name); text != "" {
				wrong = append(wrong, text)
			}
		}
	}
	return wrong
}

// in is those who are in the room, and how many of them are so by way of each chatd.
func (w *world) in() (all []*visit, by [nodes]int) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	for _, v := range w.visits {
		if v.isIn() {
			all = append(all, v)
			by[v.node]++
		}
	}
	return all, by
}

// visit is a visit by its number, nil if there is none.
func (w *world) visit(id int) *visit {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if id < 0 || id >= len(w.visits) {
		return nil
	}
	return w.visits[id]
}

// judge has the checker judge all that was heard so far. quiet is those who have nothing to
// hear any more; nil: lines may be on their way.
func (w *world) judge(quiet []*visit) verdict {
	w.mu.Lock() // nobody new is heard meanwhile
	h := make(history, len(w.visits))
	for i, v := range w.visits {
		v.mu.Lock()
		h[i] = stay{name: v.name, from: v.from, heard: slices.Clone(v.heard), in: v.ended.IsZero() && slices.Contains(quiet, v)}
		h[i].bye = quiet != nil && v.bye.Load() && !v.elder && !v.boot.killed.Load()
		v.mu.Unlock()
	}
	for i, v := range w.visits { // after all that was heard, so that it was said
		v.mu.Lock()
		h[i].sent = slices.Clone(v.sent)
		v.mu.Unlock()
	}
	w.mu.Unlock()
	return h.judge()
}

func (w *world) violate(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.violations = append(w.violations, fmt.Sprintf(format, args...))
}
