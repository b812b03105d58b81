package core

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"chatbench/core/wire"
)

// check checks what must be true at any time.
func (sim *clusterSimulation) check() error {
	seen := map[string]string{}
	for _, n := range sim.nodes {
		for name := range n.room.names {
			if seen[name] != "" {
				return fmt.Errorf("%s is in the room by way of %s and %s", name, seen[name], n.id)
			}
			seen[name] = n.id
		}
		if wait := n.room.Undelivered(); wait > n.room.maxOutgoing()+int64(n.room.messageMax())+1000 {
			return fmt.Errorf("%s: %d octets wait for the stream", n.id, wait)
		}
		if n.room.Undelivered() > 0 && !n.publish && n.number == 0 {
			return fmt.Errorf("%s: something is to be published, and nobody is told", n.id)
		}
	}
	return sim.wrong
}

// idle says whether nothing waits for the server or the stream.
func (n *simNode) idle() bool {
	return !n.publish && n.number == 0 && len(n.onWay) == 0 && !n.behind() && len(n.claims)+len(n.forwards)+len(n.room.leaving) == 0
}

// finish reconnects all servers, delivers all messages, and checks what all clients received.
func (sim *clusterSimulation) finish() error {
	for _, n := range sim.nodes {
		n.cut = false
	}
	for range 4000 {
		busy := false
		for _, n := range sim.nodes {
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
		sim.tick(100 * time.Millisecond)
		for _, c := range sim.clients {
			if !c.gone {
				c.got = append(c.got, take(c.session)...)
				_, closing := c.session.Closing()
				busy = busy || !closing && c.session.Held()
			}
		}
		if err := sim.check(); err != nil {
			return err
		}
		if !busy && !slices.ContainsFunc(sim.nodes, func(n *simNode) bool { return !n.idle() }) {
			break
		}
	}
	for _, n := range sim.nodes {
		r := n.room
		if !n.idle() || r.Undelivered() != 0 || len(r.outgoing.messages)+len(r.outgoing.waiting)+len(r.busyForwards) > 0 {
			return fmt.Errorf("%s: something is left: %d octets, %d messages, %d and %d wait", n.id, r.Undelivered(), len(r.outgoing.messages), len(r.outgoing.waiting), len(r.busyForwards))
		}
	}
	for _, c := range sim.clients {
		if err := sim.checkReceived(c); err != nil {
			return fmt.Errorf("client %d of %s: %s", c.id, c.node.id, err)
		}
	}
	return sim.checkNames()
}

// checkReceived compares what a client received with the order of the stream, and with what it said.
func (sim *clusterSimulation) checkReceived(c *clusterClient) error {
	if !c.in {
		return nil
	}
	heard := saidIn(chats(c.got))
	want := sim.said[c.from:]
	if len(heard) > len(want) || !slices.Equal(heard, want[:len(heard)]) {
		return fmt.Errorf("heard %q, want %q", heard, want)
	}
	if _, closing := c.session.Closing(); !closing && len(heard) < len(want) {
		return fmt.Errorf("heard %d frames, want %d", len(heard), len(want))
	}
	var said []string
	for _, f := range sim.said {
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

// chats is the Chat frames among frames, of which the last may be incomplete.
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

// checkFiles checks that a client received no File frame twice or out of order.
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
			return fmt.Errorf("file %q: %s", name, err)
		}
		if last, before := c.received[sender]; before && number <= last {
			return fmt.Errorf("file %d of client %s after %d", number, sender, last)
		}
		c.received[sender] = number
	}
}

// checkNames checks that exactly the names of clients in the room are claimed.
func (sim *clusterSimulation) checkNames() error {
	in := 0
	for _, n := range sim.nodes {
		for name := range n.room.names {
			in++
			if !sim.names[name] {
				return fmt.Errorf("%s is in the room without its name", name)
			}
		}
	}
	if in != len(sim.names) {
		return fmt.Errorf("%d are in the room, %d names are claimed", in, len(sim.names))
	}
	return nil
}
