package server

import (
	"fmt"
	"log/slog"

	"golang.org/x/sys/unix"

	"chatbench/backends"
)

// spareDescriptors is how many descriptors the process needs besides those of its clients:
// for the listener, the transport itself, files that are read, and connections of clients
// that were turned away and are being closed.
const spareDescriptors = 64

// loopDescriptors is how many descriptors each event loop beyond the first needs: a listener,
// one in reserve, one to wait for events, and one to be woken.
const loopDescriptors = 4

// loops is how many event loops the transport has; 1 if that is not known.
func (o *Options) loops() int {
	switch {
	case o.Loops > 0:
		return o.Loops
	case o.Backend.Loops != nil:
		return o.Backend.Loops()
	}
	return 1
}

// raiseFileLimit raises the soft limit on descriptors to the hard one and
// returns it.
func raiseFileLimit() (int, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("server: file limit: %w", err)
	}
	limit.Cur = limit.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("server: raise the file limit to %d: %w", limit.Max, err)
	}
	return int(min(limit.Max, 1<<31-1)), nil
}

// carriedDescriptors is how many descriptors a client of the front or of the browser page
// needs besides those of the transport: one for its own connection, and one for the
// connection to the transport. With both, browsers that have loaded the page and are not
// logged in count too.
func carriedDescriptors(o Options) int {
	switch {
	case o.hasFront() && o.Web != "":
		return 3
	case o.hasFront() || o.Web != "":
		return 2
	}
	return 0
}

// fitClients returns how many clients there may be. If a number was asked for, it is that
// number, or an error if the transport or the file limit does not allow it. Otherwise it is
// as many as fit. loops is the number of event loops, and more is how many descriptors each
// client needs besides those of the transport.
func fitClients(asked int, b backends.Backend, loops, more, nofile int, log *slog.Logger) (int, error) {
	own := max(b.FDsPerClient, 1)
	each, spare, most := own+more, spareDescriptors+loopDescriptors*(loops-1), b.MaxClients
	if more > 0 {
		spare += spareDescriptors // clients that are turned away have connections to the transport too
		if b.PerClient == "" {
			most = most * own / each // a bound that is not on threads or processes is one on descriptors
		}
	}
	fit := max((nofile-spare)/each, 0)
	switch {
	case asked > 0 && most > 0 && asked > most:
		return 0, misuse("-max-clients %d: backend %s carries at most %d: lower it or choose another backend",
			asked, b.Name, most)
	case fit == 0 && nofile-spare+loopDescriptors*(loops-1) >= each: // with one loop some clients would fit
		return 0, misuse("%d event loops of backend %s leave no descriptors for clients, the file limit is %d: lower -loops, or raise the limit (ulimit -Hn)",
			loops, b.Name, nofile)
	case fit == 0:
		return 0, fmt.Errorf("server: a file limit of %d leaves no room for clients: raise it (ulimit -Hn)", nofile)
	case asked > fit:
		return 0, misuse("-max-clients %d needs %d descriptors with backend %s, the file limit is %d: lower it to %d or raise the limit (ulimit -Hn)",
			asked, asked*each+spare, b.Name, nofile, fit)
	case asked > 0:
		return asked, nil
	}
	clients := min(DefaultMaxClients, fit)
	if most > 0 {
		clients = min(clients, most)
	}
	if clients < DefaultMaxClients {
		log.Info("fewer clients fit than the default", "max_clients", clients, "backend", b.Name, "nofile", nofile)
	}
	return clients, nil
}
