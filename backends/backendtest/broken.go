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
	{"input-of-a-reset-connection", func(h *harness) { broken(h, (*client).reset, core.ReasonReset, stopInTurn) }},
	{"input-of-a-connection-reset-after-its-end", func(h *harness) { broken(h, finishAndReset, core.ReasonEOF, stopInTurn) }},
	{"input-of-a-connection-reset-late", func(h *harness) { broken(h, (*client).reset, core.ReasonReset, stopInThreeTurns) }},
}

// blockingAuth lets everybody in, but blocks whoever feeds it a name that begins with
// "hold". An Authenticator should not do that; here it stops a transport that serves
// all clients on one thread, so that the case can arrange what the transport finds when
// it goes on.
type blockingAuth struct{ held, resume chan struct{} }

func (a blockingAuth) Authenticate(l *core.Login) {
	if strings.HasPrefix(l.Name, "hold") {
		a.held <- struct{}{}
		<-a.resume
	}
	l.Answer(nil)
}

// broken: a client talks and breaks its connection off, before the server has read any
// of it and while the server has something to write to it. The server may write first,
// and get an error. That error must not lose anything that the client said, and must
// not hide whether the client ended with a FIN or a reset.
func broken(h *harness, leave func(*client), why core.Reason, stop func(*rig, blockingAuth)) {
	const messages = 1000
	auth := blockingAuth{make(chan struct{}), make(chan struct{})}
	r := h.open(func(s *settings) { s.room.Authenticator, s.room.LagLimit = auth, 64<<20 })
	bob, leaver := r.login("bob"), r.login("leaver")
	heard := bob.listen("the end")
	stop(r, auth)
	var out []byte
	for i := range messages {
		out = wire.AppendChat(out, fmt.Sprintf("no %d", i))
	}
	leaver.sendAll(out)
	leave(leaver)
	close(auth.resume)
	r.eventually(func() bool { return r.room.Snapshot().Ends != core.Ends{} }, "the connection ends")
	if st := r.room.Snapshot(); st.Ends[why] != 1 {
		r.Errorf("the connection should have ended with reason %v: %s", why, endCounts(st))
	}
	bob.say("the end")
	checkSequence(h, heard.all(), "leaver", "no", messages)
}

// finishAndReset sends a FIN and then a RST, as the kernel does for a client that closes
// its connection and is sent something afterwards.
func finishAndReset(c *client) {
	c.finish()
	c.reset()
}

// stopInTurn stops a transport in the middle of a turn, with so much output waiting that
// it may write before it reads on.
func stopInTurn(r *rig, a blockingAuth) {
	const name = 60 // octets of it; an empty message is over 30 times as long when it is said
	talker := r.dial()
	talker.sendAll(append(wire.AppendCred(nil, "hold"+strings.Repeat("x", name-len("hold")), "x"), make([]byte, 15<<10)...))
	<-a.held
}

// stopInThreeTurns stops a transport that passes output to its library in one turn, to be
// written in the next. The first client says something. The second blocks the turn after
// that, in which the transport notes that there is output; the third blocks the next
// one, in which the library is given it.
func stopInThreeTurns(r *rig, a blockingAuth) {
	first, second, third := r.dial(), r.dial(), r.dial()
	first.sendAll(wire.AppendChat(wire.AppendCred(nil, "hold1", "x"), "hello"))
	<-a.held
	second.sendAll(wire.AppendCred(nil, "hold2", "x"))
	a.resume <- struct{}{}
	<-a.held
	third.sendAll(wire.AppendCred(nil, "hold3", "x"))
	a.resume <- struct{}{}
	<-a.held
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
