package null

import (
	"golang.org/x/sys/unix"

	"chatbench/core/wire"
)

// pass passes a FILE frame on to whom it names, with the sender's name in the
// place of the addressee's. Of a refusal the server says the same once more.
func (s *Server) pass(from *client, f wire.Frame) {
	name, rest := f.Body, []byte(nil)
	if f.Command != wire.LsReq && f.Command != wire.LsStart && f.Command != wire.LsEnd {
		name, rest = wire.SplitName(f.Body)
	}
	to := s.names[string(name)]
	if to == nil {
		from.out = wire.AppendNotice(from.out, "No such user: "+string(name))
		s.mailTo(from)
		return
	}
	to.out = wire.AppendFile(to.out, f.Command, from.name, rest)
	if f.Command == wire.DnNack {
		to.out = append(append(to.out, byte(wire.Chat)), wire.ServerName+": File not found:"...)
		to.out = append(append(to.out, rest...), 0)
	}
	s.mailTo(to)
}

func (s *Server) mailTo(c *client) {
	if !c.mailed {
		c.mailed = true
		s.mail = append(s.mail, c)
	}
	s.behind = max(s.behind, uint64(len(c.out)-c.sent))
}

// deliver gives everybody what was passed on to them in this turn.
func (s *Server) deliver() {
	for _, c := range s.mail {
		c.mailed = false
		if c.member >= 0 {
			s.flush(c)
		}
	}
	s.mail = s.mail[:0]
}

// write gives a client what was passed on to it, if it may.
func (s *Server) write(c *client) {
	for !c.blocked && len(c.out) > 0 && (c.sent > 0 || c.at == s.ring.tail) {
		n, err := unix.Write(c.fd, c.out[c.sent:])
		switch {
		case err == unix.EAGAIN:
			s.block(c)
		case err == nil:
			if c.sent += n; c.sent == len(c.out) {
				c.out, c.sent = c.out[:0], 0
			}
		case err != unix.EINTR:
			s.drop(c)
		}
	}
}
