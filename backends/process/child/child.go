// Package child is the program of a client's process: it owns the client's
// socket and moves octets between it and two pipes to the parent.
//
// A child is the parent's own program, run again with a variable in its
// environment. This package's init looks for that variable and, if it is
// there, serves and never returns. It imports syscall and strconv alone, so that it is
// initialised right after them: a child does not pay, in time and memory, for a
// program it does not use.
//
// # What stands where in a child
//
//	0  pipe from the parent: what the client is to be sent; its end is the end
//	   of the output: the child sends FIN and waits for the client's
//	1  pipe to the parent: what the client sends, checked; the child closes it
//	   after the client's FIN or its own
//	2  the parent's stderr
//	3  the client's socket; in a child spawned ahead, the socket over which
//	   that is handed to it
//
// The child looks at types, commands and sizes of frames, and passes nothing on
// that comes in a later read than an octet that broke the protocol. What that
// octet costs the client, and all else, the room decides in the parent, which has
// also read what stands before: a PROXY header, and the login. It exits
// with Finished after the client's FIN and with Broken after an error, or when
// the parent is gone. While the parent takes none of its client's input the child
// looks whether the client has left: if so, it exits a farewell later at the latest,
// whatever is unread, and a moment later after a reset.
//
// It refuses to know what frames say, to keep more than one read of either
// direction, and to keep time for the parent in anything else: whoever lingers too
// long is killed.
//
// Environment is for the parent, any goroutine. Nothing else is to be called.
package child

import (
	"strconv"
	"syscall"
)

// Exit codes of a child.
const (
	Finished = 0 // the client has sent FIN
	Broken   = 1 // an error on the connection, or no parent
	Misled   = 2 // the parent did not give it what it needs
)

// What a child reads at once, in octets.
const (
	FromParent = 64 << 10
	FromClient = 16 << 10
)

// Descriptors of a child.
const (
	fromParent = 0
	toParent   = 1
	socket     = 3
)

// variable is what makes a process a child. Its value is the role, the longest
// frame in octets, the parent's process number and the farewell in milliseconds,
// with spaces between.
const variable = "CHATBENCH_CHILD"

const (
	roleClient  = "client"  // descriptor 3 is a client
	roleWaiting = "waiting" // a client comes over descriptor 3
)

// Environment is the whole environment of a child of this process, which stops
// listening to a client whose frames have more than maxFrame octets. One that is
// spawned ahead of its client waits to be handed it. If the parent takes no more
// input of a client that has left, the child keeps it for so many milliseconds.
//
// A child runs one thing at a time and allocates next to nothing, so that it
// needs neither processors nor a collector.
func Environment(ahead bool, maxFrame int, farewell int) []string {
	role := roleClient
	if ahead {
		role = roleWaiting
	}
	what := role + " " + strconv.Itoa(maxFrame) + " " + strconv.Itoa(syscall.Getpid()) + " " + strconv.Itoa(farewell)
	return []string{variable + "=" + what, "GOMAXPROCS=1", "GOGC=off"}
}

func init() {
	if what, ok := syscall.Getenv(variable); ok {
		exit(serve(what))
	}
}

// serve is the life of a child. It returns the exit code.
func serve(what string) int {
	name()
	ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	role, rest := cut(what)
	first, rest := cut(rest)
	second, third := cut(rest)
	maxFrame, err1 := strconv.Atoi(first)
	parent, err2 := strconv.Atoi(second)
	farewell, err3 := strconv.Atoi(third)
	if err1 != nil || err2 != nil || err3 != nil || role != roleClient && role != roleWaiting {
		return Misled
	}
	if role == roleWaiting {
		if code, ok := receive(); !ok {
			return code
		}
	}
	return run(maxFrame, parent, farewell)
}

// cut divides at the first space. Package strings would be one more to
// initialise.
func cut(s string) (before, after string) {
	for i := range len(s) {
		if s[i] == ' ' {
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// receive waits for the client's socket and puts it in the place of the one it
// came over. There is none if the parent is gone or stops.
func receive() (code int, ok bool) {
	var octet [1]byte
	oob := make([]byte, syscall.CmsgSpace(4))
	for {
		_, n, _, _, err := syscall.Recvmsg(socket, octet[:], oob, 0)
		if err == syscall.EINTR {
			continue
		}
		if err == nil && n == 0 {
			return Finished, false
		}
		messages, _ := syscall.ParseSocketControlMessage(oob[:n])
		if err != nil || len(messages) != 1 {
			return Misled, false
		}
		fds, err := syscall.ParseUnixRights(&messages[0])
		if err != nil || len(fds) != 1 || syscall.Dup3(fds[0], socket, 0) != nil {
			return Misled, false
		}
		_ = syscall.Close(fds[0])
		return 0, true
	}
}
