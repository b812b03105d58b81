package transfer

import (
	"bytes"
	"strings"
	"time"

	"chatbench/client"
	"chatbench/core/wire"
)

// Bounds of a list that somebody sends.
const (
	maxListNames  = 10_000
	maxListOctets = 1 << 20
)

// The notices with which the server answers requests, as in PROTOCOL.md.
const (
	noUserNotice   = "No such user: "
	notFoundNotice = "File not found: "
)

// FileFrame is called by the client's reader. It queues requests, and passes answers to
// whoever waits for them.
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

// receive queues a request, or refuses it if the queue is full.
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
	q := keyFor(user, "")
	w := p.pending[q]
	switch {
	case w == nil:
	case command == wire.LsEnd:
		p.resolveLocked(q, w, answer{names: w.names})
	case command == wire.LsStart:
		w.names, w.octets = nil, 0
	case len(w.names) < maxListNames && w.octets+len(file) <= maxListOctets:
		w.names, w.octets = append(w.names, file), w.octets+len(file)
	}
}

func (p *Peer) acknowledged(ack wire.Ack) {
	q := keyFor(string(ack.Name), string(ack.File))
	ack.Token = bytes.Clone(ack.Token)
	ack.Name, ack.File = nil, nil // they are valid only while the frame is
	p.mu.Lock()
	defer p.mu.Unlock()
	p.resolveLocked(q, p.pending[q], answer{ack: ack})
}

// refused notes a DnNack. The request is resolved by the server's notice, so that the
// notice is among the events before; or without it, a little later.
func (p *Peer) refused(user, file string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := keyFor(user, file)
	if w := p.pending[q]; w != nil && file != "" {
		w.refused = true
		time.AfterFunc(noticeTimeout, func() { p.resolve(q, w, answer{err: ErrRefused}) })
	}
}

// Notice is called by the client's reader. Some notices resolve requests.
func (p *Peer) Notice(_ *client.Client, text string) {
	user, isUser := strings.CutPrefix(text, noUserNotice)
	file, isFile := strings.CutPrefix(text, notFoundNotice)
	if !isUser && !isFile {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for q, w := range p.pending {
		switch {
		case isUser && q.user == fold(user):
			p.resolveLocked(q, w, answer{err: ErrNoUser})
		case isFile && w.refused && q == keyFor(q.user, file):
			p.resolveLocked(q, w, answer{err: ErrNotFound})
		}
	}
}
