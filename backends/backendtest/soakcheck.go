package backendtest

import (
	"fmt"
	"strings"
	"sync/atomic"

	"chatbench/core/wire"
)

// ears collect all that a client is sent, until it ends.
type ears struct {
	done  chan struct{}
	texts []string            // what was said in the room
	files map[string][]string // file frames by sender
	last  error               // nil: the last text was heard
	own   atomic.Int64        // of texts, the client's own
	odd   string              // something that has no place there
}

// hear collects what comes up to the text that ends with last, or to the end.
func (c *client) hear(last string) *ears {
	e := &ears{done: make(chan struct{}), files: map[string][]string{}}
	go func() {
		defer close(e.done)
		for {
			f, err := c.read()
			if err != nil {
				e.last = err
				return
			}
			e.take(f, c.name)
			if f.Type == wire.Chat && strings.HasSuffix(string(f.Body), last) {
				return
			}
		}
	}()
	return e
}

func (e *ears) take(f wire.Frame, self string) {
	body := string(f.Body)
	switch {
	case f.Type == wire.Chat && strings.HasPrefix(body, wire.ServerName+": "):
	case f.Type == wire.Chat:
		e.texts = append(e.texts, body)
		if strings.HasPrefix(body, self+": ") {
			e.own.Add(1)
		}
	case f.Type == wire.File:
		from, rest, _ := strings.Cut(body, " ")
		e.files[from] = append(e.files[from], rest)
	case f.Type == wire.Cred:
		e.odd = show(f)
	}
}

// check compares what all have heard with the order of the room.
func (m *model) check(order []string) {
	l := m.rig.lab
	at := make(map[string]int, len(order))
	for i, text := range order {
		if before, twice := at[text]; twice {
			l.Fatalf("the scribe heard %q twice, as message %d and %d", text, before, i)
		}
		at[text] = i
	}
	for _, mem := range m.all {
		mem.checkSaid(order)
		if mem.ended {
			mem.c.hangUp()
		}
		<-mem.ears.done
		mem.checkHeard(order, at)
	}
	for _, mem := range m.all {
		mem.checkFiles()
	}
}

// checkSaid: the scribe heard what this member said, in order: all of it, or
// up to where the connection broke.
func (mem *member) checkSaid(order []string) {
	heard := 0
	for _, text := range order {
		if from, said, ok := strings.Cut(text, ": "); ok && from == mem.c.name {
			if want := fmt.Sprint("no ", heard); said != want {
				mem.m.rig.Fatalf("%s: %q was heard where %q was due", mem.c.name, said, want)
			}
			heard++
		}
	}
	if all := mem.whole || !mem.ended; heard > mem.said || all && heard != mem.said {
		mem.m.rig.Fatalf("%s said %d messages and %d were heard", mem.c.name, mem.said, heard)
	}
}

// checkHeard: a member heard a part of the order without a gap, and up to its
// end if it stayed.
func (mem *member) checkHeard(order []string, at map[string]int) {
	l, texts := mem.m.rig.lab, mem.ears.texts
	if mem.ears.odd != "" {
		l.Fatalf("%s was sent %s", mem.c.name, mem.ears.odd)
	}
	if !mem.ended && mem.ears.last != nil {
		l.Fatalf("%s stayed, and after %d messages: %v", mem.c.name, len(texts), mem.ears.last)
	}
	if len(texts) == 0 {
		return
	}
	first, ok := at[texts[0]]
	if !ok {
		l.Fatalf("%s heard %q, which the scribe did not", mem.c.name, texts[0])
	}
	diff(l, "the scribe", order[first:min(first+len(texts), len(order))], mem.c.name, texts)
	if !mem.ended {
		counted(l, texts, mem.c.name, "no", mem.said)
	}
}

// checkFiles: the file frames of each sender came in order, and all of them if
// both stayed.
func (mem *member) checkFiles() {
	l := mem.m.rig.lab
	for from, files := range mem.ears.files {
		for i, file := range files {
			if want := fmt.Sprint("file ", i); file != want {
				l.Fatalf("%s was sent %q from %s where %q was due", mem.c.name, file, from, want)
			}
		}
	}
	for _, from := range mem.m.all {
		sent, got := from.sent[mem.c.name], len(mem.ears.files[from.c.name])
		if got > sent || !mem.ended && (from.whole || !from.ended) && got != sent {
			l.Fatalf("%s sent %d file frames to %s, and %d came", from.c.name, sent, mem.c.name, got)
		}
	}
}
