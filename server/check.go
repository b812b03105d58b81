package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/core/users"
	"chatbench/internal/tcp"
	"chatbench/server/cluster"
	"chatbench/server/control"
	"chatbench/server/front"
	"chatbench/server/gate"
	"chatbench/server/history"
)

// Found is the result of Check.
type Found struct {
	Problems   []error  // each keeps the server from starting
	Warnings   []string // settings with which it starts, but that may be mistakes
	MaxClients int      // how many clients there may be; 0 if a problem prevents that from being known
	Listen     string   // where clients would connect
}

// Check finds all that would keep a server with these options from starting, as the current
// user. It loads the files that the options name, connects to the NATS servers, and binds each
// address for a moment, but serves no clients. If such a server is running already, its
// addresses are in use, which is a problem too.
func Check(ctx context.Context, o Options) (f Found) {
	o.Log = slog.New(slog.DiscardHandler)
	o.useSockets()
	f.Listen = o.Listen
	f.Problems = o.problems(ctx)
	if err := o.Backend.Runs(); err != nil {
		f.add(fmt.Errorf("server: backend %s cannot run on this machine: %w", o.Backend.Name, err))
	}
	f.add(f.limits(o))
	f.add(f.users(o))
	f.add(bans(o))
	if o.Control != "" {
		f.add(control.Check(o.Control))
	}
	if o.HistoryFile != "" {
		f.add(history.Check(o.HistoryFile))
	}
	if o.clustered() && cluster.ValidRoom(o.Cluster.Room) {
		joined := o.Cluster
		joined.Log = o.Log
		f.add(cluster.Check(ctx, joined))
	}
	f.add(f.certificate(o))
	f.addresses(ctx, o)
	return f
}

func (f *Found) add(err error) {
	if err != nil {
		f.Problems = append(f.Problems, err)
	}
}

func (f *Found) warn(format string, args ...any) {
	f.Warnings = append(f.Warnings, fmt.Sprintf(format, args...))
}

// limits compares the number of clients with the file limit.
func (f *Found) limits(o Options) error {
	nofile, err := raiseFileLimit()
	if err == nil {
		f.MaxClients, err = fitClients(o.MaxClients, o.Backend, o.loops(), carriedDescriptors(o), nofile, o.Log)
	}
	if err == nil && o.MaxClients == 0 && f.MaxClients < DefaultMaxClients {
		f.warn("at most %d clients, not %d: backend %s and a file limit of %d (ulimit -Hn) allow no more",
			f.MaxClients, DefaultMaxClients, o.Backend.Name, nofile)
	}
	return err
}

// users loads the users file.
func (f *Found) users(o Options) error {
	if o.Users == "" {
		return nil
	}
	known, err := users.Load(o.Users)
	if err == nil && known.Len() == 0 {
		f.warn("%s has no users: nobody can log in, see chatd user", o.Users)
	}
	return err
}

// bans loads the bans file, and checks that it can be replaced.
func bans(o Options) error {
	g, err := gate.New(gate.Config{Bans: o.Bans, Log: o.Log})
	if err != nil {
		return err
	}
	g.Close()
	if o.Bans == "" {
		return nil
	}
	dir := filepath.Dir(o.Bans)
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("server: cannot keep bans in %s: %w: choose another -bans, or let the user of chatd write there", dir, err)
	}
	return nil
}

// certificate loads the certificate and its key.
func (f *Found) certificate(o Options) error {
	if o.TLSCert == "" || o.TLSKey == "" {
		return nil
	}
	c, err := front.LoadCertificate(o.TLSCert, o.TLSKey, o.Log)
	if err != nil {
		return err
	}
	if left := time.Until(c.Expires()); left < front.Expiring {
		f.warn("the certificate %s expires in %d days: renew it", o.TLSCert, left/(24*time.Hour))
	}
	return nil
}

// addresses binds all addresses at the same time, and releases them. Those of passed sockets
// are bound already.
func (f *Found) addresses(ctx context.Context, o Options) {
	for _, a := range []struct {
		flag, address string
		passed        *net.TCPListener
	}{{"-listen", o.Listen, o.Sockets.Chat}, {"-web", o.Web, o.Sockets.Web}, {"-admin", o.Admin, o.Sockets.Admin}} {
		if a.passed != nil {
			continue
		}
		l, err := bind(ctx, a.flag, a.address)
		f.add(err)
		if l != nil {
			defer l.Close()
		}
	}
}

// bind binds an address. It returns nil if there is none, or if it is invalid, which is among
// the problems already.
func bind(ctx context.Context, flag, address string) (net.Listener, error) {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return nil, nil
	}
	l, err := new(net.ListenConfig).Listen(ctx, tcp.Network(address), address)
	switch {
	case errors.As(err, new(*net.DNSError)):
		return nil, nil
	case err == nil:
		return l, nil
	}
	return nil, bindError(flag, address, err)
}
