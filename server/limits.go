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
// fit where nothing was asked for. Each client costs so many descriptors more than
// the transport's.
func fitClients(asked int, b backends.Backend, more, nofile int, log *slog.Logger) (int, error) {
	own := max(b.FDsPerClient, 1)
	each, spare, most := own+more, spareDescriptors, b.MaxClients
	if more > 0 {
		spare *= 2 // those turned away have connections to the transport too
		if b.PerClient == "" {
			most = most * own / each // a bound that is not of threads or processes is one of descriptors
		}
	}
	fit := max((nofile-spare)/each, 0)
	switch {
	case asked > 0 && most > 0 && asked > most:
		return 0, misuse("-max-clients %d: backend %s carries at most %d: lower it or choose another backend",
			asked, b.Name, most)
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
	if clients < 1 {
		return 0, fmt.Errorf("server: a file limit of %d leaves no room for clients: raise it (ulimit -Hn)", nofile)
	}
	if clients < DefaultMaxClients {
		log.Info("fewer clients fit than the default", "max_clients", clients, "backend", b.Name, "nofile", nofile)
	}
	return clients, nil
}
