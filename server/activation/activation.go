// Package activation takes the listening sockets that a service manager has opened and
// passed to this process: the protocol of sd_listen_fds(3), which systemd calls socket
// activation. In the environment LISTEN_PID says which process the sockets are for,
// LISTEN_FDS how many there are, from descriptor 3 on, and LISTEN_FDNAMES their names,
// with colons between.
//
// It refuses to guess what a socket is for, to take anything but listening sockets of
// TCP, and to let other processes inherit them. Take is called once, from main, before
// anything starts a process.
package activation

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"chatbench/internal/tcp"
)

// firstFD is the descriptor of the first socket: SD_LISTEN_FDS_START.
const firstFD = 3

// variables are those of the protocol. LISTEN_PIDFDID, of newer systemds, tells no more
// than LISTEN_PID does.
var variables = []string{"LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES"}

// Take takes the sockets that were passed to this process, by name: each has one of
// names, and none two. A single socket that was not given a name has the first of them.
// Without any there are none, and no error. The variables are gone afterwards, and the
// descriptors are closed on exec, also after an error; that is one line.
func Take(names ...string) (map[string]*net.TCPListener, error) {
	defer func() {
		for _, v := range variables {
			os.Unsetenv(v)
		}
	}()
	return take(firstFD, os.Getenv, names)
}

// take is Take of the descriptors from first on, with an environment.
func take(first int, getenv func(string) string, names []string) (map[string]*net.TCPListener, error) {
	if getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil, nil // there are none, or they are for another process
	}
	count := getenv("LISTEN_FDS")
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 || n > len(names) {
		return nil, fmt.Errorf("activation: LISTEN_FDS=%q: pass 1 to %d sockets, one for each of %s",
			count, len(names), strings.Join(names, ", "))
	}
	for i := range n {
		unix.CloseOnExec(first + i)
	}
	given := make([]string, n)
	if text := getenv("LISTEN_FDNAMES"); text != "" {
		if given = strings.Split(text, ":"); len(given) != n {
			return nil, fmt.Errorf("activation: LISTEN_FDNAMES=%q: %d sockets are passed, give as many names", text, n)
		}
	}
	if n == 1 && nameless(given[0]) {
		given[0] = names[0]
	}
	for i, name := range given {
		switch {
		case !slices.Contains(names, name):
			return nil, fmt.Errorf("activation: a socket is named %q: name it %s (FileDescriptorName= of its .socket unit)",
				name, strings.Join(names, " or "))
		case slices.Contains(given[:i], name):
			return nil, fmt.Errorf("activation: two sockets are named %s: pass one, of [::]:PORT to listen to IPv4 and IPv6", name)
		}
	}
	sockets := make(map[string]*net.TCPListener)
	for i, name := range given {
		l, err := tcp.FromFD(first + i)
		if err != nil {
			for _, l := range sockets {
				l.Close()
			}
			return nil, fmt.Errorf("%w: the socket %s has to be one, as ListenStream=PORT of a .socket unit makes it", err, name)
		}
		sockets[name] = l
	}
	return sockets, nil
}

// nameless says whether a socket was given no name: systemd then passes the name of its
// unit, and others none, or this word.
func nameless(name string) bool {
	return name == "" || name == "unknown" || strings.HasSuffix(name, ".socket")
}
