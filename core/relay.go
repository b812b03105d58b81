package core

import (
	"bytes"
	"cmp"
	"strconv"

	"chatbench/core/wire"
)

// firstUserPort is the lowest port a client may share a file on: below it are
// the ports of services, which a downloader must not be sent to.
const firstUserPort = 1024

// relay relays a File frame: it replaces the name of the addressee with that of the
// sender. The room keeps nothing of the transfer. done is false if the frame has to
// wait, because the private queue of the addressee or of the sender is full. If the
// addressee may be on another server, relay returns a Forward, which the caller has
// to send.
func (s *Session) relay(b *batch, f wire.Frame) (done bool, forward *Forward) {
	r := s.room
	name, rest, ok := splitFile(f)
	if !ok {
		b.sayAll(s)
		r.violation(s, ReasonMalformed)
		return true, nil
	}
	notice := b.fileFrames(s, f, rest)
	folded := ""
	r.mu.Lock()
	to := r.names[string(name)] // most names are folded already; this look-up makes no copy
	if to == nil && !asciiFolded(name) {
		r.unlock()
		folded = foldName(name) // takes too long for the lock
		r.mu.Lock()
		to = r.names[folded]
	}
	defer r.unlock()
	remote := to == nil && r.cfg.Cluster != nil
	if to == nil && !remote {
		notice, b.private = noSuchUser+safe(name), b.private[:0]
	}
	switch {
	case s.state != StateGrant:
		return true, nil
	case r.full(s) && r.waitFor(s, s), to != nil && r.full(to) && r.waitFor(s, to):
		return false, nil
	case to != nil:
		r.stats.Relayed++
	}
	s.spend(privateCostOf(f.Command, len(b.private)+len(notice)))
	if notice != "" {
		r.notice(s, notice)
	}
	switch {
	case to != nil:
		r.post(to, b.private)
	case remote:
		forward = &Forward{To: cmp.Or(folded, string(name)), Frames: bytes.Clone(b.private), name: safe(name), session: s}
	}
	return true, forward
}

// noSuchUser begins the notice to the sender of a frame if there is no addressee of that name.
const noSuchUser = "No such user: "

// fileFrames sets b.private to the frames for the addressee of a File frame. It
// returns a notice for the sender, mostly "".
func (b *batch) fileFrames(s *Session, f wire.Frame, rest []byte) (notice string) {
	b.private = b.private[:0]
	switch f.Command {
	case wire.DnNack:
		b.nack(s, rest)
	case wire.DnAck:
		return b.ack(s, f.Body, rest)
	default:
		b.private = wire.AppendFile(b.private, f.Command, s.name, rest)
	}
	return ""
}

// splitFile splits the body of a File frame into the addressee and the rest,
// its leading space included. ok is false where the command needs more.
func splitFile(f wire.Frame) (name, rest []byte, ok bool) {
	switch f.Command {
	case wire.LsReq, wire.LsStart, wire.LsEnd:
		return f.Body, nil, len(f.Body) > 0
	}
	name, rest = wire.SplitName(f.Body)
	return name, rest, len(name) > 0 && len(rest) > len(" ")
}

// nack tells the requester that there is no such file.
func (b *batch) nack(s *Session, rest []byte) {
	b.private = wire.AppendFile(b.private, wire.DnNack, s.name, rest)
	b.private = wire.AppendNotice(b.private, "File not found: "+safe(rest[1:]))
}

// ack relays where a file can be fetched. The address is the one the sharer is
// connected from, whatever it claims, so that it cannot send a downloader to
// another machine. It returns a notice if the sharer's frame is wrong.
func (b *batch) ack(s *Session, body, rest []byte) (notice string) {
	ack, ok := wire.ParseAck(body)
	switch {
	case !ok:
		b.nack(s, rest)
		return "malformed file acknowledgement: name, file, ip and port are needed"
	case ack.Port < firstUserPort:
		b.nack(s, append([]byte{' '}, ack.File...))
		return "share files on port " + strconv.Itoa(firstUserPort) + " or above"
	}
	if !s.room.cfg.AdvertiseClaimed {
		ack.Addr = s.peer.Addr().Unmap()
	}
	ack.Name = []byte(s.name)
	b.private = wire.AppendAck(b.private, ack)
	return ""
}

// safe makes text of a client safe for a notice.
func safe(text []byte) string { return string(wire.AppendSafe(nil, text)) }
