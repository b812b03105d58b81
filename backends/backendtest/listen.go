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

// listener collects what a client is sent, on a goroutine of its own, so that the client
// can talk meanwhile. Only its methods may be called until it ends.
type listener struct {
	c     *client
	heard atomic.Int64 // Chat frames
	done  chan struct{}
	texts []string // of Chat frames; valid after done
	last  error    // why it ended; nil after the last text or Close
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
				l.last = fmt.Errorf("was sent %s, want a chat message", show(f))
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

// all waits for the end and returns the texts.
func (l *listener) all() []string {
	l.c.rig.Helper()
	<-l.done
	if l.last != nil {
		l.c.rig.Fatalf("%s: after %d messages: %v", l.c.name, len(l.texts), l.last)
	}
	return l.texts
}

// expectEOF waits for the end; the stream has to end after it.
func (l *listener) expectEOF() {
	l.c.rig.Helper()
	l.all()
	if f, err := l.c.read(); err != io.EOF {
		l.c.rig.Fatalf("%s: %s, %v, want the end of the stream", l.c.name, show(f), err)
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

// sameForAll checks that all received the same, and returns it.
func sameForAll(listeners []*listener) []string {
	first := listeners[0]
	first.c.rig.Helper()
	for _, l := range listeners[1:] {
		diff(first.c.rig.harness, first.c.name, first.all(), l.c.name, l.all())
	}
	return first.all()
}

// diff fails the case if two streams differ, with the first difference.
func diff(h *harness, nameA string, a []string, nameB string, b []string) {
	h.Helper()
	if slices.Equal(a, b) {
		return
	}
	for i := range max(len(a), len(b)) {
		switch {
		case i >= len(a) || i >= len(b):
			h.Fatalf("%s got %d messages and %s %d, the same up to there", nameA, len(a), nameB, len(b))
		case a[i] != b[i]:
			h.Fatalf("message %d: %s got %.80q, %s %.80q", i, nameA, a[i], nameB, b[i])
		}
	}
}

// checkSequence checks that the n messages of one client, "name: tag 0" and so on, are
// among the texts, each once and in order.
func checkSequence(h *harness, texts []string, name, tag string, n int) {
	h.Helper()
	next := 0
	prefix := name + ": " + tag + " "
	for _, text := range texts {
		if len(text) < len(prefix) || text[:len(prefix)] != prefix {
			continue
		}
		var i int
		if _, err := fmt.Sscan(text[len(prefix):], &i); err != nil || i != next {
			h.Fatalf("%.80q came, want message %d of %s", text, next, name)
		}
		next++
	}
	if next != n {
		h.Fatalf("%s said %d messages and %d came", name, n, next)
	}
}
