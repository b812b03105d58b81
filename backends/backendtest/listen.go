package backendtest

import (
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"sync/atomic"

	"chatbench/core/wire"
)

func sum(p []byte) uint32 { return crc32.ChecksumIEEE(p) }

// listener collects what a client is told, on a goroutine of its own, so that
// the client can talk meanwhile. Only its methods may be called until it ends.
type listener struct {
	c     *client
	heard atomic.Int64 // Chat frames
	done  chan struct{}
	texts []string // of Chat frames; after done
	last  error    // why it ended; nil: it heard the last text or Close
}

// listen collects Chat frames up to the one that ends with last, or up to a
// Close frame.
func (c *client) listen(last string) *listener {
	l := &listener{c: c, done: make(chan struct{})}
	go func() {
		defer close(l.done)
		for {
			f, err := c.read()
			if err != nil {
				l.last = err
				return
			}
			if f.Type == wire.Close {
				return
			}
			if f.Type != wire.Chat {
				l.last = fmt.Errorf("was sent %s among the talk", show(f))
				return
			}
			l.texts = append(l.texts, string(f.Body))
			l.heard.Add(1)
			if last != "" && len(f.Body) >= len(last) && string(f.Body[len(f.Body)-len(last):]) == last {
				return
			}
		}
	}()
	return l
}

// all waits for the end and gives what was heard.
func (l *listener) all() []string {
	l.c.rig.Helper()
	<-l.done
	if l.last != nil {
		l.c.rig.Fatalf("%s: after %d messages: %v", l.c.name, len(l.texts), l.last)
	}
	return l.texts
}

// expectEOF waits for the end, after which the stream has to end too.
func (l *listener) expectEOF() {
	l.c.rig.Helper()
	l.all()
	if f, err := l.c.read(); err != io.EOF {
		l.c.rig.Fatalf("%s: %s, %v in place of the end of the stream", l.c.name, show(f), err)
	}
}

// listenAll has every client listen.
func listenAll(clients []*client, last string) []*listener {
	var all []*listener
	for _, c := range clients {
		all = append(all, c.listen(last))
	}
	return all
}

// sameForAll checks that all heard the same and gives it.
func sameForAll(listeners []*listener) []string {
	first := listeners[0]
	first.c.rig.Helper()
	for _, l := range listeners[1:] {
		diff(first.c.rig.lab, first.c.name, first.all(), l.c.name, l.all())
	}
	return first.all()
}

// diff fails the case if two streams differ, and says where.
func diff(l *lab, nameA string, a []string, nameB string, b []string) {
	l.Helper()
	if slices.Equal(a, b) {
		return
	}
	for i := range max(len(a), len(b)) {
		switch {
		case i >= len(a) || i >= len(b):
			l.Fatalf("%s heard %d messages and %s %d, the same up to there", nameA, len(a), nameB, len(b))
		case a[i] != b[i]:
			l.Fatalf("message %d: %s heard %.80q, %s %.80q", i, nameA, a[i], nameB, b[i])
		}
	}
}

// counted checks that the messages of one speaker, "name: TAG n", are all
// among the texts, once and in order.
func counted(l *lab, texts []string, name, tag string, n int) {
	l.Helper()
	next := 0
	prefix := name + ": " + tag + " "
	for _, text := range texts {
		if len(text) < len(prefix) || text[:len(prefix)] != prefix {
			continue
		}
		var i int
		if _, err := fmt.Sscan(text[len(prefix):], &i); err != nil || i != next {
			l.Fatalf("%s's message %d was due and %.80q came", name, next, text)
		}
		next++
	}
	if next != n {
		l.Fatalf("%s said %d messages and %d were heard", name, n, next)
	}
}
