// Package message generates what simulated users say: the text of a message
// is a pure function of (seed, sender, sequence, size), so a receiver
// can check every octet without further information.
//
// It keeps no state: there is no list of messages anywhere. Every
// function is pure and safe from any goroutine.
//
// A text is SequenceDigits decimal digits, a space, and filler of printable
// ASCII. All texts of a Script have one length, hence all frames have one
// length, and the place of a frame in a stream is its number.
package message

import (
	"encoding/binary"
	"fmt"

	"chatbench/core/wire"
)

// The bounds of a Script. The least size leaves 36 bits of filler, so that the
// text of one message is never taken for that of another.
const (
	SequenceDigits = 9
	MaxSequence    = 1_000_000_000
	MinSize        = SequenceDigits + 1 + 6
	MaxSize        = 64 << 10

	NameLen  = 7 // u000042
	MaxUsers = 1_000_000
)

// Script is what all users together say.
type Script struct {
	Seed uint64
	Size int // octets of a text, from MinSize to MaxSize
}

// FrameLen is the length of a frame as a client sends it.
func (s Script) FrameLen() int { return 1 + s.Size + 1 }

// BroadcastLen is the length of a frame as the server sends it to everybody.
func (s Script) BroadcastLen() int { return 1 + NameLen + 2 + s.Size + 1 }

// PutFrame writes the frame with which user says its message seq into
// dst[:FrameLen()].
func (s Script) PutFrame(dst []byte, user, seq uint64) {
	dst[0] = byte(wire.Chat)
	s.putText(dst[1:1+s.Size], user, seq)
	dst[1+s.Size] = 0
}

// PutBroadcast writes the frame with which the server sends message seq of user to
// everybody into dst[:BroadcastLen()].
func (s Script) PutBroadcast(dst []byte, user, seq uint64) {
	dst[0] = byte(wire.Chat)
	putName(dst[1:1+NameLen], user)
	dst[1+NameLen], dst[2+NameLen] = ':', ' '
	s.putText(dst[3+NameLen:3+NameLen+s.Size], user, seq)
	dst[3+NameLen+s.Size] = 0
}

// ParseBroadcast reads from a frame of BroadcastLen octets which message of which user it is. It
// looks at the name and the sequence only: to check the rest, generate the frame
// with PutBroadcast and compare.
func (s Script) ParseBroadcast(frame []byte) (user, seq uint64, ok bool) {
	if frame[0] != byte(wire.Chat) || frame[1] != 'u' {
		return 0, 0, false
	}
	user, ok = number(frame[2 : 1+NameLen])
	if !ok {
		return 0, 0, false
	}
	seq, ok = number(frame[3+NameLen : 3+NameLen+SequenceDigits])
	return user, seq, ok
}

// MayBegin says whether p, shorter than a frame, can be the beginning of one of
// ours. It looks at two octets: enough to distinguish it from a server's notice.
func MayBegin(p []byte) bool {
	return p[0] == byte(wire.Chat) && (len(p) < 2 || p[1] == 'u')
}

// Name is the name with which user i logs in.
func Name(i int) string { return fmt.Sprintf("u%06d", i) }

func putName(dst []byte, user uint64) {
	dst[0] = 'u'
	putNumber(dst[1:NameLen], user)
}

// PutText writes the text of message seq of user into dst[:Size].
func (s Script) PutText(dst []byte, user, seq uint64) { s.putText(dst[:s.Size], user, seq) }

// putText writes the digits and the filler: a splitmix64 sequence begun at a
// mix of seed, user and seq, six bits to an octet, '0' to 'o'.
func (s Script) putText(dst []byte, user, seq uint64) {
	putNumber(dst[:SequenceDigits], seq)
	dst[SequenceDigits] = ' '
	dst = dst[SequenceDigits+1:]
	state := mix(s.Seed ^ mix(user<<40^seq))
	for len(dst) >= 8 {
		state += gamma
		binary.LittleEndian.PutUint64(dst, printable(mix(state)))
		dst = dst[8:]
	}
	last := printable(mix(state + gamma))
	for i := range dst {
		dst[i] = byte(last >> (8 * i))
	}
}

const gamma = 0x9e3779b97f4a7c15

// mix is the finaliser of splitmix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func printable(x uint64) uint64 { return x&0x3f3f3f3f3f3f3f3f + 0x3030303030303030 }

func putNumber(dst []byte, v uint64) {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = byte('0' + v%10)
		v /= 10
	}
}

func number(p []byte) (v uint64, ok bool) {
	for _, c := range p {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + uint64(c-'0')
	}
	return v, true
}
