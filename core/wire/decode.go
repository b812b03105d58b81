package wire

import (
	"bytes"
	"errors"
)

// Violations of the protocol that a Decoder finds.
var (
	ErrType    = errors.New("wire: unknown frame type")
	ErrCommand = errors.New("wire: unknown file command")
	ErrTooLong = errors.New("wire: frame too long")
)

// keepHeld is the largest buffer an idle Decoder keeps, in octets.
const keepHeld = 256

// Decoder splits a byte stream, given to it in any pieces, into frames. A frame
// that arrives whole is not copied. The Decoder keeps only the beginning of a frame
// whose end has not come yet, never more than Max octets. The zero Decoder is
// ready for use, with MaxFrame as its limit.
type Decoder struct {
	Max  int    // octets in a frame, including type octet and NUL; 0 means MaxFrame
	held []byte // the beginning of an unfinished frame
	used bool   // held was returned as a frame, and is free again
}

// Next returns the first frame of what the Decoder keeps followed by in, and the rest
// of in behind it. Call it again with the rest until ok is false. That means that all of
// in is consumed, and the frame at its end, if any, is not finished. After an error the
// stream has to be ended; Next must not be called again.
func (d *Decoder) Next(in []byte) (f Frame, rest []byte, ok bool, err error) {
	if d.used {
		d.held, d.used = d.held[:0], false
	}
	if len(d.held) > 0 {
		return d.nextHeld(in)
	}
	n, err := d.cut(in)
	switch {
	case err != nil:
		return Frame{}, in, false, err
	case n > 0:
		return parse(in[:n]), in[n:], true, nil
	case len(in) > 0:
		d.held = append(d.held, in...)
	case cap(d.held) > keepHeld:
		d.held = nil
	}
	return Frame{}, nil, false, nil
}

// nextHeld continues the frame whose beginning is kept.
func (d *Decoder) nextHeld(in []byte) (f Frame, rest []byte, ok bool, err error) {
	// A NUL in the head does not end the frame: read the head before searching for the end.
	for len(d.held) < head(d.held) && len(in) > 0 {
		d.held, in = append(d.held, in[0]), in[1:]
	}
	if err := check(d.held); err != nil {
		return Frame{}, in, false, err
	}
	fits := in[:min(len(in), d.limit()-len(d.held))]
	end := bytes.IndexByte(fits, 0)
	switch {
	case end >= 0:
		d.held, d.used = append(d.held, fits[:end+1]...), true
		return parse(d.held), in[end+1:], true, nil
	case len(d.held)+len(fits) == d.limit():
		return Frame{}, in, false, ErrTooLong
	}
	d.held = append(d.held, fits...)
	return Frame{}, nil, false, nil
}

// Held is how many octets of an unfinished frame the Decoder keeps.
func (d *Decoder) Held() int {
	if d.used {
		return 0
	}
	return len(d.held)
}

func (d *Decoder) limit() int {
	if d.Max > 0 {
		return d.Max
	}
	return MaxFrame
}

// cut returns the length of the first frame of p, including its NUL; 0 if it is
// unfinished. A frame is too long as soon as the limit is reached without a NUL.
func (d *Decoder) cut(p []byte) (int, error) {
	limit := d.limit()
	p = p[:min(len(p), limit)]
	if err := check(p); err != nil {
		return 0, err
	}
	h := min(head(p), len(p))
	if end := bytes.IndexByte(p[h:], 0); end >= 0 {
		return h + end + 1, nil
	}
	if len(p) == limit {
		return 0, ErrTooLong
	}
	return 0, nil
}

// head is how many octets precede the body. A NUL among them does not end the frame.
func head(p []byte) int {
	if len(p) > 0 && Type(p[0]) == File {
		return 2
	}
	return 1
}

// check returns an error for an invalid head, as soon as its octets are there.
func check(p []byte) error {
	if len(p) > 0 && Type(p[0]) > Close {
		return ErrType
	}
	if len(p) > 1 && Type(p[0]) == File && Command(p[1]) > DnNack {
		return ErrCommand
	}
	return nil
}

// parse splits a whole frame. The body's capacity ends with it, so that an
// append to it cannot overwrite the next frame.
func parse(p []byte) Frame {
	end := len(p) - 1
	if Type(p[0]) == File {
		return Frame{Type: File, Command: Command(p[1]), Body: p[2:end:end]}
	}
	return Frame{Type: Type(p[0]), Body: p[1:end:end]}
}
