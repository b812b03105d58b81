package core

import (
	"strconv"

	"chatbench/core/wire"
)

// firstUserPort is the lowest port a client may share a file on: below it are
// the ports of services, which a downloader must not be sent to.
const firstUserPort = 1024

// file relays a File frame: the name of its addressee is changed for that of
// its sender, and the room keeps nothing of the transfer.
func (r *Room) file(s *Session, f wire.Frame) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.state != StateGrant {
		r.violate(s, ReasonNotLoggedIn)
		return
	}
	name, rest, ok := splitFile(f)
	if !ok {
		r.violate(s, ReasonMalformed)
		return
	}
	to := r.find(name)
	if to == nil {
		r.notice(s, "No such user: "+safe(name))
		return
	}
	r.stats.Relayed++
	switch f.Command {
	case wire.DnAck:
		r.ack(s, to, f.Body, rest)
	case wire.DnNack:
		r.nack(s, to, rest)
	default:
		r.post(to, wire.AppendFile(to.mail.private, f.Command, s.name, rest))
	}
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

// find looks a client in the room up by name, in any form of it.
func (r *Room) find(name []byte) *Session {
	if s := r.names[string(name)]; s != nil || asciiFolded(name) {
		return s // most are given as they are compared; that costs no copy
	}
	return r.names[foldName(name)]
}

// nack tells the requester that there is no such file.
func (r *Room) nack(s, to *Session, rest []byte) {
	r.post(to, wire.AppendFile(to.mail.private, wire.DnNack, s.name, rest))
	r.notice(to, "File not found: "+safe(rest[1:]))
}

// ack passes on where a file can be fetched. The address is the one the sharer
// is connected from, whatever it claims, so that nobody can send a downloader
// to a third machine.
func (r *Room) ack(s, to *Session, body, rest []byte) {
	ack, ok := wire.ParseAck(body)
	switch {
	case !ok:
		r.notice(s, "malformed file acknowledgement: name, file, ip and port are needed")
		r.nack(s, to, rest)
		return
	case ack.Port < firstUserPort:
		r.notice(s, "share files on port "+strconv.Itoa(firstUserPort)+" or above")
		r.nack(s, to, append([]byte{' '}, ack.File...))
		return
	}
	if !r.cfg.AdvertiseClaimed {
		ack.Addr = s.peer.Addr().Unmap()
	}
	ack.Name = []byte(s.name)
	r.post(to, wire.AppendAck(to.mail.private, ack))
}

// safe is text of a client's as a notice may repeat it.
func safe(text []byte) string { return string(wire.AppendSafe(nil, text)) }
