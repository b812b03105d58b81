// Package wire is the chat protocol on the wire: frames, their encoders, an
// incremental decoder, and the rule that makes text safe for a terminal. The byte
// layouts are specified in PROTOCOL.md beside this file.
//
// It knows nothing of sockets, rooms or users: bytes in, frames out. A Decoder belongs
// to one goroutine at a time; any goroutine may call the functions.
//
// The Append functions do not check their arguments: a NUL in one would end the
// frame early, and a space in a name would end the name.
package wire

// Type is the first octet of a frame. Chat is NUL, which is also the octet
// that ends a frame: read the type first, then search for the end.
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

// MaxFrame is the default limit on a frame from a client, in octets, including its
// type octet and its closing NUL.
const MaxFrame = 4096

// MaxFromServer is the limit a client sets on frames from the server, in
// octets. The server puts a name before what a client sent, and text that is made
// safe can grow to three times its length. The limit suffices for a server whose own
// limit is 64 KiB.
const MaxFromServer = 256 << 10

// ServerName is the sender of the server's notices; nobody may log in with it.
const ServerName = "server"

// Granted is the body of the Cred frame that lets a client in.
const Granted = "granted"

// DeniedPrefix precedes the reason in the Cred frame that turns a client away.
const DeniedPrefix = "denied "

// Protocol is the name of the chat protocol in a TLS handshake (ALPN, RFC 7301).
// Clients that name no protocol are served too.
const Protocol = "chatbench"

// Frame is a decoded frame. Body aliases the bytes given to the Decoder or the Decoder's
// own buffer: it is valid until the next call of Next, and only as long as those bytes.
type Frame struct {
	Type    Type
	Command Command // of a File frame, otherwise 0
	Body    []byte  // between the head and the closing NUL
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

// AppendNotice appends a Chat frame with a notice of the server.
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

// AppendFile appends a File frame: the name (of the addressee in a frame from a
// client, of the sender in one from the server) and what follows it, including its
// leading space; rest is empty for LsReq, LsStart and LsEnd.
func AppendFile(dst []byte, c Command, name string, rest []byte) []byte {
	dst = append(dst, byte(File), byte(c))
	dst = append(dst, name...)
	dst = append(dst, rest...)
	return append(dst, 0)
}
