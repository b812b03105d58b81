package backendtest

import (
	"fmt"
	"strings"
	"sync/atomic"

	"chatbench/core/wire"
)

// transcript is everything that a client is sent, until its end.
type transcript struct {
	done       chan struct{}
	texts      []string            // what was said in the room
	files      map[string][]string // file frames by sender
	last       error               // nil: the last text was heard
	own        atomic.Int64        // of texts, the client's own
	unexpected string              // a frame that should not have come
}

// record collects what comes, up to the text that ends with last or to the end of the
// stream.
func (c *client) record(last string) *transcript {
	e := &transcript{done: make(chan struct{}), files: map[string][]string{}}
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

func (e *transcript) take(f wire.Frame, self string) {
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
		e.unexpected = show(f)
	}
}

// check compares what every client received with the order of the room.
func (m *model) check(order []string) {
	h := m.rig.harness
	at := make(map[string]int, len(order))
	for i, text := range order {
		if before, twice := at[text]; twice {
			h.Fatalf("the observer received %q twice, as message %d and %d", text, before, i)
		}
		at[text] = i
	}
	for _, sc := range m.all {
		sc.checkSaid(order)
		if sc.ended {
			sc.c.hangUp()
		}
		<-sc.transcript.done
		sc.checkHeard(order, at)
	}
	for _, sc := range m.all {
		sc.checkFiles()
	}
}

// checkSaid checks that the observer received what this client said, in order: all of
// it, or a part if the connection broke.
func (sc *soakClient) checkSaid(order []string) {
	heard := 0
	for _, text := range order {
		if from, said, ok := strings.Cut(text, ": "); ok && from == sc.c.name {
			if want := fmt.Sprint("no ", heard); said != want {
				sc.m.rig.Fatalf("%s: %q came, want %q", sc.c.name, said, want)
			}
			heard++
		}
	}
	if all := sc.allDelivered || !sc.ended; heard > sc.said || all && heard != sc.said {
		sc.m.rig.Fatalf("%s said %d messages and %d were heard", sc.c.name, sc.said, heard)
	}
}

// checkHeard checks that a client received a part of the order without a gap, and up to
// the end if it stayed.
func (sc *soakClient) checkHeard(order []string, at map[string]int) {
	h, texts := sc.m.rig.harness, sc.transcript.texts
	if sc.transcript.unexpected != "" {
		h.Fatalf("%s was sent %s", sc.c.name, sc.transcript.unexpected)
	}
	if !sc.ended && sc.transcript.last != nil {
		h.Fatalf("%s stayed, and after %d messages: %v", sc.c.name, len(texts), sc.transcript.last)
	}
	if len(texts) == 0 {
		return
	}
	first, ok := at[texts[0]]
	if !ok {
		h.Fatalf("%s received %q, which the observer did not", sc.c.name, texts[0])
	}
	diff(h, "the observer", order[first:min(first+len(texts), len(order))], sc.c.name, texts)
	if !sc.ended {
		checkSequence(h, texts, sc.c.name, "no", sc.said)
	}
}

// checkFiles checks that the file frames of each sender came in order, and all of them
// if both stayed.
func (sc *soakClient) checkFiles() {
	h := sc.m.rig.harness
	for from, files := range sc.transcript.files {
		for i, file := range files {
			if want := fmt.Sprint("file ", i); file != want {
				h.Fatalf("%s was sent %q from %s, want %q", sc.c.name, file, from, want)
			}
		}
	}
	for _, from := range sc.m.all {
		sent, got := from.sent[sc.c.name], len(sc.transcript.files[from.c.name])
		if got > sent || !sc.ended && (from.allDelivered || !from.ended) && got != sent {
			h.Fatalf("%s sent %d file frames to %s, and %d came", from.c.name, sent, sc.c.name, got)
		}
	}
}
