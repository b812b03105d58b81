package transfer

import (
	"bytes"
	"strings"
	"time"

	"chatbench/client"
	"chatbench/core/wire"
)

// What a list may have, whoever sends it.
const (
	listMost       = 10_000
	listOctetsMost = 1 << 20
)

// The server's notices that answer questions, as PROTOCOL.md has them.
const (
	noUserNotice   = "No such user: "
	notFoundNotice = "File not found: "
)

// FileFrame is for the client's reader: requests go into a queue, answers to
// who waits for them.
func (p *Peer) FileFrame(c *client.Client, f wire.Frame) {
	name, file := wire.SplitName(f.Body)
	file = bytes.TrimPrefix(file, []byte{' '})
	switch f.Command {
	case wire.LsReq, wire.DnReq:
		p.receive(c, request{c, f.Command, string(name), string(file)})
	case wire.LsStart, wire.LsBody, wire.LsEnd:
		p.listed(f.Command, string(name), string(file))
	case wire.DnAck:
		if ack, ok := wire.ParseAck(f.Body); ok {
			p.acknowledged(ack)
		}
	case wire.DnNack:
		p.refused(string(name), string(file))
	}
}

// receive queues a request. Whoever asks faster than is answered is refused.
func (p *Peer) receive(c *client.Client, r request) {
	select {
	case p.requests <- r:
	default:
		if r.command == wire.DnReq {
			c.File(wire.DnNack, r.from, r.file)
		}
	}
}

func (p *Peer) listed(command wire.Command, user, file string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := ask(user, "")
	w := p.asked[q]
	switch {
	case w == nil:
	case command == wire.LsEnd:
		p.settleLocked(q, w, answer{names: w.names})
	case command == wire.LsStart:
		w.names, w.octets = nil, 0
	case len(w.names) < listMost && w.octets+len(file) <= listOctetsMost:
		w.names, w.octets = append(w.names, file), w.octets+len(file)
	}
}

func (p *Peer) acknowledged(ack wire.Ack) {
	q := ask(string(ack.Name), string(ack.File))
	ack.Token = bytes.Clone(ack.Token)
	ack.Name, ack.File = nil, nil // theirs ends with the frame
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settleLocked(q, p.asked[q], answer{ack: ack})
}

// refused notes a DnNack. Its answer comes with the server's notice, so that
// who waits finds the notice among the events; or a little later without it.
func (p *Peer) refused(user, file string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := ask(user, file)
	if w := p.asked[q]; w != nil && file != "" {
		w.refused = true
		time.AfterFunc(noticeTimeout, func() { p.settle(q, w, answer{err: ErrRefused}) })
	}
}

// Notice is for the client's reader: some notices are answers.
func (p *Peer) Notice(_ *client.Client, text string) {
	user, isUser := strings.CutPrefix(text, noUserNotice)
	file, isFile := strings.CutPrefix(text, notFoundNotice)
	if !isUser && !isFile {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for q, w := range p.asked {
		switch {
		case isUser && q.user == fold(user):
			p.settleLocked(q, w, answer{err: ErrNoUser})
		case isFile && w.refused && q == ask(q.user, file):
			p.settleLocked(q, w, answer{err: ErrNotFound})
		}
	}
}
