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

// link is a proxy before a NATS server. It can be cut, or drop what the server sends.
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
			work.Go(func() { l.copyBoth(c) })
		}
	})
	t.Cleanup(func() { l.listener.Close(); l.setCut(true); work.Wait() })
	return l
}

// copyBoth copies octets both ways until either side ends, or the link is cut.
func (l *link) copyBoth(c net.Conn) {
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
	back.Go(func() { io.Copy(lossyWriter{l, c}, to); c.Close() })
	io.Copy(to, c)
	to.Close()
	back.Wait()
}

// lossyWriter writes the octets of the server to the client, or drops and records them.
type lossyWriter struct {
	link *link
	to   io.Writer
}

func (s lossyWriter) Write(p []byte) (int, error) {
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

// lose makes the link drop what the server sends from now on, until the link is cut.
func (l *link) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.losing = true
}

// hasLost returns a condition: the link has dropped these octets.
func (l *link) hasLost(part string) func() bool {
	return func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return bytes.Contains(l.lost, []byte(part))
	}
}

// setCut cuts or restores the link.
func (l *link) setCut(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut, l.losing = cut, false
	for _, c := range l.conns {
		c.Close()
	}
	l.conns = nil
}

// One server is cut off for so long that the others take it for dead: their clients go on and are
// told who has left. When it is back, its clients receive all they have missed, in order and once,
// and have their names again. What they said meanwhile is delivered then.
func TestOneIsCutOff(t *testing.T) {
	tc := newTestCluster(t, 1)
	a := tc.nodes[0]
	proxy := newLink(t, strings.TrimPrefix(tc.urls, "nats://"))
	tc.urls = "nats://" + proxy.listener.Addr().String()
	b := tc.addServer(core.Config{Announce: true})
	ann, bob := tc.login(a, "ann"), tc.login(b, "bob")
	i, j := 0, 0
	talk := func() {
		for range 50 {
			ann.say(fmt.Sprint(i))
			bob.say(fmt.Sprint(j))
			i, j = i+1, j+1
		}
	}
	talk()
	tc.waitUntil("a line is received", func() bool { return len(bob.lines()) > 0 })
	proxy.setCut(true)
	talk()
	tc.waitUntil("bob is told", bob.received(cutOffText))
	talk()
	tc.waitUntil("bob has left for ann", ann.received("server: bob has left\x00"))
	if n := b.room.Snapshot().Granted; n != 1 {
		t.Errorf("%d clients are in the room of the server that is cut off", n)
	}
	proxy.setCut(false)
	tc.waitUntil("all lines are received", func() bool { return len(ann.lines()) >= i+j && len(bob.lines()) >= i+j })
	checkLines(t, i, []string{"ann", "bob"}, ann, bob)
	tc.waitUntil("bob has his name again", func() bool { return a.names.serverOf("bob") == b.Node() })
	if ann.received(cutOffText)() && tc.pause < a.cutOffAfter/2 {
		t.Error("the other server was cut off too")
	}
	if c := tc.tryLogin(a, "bob"); !c.received("name is taken")() {
		t.Errorf("told %q", c.got)
	}
}

// A message that was lost when a server's connection to NATS broke is delivered after the
// reconnect, even if no later message shows a gap.
func TestLostOnTheWay(t *testing.T) {
	tc := newTestCluster(t, 0)
	a := tc.addServer(core.Config{}) // without announcements, which are messages too
	proxy := newLink(t, strings.TrimPrefix(tc.urls, "nats://"))
	tc.urls = "nats://" + proxy.listener.Addr().String()
	b := tc.addServer(core.Config{})
	ann, bob := tc.login(a, "ann"), tc.login(b, "bob")
	proxy.lose()
	ann.say("0")
	tc.waitUntil("it is lost on the way to bob", proxy.hasLost("ann: 0"))
	proxy.setCut(true)
	proxy.setCut(false)
	tc.waitUntil("bob receives it", bob.received("ann: 0\x00"))
}

// Two servers granted the same name while one of them was cut off: the client that came first stays.
func TestNameOfOneCutOff(t *testing.T) {
	tc := newTestCluster(t, 1)
	a := tc.nodes[0]
	proxy := newLink(t, strings.TrimPrefix(tc.urls, "nats://"))
	tc.urls = "nats://" + proxy.listener.Addr().String()
	b := tc.addServer(core.Config{Announce: true})
	bob := tc.login(b, "bob")
	tc.waitUntil("bob is known", func() bool { return a.names.serverOf("bob") != "" })
	proxy.setCut(true)
	tc.waitUntil("the name is free", func() bool { return a.names.serverOf("bob") == "" })
	second := tc.login(a, "bob")
	proxy.setCut(false)
	tc.waitUntil("the session of the second ends", second.received("\x03\x00"))
	if !second.received(nameLostText)() {
		t.Errorf("the second is told %q", second.got)
	}
	if _, closing := bob.Closing(); closing {
		t.Errorf("the session of the first has ended: %q", bob.got)
	}
}
