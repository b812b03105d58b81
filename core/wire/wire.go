// Package wire is the chat protocol on the wire: frames, their encoders, an
// incremental decoder, and the rule that makes text safe for a terminal. Byte
// layouts and every settled ambiguity are in PROTOCOL.md beside this file.
//
// It refuses to know about sockets, rooms or users: bytes in, frames out. A
// Decoder belongs to one goroutine at a time; every function is pure.
//
// The Append functions trust their caller: a NUL in an argument would end the
// frame early, and a space in a name would end the name.
package wire

// Type is the first octet of a frame. Chat is NUL, which is also the octet
// that ends a frame: read the type first, then look for the end.
type Type byte

const (
	Chat  Type = 0 // 00 text 00
	Cred  Type = 1 // 01 user SP password 00; from the server: 01 "granted" 00
	File  Type = 2 // 02 command body 00
	Close Type = 3 // 03 00
)

// Command is the second octet of a File frame. It may be NUL too.
type Command byte

const (
	LsReq   Command = 0 // 02 00 name 00          what do you share?
	LsStart Command = 1 // 02 01 name 00          the list begins
	LsBody  Command = 2 // 02 02 name SP file 00  one file of the list
	LsEnd   Command = 3 // 02 03 name 00          the list ends
	DnReq   Command = 4 // 02 04 name SP file 00  where can I fetch this file?
	DnAck   Command = 5 // 02 05 name SP file SP ip SP port [SP token] 00  fetch it there
	DnNack  Command = 6 // 02 06 name SP file 00  no such file
)

// MaxFrame is the default limit on a frame from a client, in octets, its type
// octet and its closing NUL included.
const MaxFrame = 4096

// MaxFromServer is the limit a client sets on frames from the server, in
// octets. The server puts a name in front of what a client sent, and text made
// safe grows to three times its length at most: this has room for the frames
// of a server whose own limit is 64 KiB.
const MaxFromServer = 256 << 10

// ServerName is the sender of the server's own notices; nobody may log in with it.
const ServerName = "server"

// Granted is the body of the Cred frame that lets a client in.
const Granted = "granted"

// DeniedPrefix stands before the reason in the Cred frame that turns a client away.
const DeniedPrefix = "denied "

// Protocol is what the chat protocol is called in a TLS handshake (ALPN, RFC 7301).
// Clients that name no protocol are served too.
const Protocol = "chatbench"

// Frame is one frame as it was decoded. Body aliases the bytes given to the
// Decoder or the Decoder's own buffer: it is good until the next call of Next,
// and no longer than those bytes.
type Frame struct {
	Type    Type
	Command Command // of a File frame, else 0
	Body    []byte  // what stands between the head and the closing NUL
}

// AppendChat appends a Chat frame as a client sends it.
func AppendChat(dst []byte, text string) []byte {
	dst = append(dst, byte(Chat))
	dst = append(dst, text...)
	return append(dst, 0)
}

// AppendSaid appends a Chat frame as the server sends it: "name: text".
func AppendSaid(dst []byte, name string, text []byte) []byte {
	dst = append(dst, byte(Chat))
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = append(dst, text...)
	return append(dst, 0)
}

// AppendNotice appends a Chat frame in which the server itself speaks.
func AppendNotice(dst []byte, text string) []byte {
	dst = append(dst, byte(Chat))
	dst = append(dst, ServerName+": "...)
	dst = append(dst, text...)
	return append(dst, 0)
}

// AppendCred appends the Cred frame with which a client logs in.
func AppendCred(dst []byte, user, password string) []byte {
	dst = append(dst, byte(Cred))
	dst = append(dst, user...)
	dst = append(dst, ' ')
	dst = append(dst, password...)
	return append(dst, 0)
}

// AppendGranted appends the Cred frame that lets a client in.
func AppendGranted(dst []byte) []byte {
	dst = append(dst, byte(Cred))
	dst = append(dst, Granted...)
	return append(dst, 0)
}

// AppendDenied appends the Cred frame that turns a client away. The server
// sends a Close frame after it.
func AppendDenied(dst []byte, reason string) []byte {
	dst = append(dst, byte(Cred))
	dst = append(dst, DeniedPrefix...)
	dst = append(dst, reason...)
	return append(dst, 0)
}

// AppendClose appends a Close frame.
func AppendClose(dst []byte) []byte { return append(dst, byte(Close), 0) }

// AppendFile appends a File frame: the name (of the addressee from a client,
// of the sender from the server) and what follows it, its leading space
// included; rest is empty for LsReq, LsStart and LsEnd.
func AppendFile(dst []byte, c Command, name string, rest []byte) []byte {
	dst = append(dst, byte(File), byte(c))
	dst = append(dst, name...)
	dst = append(dst, rest...)
	return append(dst, 0)
}
