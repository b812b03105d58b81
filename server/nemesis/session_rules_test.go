package nemesis

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"chatbench/core/wire"
	"chatbench/internal/spawntest"
)

// newSessions makes a cluster without servers that has these sessions, as if their chatd were running.
func newSessions(t *testing.T, sessions ...*session) *cluster {
	cl := &cluster{T: t, sessions: sessions}
	cl.ctx, cl.cancel = context.WithCancel(t.Context())
	for i, v := range sessions {
		v.cl, v.id, v.run, v.lastLine = cl, i, &processRun{ended: make(chan struct{})}, map[int]int{}
	}
	return cl
}

// A connection may end without a violation if the chatd was killed; or if a chatd was cut off for
// long and another client entered the room with the same name before.
func TestExplainedEnds(t *testing.T) {
	at := func(n int) time.Time { return time.Unix(1e9+int64(n), 0) }
	for _, c := range []struct {
		name              string
		first             *session
		cut, told, killed bool
		wrong             int
	}{
		{"the first is there", &session{name: contestedName, from: at(1)}, true, true, false, 0},
		{"the first has left meanwhile", &session{name: contestedName, from: at(1), ended: at(3)}, true, true, false, 0},
		{"the first had left before", &session{name: contestedName, from: at(1), ended: at(1)}, true, true, false, 1},
		{"the first came later", &session{name: contestedName, from: at(3)}, true, true, false, 1},
		{"the first is somebody else", &session{name: "bob", from: at(1)}, true, true, false, 1},
		{"no chatd was cut off", &session{name: contestedName, from: at(1)}, false, true, false, 1},
		{"nobody told why", &session{name: contestedName, from: at(1)}, true, false, false, 1},
		{"it was killed", &session{name: "bob", from: at(1)}, false, false, true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := &session{name: contestedName, from: at(2)}

			cl := newSessions(t, c.first, v)
			cl.longCut.Store(c.cut)
			v.run.killed.Store(c.killed)
			if c.told {
				v.addNotice(nameLostText)
				v.addNotice("bob has joined")
			}
			v.end(errors.New("the server sent Close"))
			if len(cl.violations) != c.wrong {
				t.Errorf("%q, want %d", cl.violations, c.wrong)
			}
		})
	}
}

// A line that nobody said is a violation, even if a client that is leaving receives it.
func TestAlteredLines(t *testing.T) {
	for _, c := range []struct {
		from, text string
		wrong      int
	}{
		{"bob", "1 0", 0},
		{"bob", "1 1", 1},
		{"ann", "1 0", 1},
		{"bob", "2 0", 1},
		{"bob", "-1 0", 1},
		{"bob", "1", 1},
		{"bob", "1 0 1", 1},
		{"bob", "one", 1},
	} {
		v := &session{name: "ann"}
		cl := newSessions(t, v, &session{name: "bob", sent: []time.Time{time.Unix(1e9, 0)}})
		v.left.Store(true)
		v.addLine(c.from, c.text)
		v.end(io.EOF)
		if len(cl.violations) != c.wrong || len(v.received) != 1-c.wrong {
			t.Errorf("%s: %s: %q, want %d", c.from, c.text, cl.violations, c.wrong)
		}
	}
	v := &session{name: "ann"}
	cl := newSessions(t, v)
	v.left.Store(true)
	if v.end(os.ErrDeadlineExceeded); len(cl.violations) != 1 {
		t.Errorf("without an end after Close: %q", cl.violations)
	}
}

// A login with a name that is in the room must be denied because the name is taken.
func TestTakenNames(t *testing.T) {
	for _, c := range []struct {
		name, answer string
		wrong        int
	}{
		{"the name is taken", wire.DeniedPrefix + wire.NameTaken, 0},
		{"it is let in", wire.Granted, 4},
		{"it is denied for another reason", wire.DeniedPrefix + "no", 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := newSessions(t, &session{name: "ann", node: 0}, &session{name: "bob", node: 1})
			for i := range cl.chatd {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { l.Close() })
				cl.chatd[i] = &process{args: []string{3: l.Addr().String()}}
				if cl.chatd[i].at, err = spawntest.Shared(); err != nil {
					t.Fatal(err)
				}
				go answerLogins(l, c.answer)
			}
			if wrong := cl.checkTakenNames(); len(wrong) != c.wrong {
				t.Errorf("%q, want %d", wrong, c.wrong)
			}
		})
	}
}

// answerLogins gives every login the same answer, and then sends Close.
func answerLogins(l net.Listener, answer string) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		if _, err := conn.Read(make([]byte, 100)); err == nil {
			conn.Write(wire.AppendClose(append([]byte{byte(wire.Cred)}, answer+"\x00"...)))
		}
		conn.Close()
	}
}

// A process that has ended without being killed is found.
func TestUnexpectedEnds(t *testing.T) {
	cl := newSessions(t)
	for i := range 3 {
		cl.nats[i], cl.chatd[i] = &process{name: "nats"}, &process{name: "chatd"}
		for _, p := range []*process{cl.nats[i], cl.chatd[i]} {
			p.run.Store(&processRun{ended: make(chan struct{}), err: errors.New("exit status 2")})
		}
	}
	if wrong := cl.unexpectedEnds(); len(wrong) != 0 {
		t.Errorf("all are running: %q", wrong)
	}
	cl.nats[0].run.Load().killed.Store(true)
	close(cl.nats[0].run.Load().ended)
	close(cl.nats[1].run.Load().ended)
	close(cl.chatd[2].run.Load().ended)
	if wrong := cl.unexpectedEnds(); !slices.Equal(wrong, []string{"nats has ended by itself: exit status 2", "chatd has ended by itself: exit status 2"}) {
		t.Errorf("two have ended: %q", wrong)
	}
}

// Clients must be told that their chatd is cut off, and that it is connected again.
func TestMustBeTold(t *testing.T) {
	v := &session{name: "ann"}
	cl := newSessions(t, v, &session{name: "bob", ended: time.Unix(1e9, 0)}) // bob has left
	for i, c := range []struct {
		notice string
		cut    bool
		wrong  int
	}{{"", true, 1}, {cutOffText, true, 1}, {"", false, 2}, {reconnectedText, false, 2}, {"", true, 3}} {
		v.addNotice(c.notice)
		if cl.checkTold(cl.sessions, c.cut); len(cl.violations) != c.wrong {
			t.Errorf("%d: %q, want %d", i, cl.violations, c.wrong)
		}
	}
}
