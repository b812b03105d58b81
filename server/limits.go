package server

import (
	"fmt"
	"log/slog"

	"golang.org/x/sys/unix"

	"chatbench/backends"
)

// spareDescriptors is what the process needs beside its clients: the listener,
// the transport's own, files being read, and the connections of clients that
// have been turned away and are still saying goodbye.
const spareDescriptors = 64

// loopDescriptors is what each event loop beyond the first needs: a listener and one in
// reserve, what it waits with, and what wakes it.
const loopDescriptors = 4

// loops is how many event loops the transport has, as far as that can be told.
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

// carriedDescriptors is how many descriptors a client of the front or of the browser
// page costs beside the transport's: its own connection, and the one to the transport.
// If there are both, browsers that have loaded the page and do not talk count as well.
func carriedDescriptors(o Options) int {
	switch {
	case o.fronted() && o.Web != "":
		return 3
	case o.fronted() || o.Web != "":
		return 2
	}
	return 0
}

// fitClients settles how many clients there may be: what was asked for, if the
// transport and the file limit can carry it, or else an error; and as many as
// fit where nothing was asked for. There are so many event loops, and each client costs so
// many descriptors more than the transport's.
func fitClients(asked int, b backends.Backend, loops, more, nofile int, log *slog.Logger) (int, error) {
	own := max(b.FDsPerClient, 1)
	each, spare, most := own+more, spareDescriptors+loopDescriptors*(loops-1), b.MaxClients
	if more > 0 {
		spare += spareDescriptors // those turned away have connections to the transport too
		if b.PerClient == "" {
			most = most * own / each // a bound that is not of threads or processes is one of descriptors
		}
	}
	fit := max((nofile-spare)/each, 0)
	switch {
	case asked > 0 && most > 0 && asked > most:
		return 0, misuse("-max-clients %d: backend %s carries at most %d: lower it or choose another backend",
			asked, b.Name, most)
	case fit == 0 && nofile-spare+loopDescriptors*(loops-1) >= each: // with one loop some would fit
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
