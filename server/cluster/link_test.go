package cluster

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"chatbench/core"
)

// link is a way to a NATS server that can be cut, or lose what the server sends.
type link struct {
	listener net.Listener
	target   string

	mu     sync.Mutex
	cut    bool
	losing bool
	lost   []byte
	conns  []net.Conn
}

func newLink(t *testing.T, target string) *link {
	l := &link{target: target}
	var err error
	if l.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			c, err := l.listener.Accept()
			if err != nil {
				return
			}
			work.Go(func() { l.carry(c) })
		}
	})
	t.Cleanup(func() { l.listener.Close(); l.set(true); work.Wait() })
	return l
}

// carry carries octets both ways until either side ends, or the link is cut.
func (l *link) carry(c net.Conn) {
	defer c.Close()
	to, err := net.Dial("tcp", l.target)
	if err != nil {
		return
	}
	defer to.Close()
	l.mu.Lock()
	if l.cut {
		l.mu.Unlock()
		return
	}
	l.conns = append(l.conns, c, to)
	l.mu.Unlock()
	var back sync.WaitGroup
	back.Go(func() { io.Copy(sieve{l, c}, to); c.Close() })
	io.Copy(to, c)
	to.Close()
	back.Wait()
}

// sieve is where octets of the server go.
type sieve struct {
	link *link
	to   io.Writer
}

func (s sieve) Write(p []byte) (int, error) {
	s.link.mu.Lock()
	losing := s.link.losing
	if losing {
		s.link.lost = append(s.link.lost, p...)
	}
	s.link.mu.Unlock()
	if losing {
		return len(p), nil
	}
	return s.to.Write(p)
}

// lose has what the server sends be lost from now on, until the link is cut.
func (l *link) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.losing = true
}

// hasLost says whether some octets were lost.
func (l *link) hasLost(part string) func() bool {
	return func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return bytes.Contains(l.lost, []byte(part))
	}
}

// set cuts the link, or mends it.
func (l *link) set(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut, l.losing = cut, false
	for _, c := range l.conns {
		c.Close()
	}
	l.conns = nil
}

// One server alone is cut off, for so long that it is taken for dead: those on the others
// go on and hear who has left. When it is back its clients hear all they have missed, in
// order and once, and have their names again; what they said meanwhile is heard then.
func TestOneIsCutOff(t *testing.T) {
	w := newWorld(t, 1)
	a := w.nodes[0]
	way := newLink(t, strings.TrimPrefix(w.urls, "nats://"))
	w.urls = "nats://" + way.listener.Addr().String()
	b := w.join(core.Config{Announce: true})
	ann, bob := w.enter(a, "ann"), w.enter(b, "bob")
	i, j := 0, 0
	talk := func() {
		for range 50 {
			ann.say(fmt.Sprint(i))
			bob.say(fmt.Sprint(j))
			i, j = i+1, j+1
		}
	}
	talk()
	w.until("something is heard", func() bool { return len(bob.said()) > 0 })
	way.set(true)
	talk()
	w.until("bob knows", bob.has(lostText))
	talk()
	w.until("bob has left for ann", ann.has("server: bob has left\x00"))
	if n := b.room.Snapshot().Granted; n != 1 {
		t.Errorf("%d clients are in the room of the server that is cut off", n)
	}
	way.set(false)
	w.until("all is heard", func() bool { return len(ann.said()) >= i+j && len(bob.said()) >= i+j })
	same(t, i, []string{"ann", "bob"}, ann, bob)
	w.until("bob has his name again", func() bool { return a.names.find("bob") == b.Node() })
	if ann.has(lostText)() {
		t.Error("the other server was cut off too")
	}
	if c := w.knock(a, "bob"); !c.has("name is taken")() {
		t.Errorf("told %q", c.got)
	}
}

// What was on its way to a server when its connection to NATS broke is heard when that is
// back, also if nobody says anything then that would show a gap.
func TestLostOnTheWay(t *testing.T) {
	w := newWorld(t, 0)
	a := w.join(core.Config{}) // nobody is announced, which would be said too
	way := newLink(t, strings.TrimPrefix(w.urls, "nats://"))
	w.urls = "nats://" + way.listener.Addr().String()
	b := w.join(core.Config{})
	ann, bob := w.enter(a, "ann"), w.enter(b, "bob")
	way.lose()
	ann.say("0")
	w.until("it is lost on the way to bob", way.hasLost("ann: 0"))
	way.set(true)
	way.set(false)
	w.until("bob hears it", bob.has("ann: 0\x00"))
}

// Two servers let one name in while they had lost touch: the one who came first stays.
func TestNameOfOneCutOff(t *testing.T) {
	w := newWorld(t, 1)
	a := w.nodes[0]
	way := newLink(t, strings.TrimPrefix(w.urls, "nats://"))
	w.urls = "nats://" + way.listener.Addr().String()
	b := w.join(core.Config{Announce: true})
	bob := w.enter(b, "bob")
	w.until("bob is known", func() bool { return a.names.find("bob") != "" })
	way.set(true)
	w.until("the name is free", func() bool { return a.names.find("bob") == "" })
	second := w.enter(a, "bob")
	way.set(false)
	w.until("the second is ended", second.has("\x03\x00"))
	if !second.has(elderText)() {
		t.Errorf("the second is told %q", second.got)
	}
	if _, closing := bob.Closing(); closing {
		t.Errorf("the first is ended: %q", bob.got)
	}
}
