// Package child is the program of a client's process: it owns the client's
// socket and moves octets between it and two pipes to the parent.
//
// A child is the parent's own program, run again with a variable in its environment. The init
// function of this package looks for that variable and, if it is set, serves the client and never
// returns. The package imports only syscall and strconv, so that it is initialised right after
// them: a child does not spend time and memory on the packages of a server.
//
// # Descriptors of a child
//
//	0  pipe from the parent: what the client is to be sent; after its end the
//	   child sends FIN and waits for the client's
//	1  pipe to the parent: what the client sends, checked; the child closes it
//	   after the client's FIN or its own
//	2  the parent's stderr
//	3  the client's socket; in a child forked ahead, the socket over which it is
//	   given the client's
//
// The child checks types, commands and sizes of frames. After a read in which an octet broke the
// protocol it passes nothing on. What the violation means for the client is decided by the room,
// in the parent, which has also read what comes first: a PROXY header, and the login. The child
// exits with Finished after the client's FIN, and with Broken after an error or when the
// parent is gone. While the parent takes no input, the child checks whether the client has left.
// If it has, the child exits after the farewell time at the latest, even if input is unread, and
// within a second after a reset.
//
// It does not look into frames, does not keep more than one read of each direction, and has no
// other timeouts: the parent kills a child that lingers too long.
//
// Environment is for the parent, on any goroutine. Nothing else may be called.
package child

import (
	"strconv"
	"syscall"
)

// Exit codes of a child.
const (
	Finished = 0 // the client has sent FIN
	Broken   = 1 // an error on the connection, or the parent is gone
	BadSetup = 2 // the environment or a descriptor is not as the parent should set it
)

// How much a child reads at once, in octets.
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

// variable is the environment variable of a child. Its value is the role, the longest frame in
// octets, the parent's process ID and the farewell time in milliseconds, separated by spaces.
const variable = "CHATBENCH_CHILD"

const (
	roleClient  = "client"  // descriptor 3 is a client
	roleWaiting = "waiting" // a client comes over descriptor 3
)

// Environment is the whole environment of a child of this process. ahead says that the child is
// forked ahead of its client and has to wait for it. A frame of more than maxFrame octets breaks
// the protocol. farewell is how long, in milliseconds, the child of a client that has left waits
// for a parent that takes no input.
//
// A child runs one goroutine and hardly allocates, so it needs neither several processors nor
// garbage collection.
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

// serve is all that a child does. It returns the exit code.
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
		return BadSetup
	}
	if role == roleWaiting {
		if code, ok := receive(); !ok {
			return code
		}
	}
	return run(maxFrame, parent, farewell)
}

// cut splits at the first space. Package strings would have to be initialised too.
func cut(s string) (before, after string) {
	for i := range len(s) {
		if s[i] == ' ' {
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// receive waits for the client's socket, which replaces the one that it comes over. ok is false,
// and code the exit code, if there will be none, because the parent is gone or shuts down.
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
			return BadSetup, false
		}
		fds, err := syscall.ParseUnixRights(&messages[0])
		if err != nil || len(fds) != 1 || syscall.Dup3(fds[0], socket, 0) != nil {
			return BadSetup, false
		}
		_ = syscall.Close(fds[0])
		return 0, true
	}
}
