// Package activation takes over the listening sockets that a service manager has opened
// and passed to this process: the protocol of sd_listen_fds(3), which systemd calls socket
// activation. In the environment LISTEN_PID is the process for which the sockets are,
// LISTEN_FDS is their number, from descriptor 3 on, and LISTEN_FDNAMES is their names,
// separated by colons.
//
// It does not guess what a socket is for, accepts only listening TCP sockets, and does not
// let other processes inherit them. Call Take once, from main, before anything starts a
// process.
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

// variables are the environment variables of the protocol. LISTEN_PIDFDID, of newer
// versions of systemd, is not needed in addition to LISTEN_PID.
var variables = []string{"LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES"}

// Take returns the sockets that were passed to this process, by name. Each must have one of
// names, and no two the same. A single socket without a name gets the first of names. If no
// sockets were passed, the result is empty. Take removes the variables and sets the
// descriptors to be closed on exec, even if it returns an error.
func Take(names ...string) (map[string]*net.TCPListener, error) {
	defer func() {
		for _, v := range variables {
			os.Unsetenv(v)
		}
	}()
	return take(firstFD, os.Getenv, names)
}

// take is Take with the first descriptor and the environment as parameters.
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
			return nil, fmt.Errorf("activation: LISTEN_FDNAMES=%q: %d sockets are passed: give the same number of names", text, n)
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
			return nil, fmt.Errorf("%w: the socket %s must be one, as ListenStream=PORT of a .socket unit makes it", err, name)
		}
		sockets[name] = l
	}
	return sockets, nil
}

// nameless says whether a socket has no name of its own: systemd then passes the name of
// its unit, and other service managers pass no name, or unknown.
func nameless(name string) bool {
	return name == "" || name == "unknown" || strings.HasSuffix(name, ".socket")
}
