package backendtest

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/core"
	"chatbench/core/wire"
)

var brokenScenarios = []scenario{
	{"input-of-a-reset-connection", func(l *lab) { broken(l, (*client).reset, core.ReasonReset, hold) }},
	{"input-of-a-connection-reset-after-its-end", func(l *lab) { broken(l, finishAndReset, core.ReasonEOF, hold) }},
	{"input-of-a-connection-reset-late", func(l *lab) { broken(l, (*client).reset, core.ReasonReset, holdThrice) }},
}

// holder lets everybody in, but holds up whoever feeds it a name that begins
// with "hold", which no transport has to expect of an Authenticator. One that
// serves all clients on one thread does nothing else meanwhile, and the case
// arranges what it finds when it goes on.
type holder struct{ held, resume chan struct{} }

func (h holder) Authenticate(l *core.Login) {
	if strings.HasPrefix(l.Name, "hold") {
		h.held <- struct{}{}
		<-h.resume
	}
	l.Answer(nil)
}

// broken: a client talks and breaks its connection off, before the server has
// read any of it and while there is something to be written to it. The server
// may write first, and learn by an error that the client is gone: that error
// must cost nothing of what the client said, and must not hide whether its end
// was a FIN or a reset.
func broken(l *lab, leave func(*client), why core.Reason, hold func(*rig, holder)) {
	const messages = 1000
	h := holder{make(chan struct{}), make(chan struct{})}
	r := l.open(func(s *settings) { s.room.Authenticator, s.room.LagLimit = h, 64<<20 })
	bob, leaver := r.login("bob"), r.login("leaver")
	heard := bob.listen("the end")
	hold(r, h)
	var out []byte
	for i := range messages {
		out = wire.AppendChat(out, fmt.Sprintf("no %d", i))
	}
	leaver.sendAll(out)
	leave(leaver)
	close(h.resume)
	r.eventually(func() bool { return r.room.Snapshot().Ends != core.Ends{} }, "the connection ends")
	if st := r.room.Snapshot(); st.Ends[why] != 1 {
		r.Errorf("the connection should have ended with reason %v: %s", why, endings(st))
	}
	bob.say("the end")
	counted(l, heard.all(), "leaver", "no", messages)
}

// finishAndReset is a FIN, and a RST after it: so ends a client that closes its
// connection and is sent something then.
func finishAndReset(c *client) {
	c.finish()
	c.reset()
}

// hold stops a transport in the middle of a turn. What it has to say then is so
// much that it may write before it goes on reading.
func hold(r *rig, h holder) {
	const name = 60 // octets of it; an empty message is over 30 times as long when it is said
	talker := r.dial()
	talker.sendAll(append(wire.AppendCred(nil, "hold"+strings.Repeat("x", name-len("hold")), "x"), make([]byte, 15<<10)...))
	<-h.held
}

// holdThrice stops a transport that hands output to a library in one turn and
// has it written in the next. The first client says something. In the turn
// after that, which the second holds up, somebody is told that there is output;
// in the next, which the third holds up, the library is given it.
func holdThrice(r *rig, h holder) {
	first, second, third := r.dial(), r.dial(), r.dial()
	first.sendAll(wire.AppendChat(wire.AppendCred(nil, "hold1", "x"), "hello"))
	<-h.held
	second.sendAll(wire.AppendCred(nil, "hold2", "x"))
	h.resume <- struct{}{}
	<-h.held
	third.sendAll(wire.AppendCred(nil, "hold3", "x"))
	h.resume <- struct{}{}
	<-h.held
}

// sendAll sends, and waits until the server's kernel has it all.
func (c *client) sendAll(p []byte) {
	c.rig.Helper()
	c.send(p)
	raw, err := c.conn.SyscallConn()
	for waits := 1; waits > 0 && err == nil; time.Sleep(100 * time.Microsecond) {
		failed := raw.Control(func(fd uintptr) { waits, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
		if err == nil {
			err = failed
		}
	}
	if err != nil {
		c.rig.Fatalf("%s: waiting until all is sent: %v", c.name, err)
	}
}
