package core

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"chatbench/core/wire"
)

// check looks at what must be true at any time.
func (w *clusterWorld) check() error {
	seen := map[string]string{}
	for _, n := range w.nodes {
		for name := range n.room.names {
			if seen[name] != "" {
				return fmt.Errorf("%s is in the room by way of %s and %s", name, seen[name], n.id)
			}
			seen[name] = n.id
		}
		if wait := n.room.Undelivered(); wait > n.room.outgoingMost()+int64(n.room.messageMax())+1000 {
			return fmt.Errorf("%s: %d octets wait for the stream", n.id, wait)
		}
		if n.room.Undelivered() > 0 && !n.publish && n.number == 0 {
			return fmt.Errorf("%s: something is to be published, and nobody is told", n.id)
		}
	}
	return w.wrong
}

// idle says that nothing waits for the server or the stream.
func (n *simNode) idle() bool {
	return !n.publish && n.number == 0 && len(n.onWay) == 0 && !n.behind() && len(n.claims)+len(n.forwards)+len(n.room.parting) == 0
}

// finish mends everything, has all arrive, and looks at what everybody heard.
func (w *clusterWorld) finish() error {
	for _, n := range w.nodes {
		n.cut = false
	}
	for range 4000 {
		busy := false
		for _, n := range w.nodes {
			if len(n.onWay) == 0 {
				n.send()
			}
			n.arrive()
			for n.behind() {
				n.deliver()
			}
			n.answerClaim()
			n.answerForward()
		}
		w.tick(100 * time.Millisecond)
		for _, c := range w.clients {
			if !c.gone {
				c.got = append(c.got, take(c.session)...)
				_, closing := c.session.Closing()
				busy = busy || !closing && c.session.Held()
			}
		}
		if err := w.check(); err != nil {
			return err
		}
		if !busy && !slices.ContainsFunc(w.nodes, func(n *simNode) bool { return !n.idle() }) {
			break
		}
	}
	for _, n := range w.nodes {
		r := n.room
		if !n.idle() || r.Undelivered() != 0 || len(r.outgoing.messages)+len(r.outgoing.waiting)+len(r.again) > 0 {
			return fmt.Errorf("%s: something is left: %d octets, %d messages, %d and %d wait", n.id, r.Undelivered(), len(r.outgoing.messages), len(r.outgoing.waiting), len(r.again))
		}
	}
	for _, c := range w.clients {
		if err := w.checkHeard(c); err != nil {
			return fmt.Errorf("client %d of %s: %w", c.id, c.node.id, err)
		}
	}
	return w.checkNames()
}

// checkHeard holds what a client heard against the order of the stream, and what it said.
func (w *clusterWorld) checkHeard(c *clusterClient) error {
	if !c.in {
		return nil
	}
	heard := saidIn(chats(c.got))
	want := w.said[c.from:]
	if len(heard) > len(want) || !slices.Equal(heard, want[:len(heard)]) {
		return fmt.Errorf("heard %q, want %q", heard, want)
	}
	if _, closing := c.session.Closing(); !closing && len(heard) < len(want) {
		return fmt.Errorf("heard %d frames, want %d", len(heard), len(want))
	}
	var said []string
	for _, f := range w.said {
		if _, text, _ := strings.Cut(strings.TrimSuffix(f, "\x00"), ": "); strings.HasPrefix(text, fmt.Sprintf("%d.", c.id)) {
			said = append(said, text)
		}
	}
	if len(said) > len(c.lines) || !slices.Equal(said, c.lines[:len(said)]) {
		return fmt.Errorf("said %q, and %q is heard", c.lines, said)
	}
	why, closing := c.session.Closing()
	if (!closing || why == ReasonEOF) && len(said) < len(c.lines) {
		return fmt.Errorf("said %d lines, %d are heard (closing %v for %v)", len(c.lines), len(said), closing, why)
	}
	return c.checkFiles()
}

// chats is the Chat frames among frames, of which the last may be half a one.
func chats(got []byte) (chat []byte) {
	d := wire.Decoder{Max: wire.MaxFromServer}
	for {
		f, rest, ok, err := d.Next(got)
		if err != nil || !ok {
			return chat
		}
		if f.Type == wire.Chat {
			chat = wire.AppendChat(chat, string(f.Body))
		}
		got = rest
	}
}

// checkFiles looks that a client got no File frame twice, or behind a later one.
func (c *clusterClient) checkFiles() error {
	d := wire.Decoder{Max: wire.MaxFromServer}
	for got := c.got; ; {
		f, rest, ok, err := d.Next(got)
		if err != nil {
			return err
		}
		if !ok {
			return nil
		}
		got = rest
		if f.Type != wire.File {
			continue
		}
		_, name, _ := bytes.Cut(f.Body, []byte(" "))
		sender, text, _ := strings.Cut(string(name), ".")
		var number int
		if _, err := fmt.Sscan(text, &number); err != nil {
			return fmt.Errorf("file %q: %w", name, err)
		}
		if last, before := c.received[sender]; before && number <= last {
			return fmt.Errorf("file %d of client %s after %d", number, sender, last)
		}
		c.received[sender] = number
	}
}

// checkNames looks that those names are claimed whose owners are in the room.
func (w *clusterWorld) checkNames() error {
	in := 0
	for _, n := range w.nodes {
		for name := range n.room.names {
			in++
			if !w.names[name] {
				return fmt.Errorf("%s is in the room without its name", name)
			}
		}
	}
	if in != len(w.names) {
		return fmt.Errorf("%d are in the room, %d names are claimed", in, len(w.names))
	}
	return nil
}
