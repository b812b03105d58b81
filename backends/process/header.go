package process

// The first octets of the two versions of a PROXY header. No frame begins with one
// of them.
const (
	headerLine   = 'P'  // version 1: it ends with the line
	headerBinary = 0x0d // version 2: headerFixed octets, of which the last two say how many follow
	headerFixed  = 16
)

// header finds the end of a PROXY header in front of a client's first frame. Whether a header is
// allowed, and what it says, is for the room: it ends a client whose header is invalid or too
// long.
type header struct {
	first byte // the first octet
	seen  int  // octets so far
	rest  int  // of version 2: how many follow the fixed part
	over  bool // it is complete, or there is none
}

// skip returns what follows the header.
func (h *header) skip(in []byte) []byte {
	for !h.over && len(in) > 0 {
		c := in[0]
		if h.seen == 0 {
			h.first = c
			if h.over = c != headerLine && c != headerBinary; h.over {
				break
			}
		}
		in = in[1:]
		h.seen++
		switch {
		case h.first == headerLine:
			h.over = c == '\n'
		case h.seen < headerFixed-1:
		case h.seen == headerFixed-1:
			h.rest = int(c) << 8
		case h.seen == headerFixed:
			h.rest |= int(c)
			h.over = h.rest == 0
		default:
			h.over = h.seen == headerFixed+h.rest
		}
	}
	return in
}
