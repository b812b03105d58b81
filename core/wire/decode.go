package wire

import (
	"bytes"
	"errors"
)

// What a stream of bytes can do wrong.
var (
	ErrType    = errors.New("wire: unknown frame type")
	ErrCommand = errors.New("wire: unknown file command")
	ErrTooLong = errors.New("wire: frame too long")
)

// keepHeld is the largest buffer an idle Decoder keeps, in octets.
const keepHeld = 256

// Decoder cuts a byte stream, given to it in any pieces, into frames. What
// arrives whole is not copied; only the head of a frame whose end has not
// come yet is held back, never more than Max octets. The zero Decoder is
// ready, with MaxFrame as its limit.
type Decoder struct {
	Max  int    // octets in a frame, type octet and NUL included; 0 means MaxFrame
	held []byte // the head of an unfinished frame
	used bool   // held was given out as a frame and is free again
}

// Next cuts the first frame off what is held back followed by in. It returns
// the frame and the rest of in that it did not touch; call it again with the
// rest until ok is false, which means that all of in is taken and the frame at
// its end, if any, is not finished. An error is final: the caller ends the
// stream and does not ask again.
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

// nextHeld goes on with the frame whose head is held back.
func (d *Decoder) nextHeld(in []byte) (f Frame, rest []byte, ok bool, err error) {
	// A NUL in the head ends nothing: take the head before looking for the end.
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

// Held is how many octets of an unfinished frame are held back.
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

// cut finds the length of the first frame of p, its NUL included; 0 if it is
// unfinished. A frame is too long as soon as its limit is reached without a
// NUL, so that nobody waits for an end that could not be taken.
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

// head is how many octets stand before the body: NULs among them end nothing.
func head(p []byte) int {
	if len(p) > 0 && Type(p[0]) == File {
		return 2
	}
	return 1
}

// check refuses a head that no frame has, as early as its octets are there.
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
// append to it cannot reach the frame behind.
func parse(p []byte) Frame {
	end := len(p) - 1
	if Type(p[0]) == File {
		return Frame{Type: File, Command: Command(p[1]), Body: p[2:end:end]}
	}
	return Frame{Type: Type(p[0]), Body: p[1:end:end]}
}
