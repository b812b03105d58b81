package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"

	"chatbench/core/users"
)

// Found is what Check found.
type Found struct {
	Problems   []error  // what keeps the server from starting
	Warnings   []string // what it starts with, and its operator may not have meant
	MaxClients int      // how many clients there may be; 0 if that is among the problems
}

// Check looks for all that would keep a server with these options from starting, as
// whoever runs it, and serves nobody. It loads what the options name, and binds the
// address for a moment. A server that is already there is found too, as an address
// in use.
func Check(ctx context.Context, o Options) (f Found) {
	o.Log = slog.New(slog.DiscardHandler)
	f.Problems = o.problems(ctx)
	f.add(f.limits(o))
	f.add(f.users(o))
	f.add(bind(ctx, o))
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

// limits holds the clients against the file limit.
func (f *Found) limits(o Options) error {
	nofile, err := raiseFileLimit()
	if err == nil {
		f.MaxClients, err = fitClients(o.MaxClients, o.Backend, nofile, o.Log)
	}
	if err == nil && o.MaxClients == 0 && f.MaxClients < DefaultMaxClients {
		f.warn("%d clients at most, not %d: that is what backend %s and a file limit of %d (ulimit -Hn) carry",
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

// bind binds the address and lets it go.
func bind(ctx context.Context, o Options) error {
	host, _, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return nil // among the problems already
	}
	network := "tcp"
	if addr, err := netip.ParseAddr(host); err == nil && addr.Is4() {
		network = "tcp4" // 0.0.0.0 is IPv4 alone
	}
	l, err := new(net.ListenConfig).Listen(ctx, network, o.Listen)
	switch {
	case errors.As(err, new(*net.DNSError)):
		return nil // so is this
	case err != nil:
		return startError(o, err)
	}
	return l.Close()
}
