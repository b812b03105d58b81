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

// newPeople is a world without servers, of visits by way of chatd that run.
func newPeople(t *testing.T, visits ...*visit) *world {
	w := &world{T: t, visits: visits}
	w.living, w.leave = context.WithCancel(t.Context())
	for i, v := range visits {
		v.w, v.id, v.boot, v.upTo = w, i, &boot{ended: make(chan struct{})}, map[int]int{}
	}
	return w
}

// A server may end somebody who has the name of another, who was there before, if a chatd was
// cut off for long; and whose chatd was killed.
func TestWhoHasToGo(t *testing.T) {
	at := func(n int) time.Time { return time.Unix(1e9+int64(n), 0) }
	for _, c := range []struct {
		name           string
		first          *visit
		cut, told, ill bool
		wrong          int
	}{
		{"the first is there", &visit{name: wanted, from: at(1)}, true, true, false, 0},
		{"the first has left meanwhile", &visit{name: wanted, from: at(1), ended: at(3)}, true, true, false, 0},
		{"the first had left before", &visit{name: wanted, from: at(1), ended: at(1)}, true, true, false, 1},
		{"the first came later", &visit{name: wanted, from: at(3)}, true, true, false, 1},
		{"the first is somebody else", &visit{name: "bob", from: at(1)}, true, true, false, 1},
		{"no chatd was cut off", &visit{name: wanted, from: at(1)}, false, true, false, 1},
		{"nobody told why", &visit{name: wanted, from: at(1)}, true, false, false, 1},
		{"it was killed", &visit{name: "bob", from: at(1)}, false, false, true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := &visit{name: wanted, from: at(2)}

			w := newPeople(t, c.first, v)
			w.longCut.Store(c.cut)
			v.boot.killed.Store(c.ill)
			if c.told {
				v.told(elderText)
				v.told("bob has joined")
			}
			v.end(errors.New("it has closed the conversation"))
			if len(w.violations) != c.wrong {
				t.Errorf("%q, want %d", w.violations, c.wrong)
			}
		})
	}
}

// A line that nobody said so is a violation, also if it is heard by somebody who is leaving.
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
		v := &visit{name: "ann"}
		w := newPeople(t, v, &visit{name: "bob", sent: []time.Time{time.Unix(1e9, 0)}})
		v.left.Store(true)
		v.hear(c.from, c.text)
		v.end(io.EOF)
		if len(w.violations) != c.wrong || len(v.heard) != 1-c.wrong {
			t.Errorf("%s: %s: %q, want %d", c.from, c.text, w.violations, c.wrong)
		}
	}
	v := &visit{name: "ann"}
	w := newPeople(t, v)
	v.left.Store(true)
	if v.end(os.ErrDeadlineExceeded); len(w.violations) != 1 {
		t.Errorf("it was not let go: %q", w.violations)
	}
}

// Whoever gets in under a name that is there is in the room twice, whatever comes then.
func TestRivals(t *testing.T) {
	for _, c := range []struct {
		name, answer string
		wrong        int
	}{
		{"the name is taken", wire.DeniedPrefix + wire.NameTaken, 0},
		{"it is let in", wire.Granted, 4},
		{"it is denied for another reason", wire.DeniedPrefix + "no", 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newPeople(t, &visit{name: "ann", node: 0}, &visit{name: "bob", node: 1})
			for i := range w.chatd {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { l.Close() })
				w.chatd[i] = &process{args: []string{3: l.Addr().String()}}
				if w.chatd[i].at, err = spawntest.Shared(); err != nil {
					t.Fatal(err)
				}
				go answerLogins(l, c.answer)
			}
			if wrong := w.rivals(); len(wrong) != c.wrong {
				t.Errorf("%q, want %d", wrong, c.wrong)
			}
		})
	}
}

// answerLogins answers every login alike, and then closes the conversation.
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

// A process that has ended without having been killed is noticed.
func TestFallen(t *testing.T) {
	w := newPeople(t)
	for i := range 3 {
		w.nats[i], w.chatd[i] = &process{name: "nats"}, &process{name: "chatd"}
		for _, p := range []*process{w.nats[i], w.chatd[i]} {
			p.boot.Store(&boot{ended: make(chan struct{}), err: errors.New("exit status 2")})
		}
	}
	if wrong := w.fallen(); len(wrong) != 0 {
		t.Errorf("all are there: %q", wrong)
	}
	w.nats[0].boot.Load().killed.Store(true)
	close(w.nats[0].boot.Load().ended)
	close(w.nats[1].boot.Load().ended)
	close(w.chatd[2].boot.Load().ended)
	if wrong := w.fallen(); !slices.Equal(wrong, []string{"nats has ended by itself: exit status 2", "chatd has ended by itself: exit status 2"}) {
		t.Errorf("two have ended: %q", wrong)
	}
}

// People have to be told that their chatd is cut off, and that this is over.
func TestWhoKnows(t *testing.T) {
	v := &visit{name: "ann"}
	w := newPeople(t, v, &visit{name: "bob", ended: time.Unix(1e9, 0)}) // who is not there any more
	for i, c := range []struct {
		notice string
		cut    bool
		wrong  int
	}{{"", true, 1}, {lostText, true, 1}, {"", false, 2}, {backText, false, 2}, {"", true, 3}} {
		v.told(c.notice)
		if w.haveToKnow(w.visits, c.cut); len(w.violations) != c.wrong {
			t.Errorf("%d: %q, want %d", i, w.violations, c.wrong)
		}
	}
}
