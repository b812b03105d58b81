package loadgen

import (
	"net/netip"

	"chatbench/core/wire"
	"chatbench/loadgen/message"
)

// maxFileName is the longest a file's name may be on Linux, in octets.
const maxFileName = 255

// maxFiles bounds a list of files: the place of a frame within an answer fits into an octet.
const maxFiles = 64

// requests is what askers ask and sharers answer. Like a chat message, a request is a
// pure function of its number, so that both ends of a pair know every octet that must come.
type requests struct {
	names     message.Script
	files     int        // in each list
	downloads int        // one request in so many of a pair is for a file; 0: none
	user      []string   // of each client its name
	addr      netip.Addr // the address of the sharers, which the server must tell askers
}

// kind is what a request asks for.
type kind int

const (
	list    kind = iota // a list of files
	file                // a file that the sharer has
	refused             // a file that the sharer refuses
)

// The pairs ask for files at different times, so that the mix of requests is the same at
// every moment.
func (q *requests) kind(pair int, n uint64) kind {
	n += uint64(pair)
	switch d := uint64(q.downloads); {
	case d == 0 || n%d != d-1:
		return list
	case n/d%2 == 1:
		return refused
	}
	return file
}

// relayed is how many frames a request and its answer send through the server.
func (q *requests) relayed(pair int, n uint64) int {
	if q.kind(pair, n) == list {
		return 1 + q.files + 2
	}
	return 1 + 1
}

// mean is the mean of relayed over many requests.
func (q *requests) mean() float64 {
	if q.downloads == 0 {
		return float64(q.relayed(0, 0))
	}
	d := float64(q.downloads)
	return ((d-1)*float64(1+q.files+2) + 2) / d
}

// frames is how many frames an asker receives as an answer: those that were relayed, and
// after a refusal the server's notice.
func (q *requests) frames(pair int, n uint64) int {
	switch q.kind(pair, n) {
	case list:
		return q.files + 2
	case file:
		return 1
	}
	return 2
}

// appendRequest appends request n of a pair as it goes from or to the other
// client: one end writes the name of the other, and the server swaps them.
func (q *requests) appendRequest(dst []byte, pair int, n uint64, other int) []byte {
	if q.kind(pair, n) == list {
		return q.appendFile(dst, wire.LsReq, other)
	}
	return q.appendNamed(dst, wire.DnReq, other, pair, n, 0)
}

// appendAnswer appends frame at of the answer to request n of a pair. The server's notice is
// only received, never sent.
func (q *requests) appendAnswer(dst []byte, pair int, n uint64, at, other int) []byte {
	switch q.kind(pair, n) {
	case list:
		switch at {
		case 0:
			return q.appendFile(dst, wire.LsStart, other)
		case q.files + 1:
			return q.appendFile(dst, wire.LsEnd, other)
		}
		return q.appendNamed(dst, wire.LsBody, other, pair, n, at-1)
	case file:
		return q.appendAck(dst, pair, n, other)
	}
	if at == 0 {
		return q.appendNamed(dst, wire.DnNack, other, pair, n, 0)
	}
	dst = append(dst, byte(wire.Chat))
	dst = append(dst, wire.ServerName+": File not found: "...)
	return append(q.appendName(dst, pair, n, 0), 0)
}

func (q *requests) appendFile(dst []byte, c wire.Command, other int) []byte {
	dst = append(dst, byte(wire.File), byte(c))
	return append(append(dst, q.user[other]...), 0)
}

func (q *requests) appendNamed(dst []byte, c wire.Command, other, pair int, n uint64, i int) []byte {
	dst = append(dst, byte(wire.File), byte(c))
	dst = append(append(dst, q.user[other]...), ' ')
	return append(q.appendName(dst, pair, n, i), 0)
}

// appendName appends the name of file i of request n: the pair's text number
// n·files + i.
func (q *requests) appendName(dst []byte, pair int, n uint64, i int) []byte {
	var name [maxFileName]byte
	q.names.PutText(name[:], uint64(pair), n*uint64(q.files)+uint64(i))
	return append(dst, name[:q.names.Size]...)
}

const hexDigits = "0123456789abcdef"

// appendAck appends the answer to a download with a port and a token that are
// functions of the request.
func (q *requests) appendAck(dst []byte, pair int, n uint64, other int) []byte {
	var name [maxFileName]byte
	q.names.PutText(name[:], uint64(pair), n*uint64(q.files))
	var token [wire.TokenSize]byte
	for i := range token {
		token[i] = hexDigits[(n>>(i%16)+uint64(pair+i))%16]
	}
	return wire.AppendAck(dst, wire.Ack{
		Name: []byte(q.user[other]), File: name[:q.names.Size],
		Addr: q.addr, Port: uint16(1024 + (n+uint64(pair))%60000), Token: token[:],
	})
}
