package null

import (
	"golang.org/x/sys/unix"

	"chatbench/core/wire"
)

// forward sends a FILE frame to the user that it names, with the sender's name in place
// of the addressee's. After a refusal the server also sends a notice.
func (s *Server) forward(from *client, f wire.Frame) {
	name, rest := f.Body, []byte(nil)
	if f.Command != wire.LsReq && f.Command != wire.LsStart && f.Command != wire.LsEnd {
		name, rest = wire.SplitName(f.Body)
	}
	to := s.names[string(name)]
	if to == nil {
		from.out = wire.AppendNotice(from.out, "No such user: "+string(name))
		s.markPending(from)
		return
	}
	to.out = wire.AppendFile(to.out, f.Command, from.name, rest)
	if f.Command == wire.DnNack {
		to.out = append(append(to.out, byte(wire.Chat)), wire.ServerName+": File not found:"...)
		to.out = append(append(to.out, rest...), 0)
	}
	s.markPending(to)
}

func (s *Server) markPending(c *client) {
	if !c.isPending {
		c.isPending = true
		s.pending = append(s.pending, c)
	}
	s.behind = max(s.behind, uint64(len(c.out)-c.sent))
}

// deliver sends everybody what was forwarded to them in this turn.
func (s *Server) deliver() {
	for _, c := range s.pending {
		c.isPending = false
		if c.member >= 0 {
			s.flush(c)
		}
	}
	s.pending = s.pending[:0]
}

// write sends a client what was forwarded to it, unless it is blocked.
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
