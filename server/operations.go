package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"chatbench/core"
	"chatbench/core/wire"
	"chatbench/internal/tcp"
	"chatbench/server/admin"
	"chatbench/server/cluster"
	"chatbench/server/control"
	"chatbench/server/gate"
)

// Operations configures how an operator, besides signals, can inspect and control a running
// server.
type Operations struct {
	Bans    string // path of the bans file; "": bans end with the process
	Control string // path of the control socket; "": none
	Admin   string // TCP address of metrics, health and the live page; "": none
	// AdminExposed allows Admin to be an address that others can reach, though it has no
	// password and no encryption.
	AdminExposed  bool
	AdminProfiles bool // serve profiles of the process there
}

// check refuses invalid options.
func (o *Operations) check(ctx context.Context) error {
	switch {
	case o.Admin == "" && o.AdminExposed:
		return misuse("-admin-exposed needs -admin HOST:PORT: add that, or leave it out")
	case o.Admin == "" && o.AdminProfiles:
		return misuse("-admin-pprof needs -admin HOST:PORT: add that, or leave it out")
	case o.Admin == "" || o.AdminExposed:
		return nil
	}
	host, port, err := net.SplitHostPort(o.Admin)
	if err != nil || port == "" {
		return misuse("-admin %q is no HOST:PORT, such as 127.0.0.1:9100", o.Admin)
	}
	local, err := onlyLoopback(ctx, host)
	switch {
	case err != nil:
		return misuse("-admin %s: %q is no address of this machine: %v", o.Admin, host, err)
	case !local:
		return misuse("-admin would show the state of the server to everybody on the network at %s: use 127.0.0.1, or allow it with -admin-exposed", o.Admin)
	}
	return nil
}

// operations is the control socket and the admin listener of a server.
type operations struct {
	log     *slog.Logger
	opts    Operations
	control *control.Server // nil: none
	web     net.Listener    // nil: none
	admin   *admin.Server   // once it serves
	work    sync.WaitGroup
}

// listenOperations binds the control socket and the admin listener, if they are configured,
// before the server starts. Afterwards serve or abandon must be called.
func listenOperations(o Options) (*operations, error) {
	ops := &operations{log: o.Log, opts: o.Operations}
	var err error
	if o.Control != "" {
		if ops.control, err = control.Listen(o.Control, o.Log); err != nil {
			return nil, err
		}
	}
	if o.Admin != "" {
		if ops.web, err = listenAdmin(o); err != nil {
			ops.abandon()
			return nil, err
		}
	}
	return ops, nil
}

// listenAdmin listens on the address Admin, or on the socket that was passed for it.
func listenAdmin(o Options) (net.Listener, error) {
	if o.Sockets.Admin != nil {
		o.Log.Info("using a passed socket instead of -admin", "addr", o.Admin)
		return o.Sockets.Admin, nil
	}
	l, err := net.Listen(tcp.Network(o.Admin), o.Admin)
	if err != nil {
		return nil, bindError("-admin", o.Admin, err)
	}
	return l, nil
}

// abandon closes what listenOperations has bound, if serve was not called.
func (ops *operations) abandon() {
	if ops.control != nil {
		ops.control.Close()
	}
	if ops.web != nil {
		ops.web.Close()
	}
}

// serve serves requests about s.
func (ops *operations) serve(s *Server) {
	if ops.control != nil {
		ops.work.Go(func() { ops.control.Serve(operator{s}) })
	}
	if ops.web == nil {
		return
	}
	ops.admin = admin.New(admin.Config{Listener: ops.web, Sources: s.sources(), Profiles: ops.opts.AdminProfiles, Log: ops.log})
	ops.log.Info("admin listening", "addr", ops.admin.Addr())
	ops.work.Go(func() {
		if err := ops.admin.Serve(); err != nil {
			ops.log.Error("the admin listener has ended by itself", "err", err)
		}
	})
}

// close ends both. It returns when the requests that have come are answered.
func (ops *operations) close() {
	if ops.control != nil {
		ops.control.Close()
	}
	if ops.admin != nil {
		ops.admin.Close()
	}
	ops.work.Wait()
}

// sources is the parts of the server that the admin listener shows.
func (s *Server) sources() admin.Sources {
	from := admin.Sources{
		Backend: s.opts.Backend.Name, MaxClients: s.opts.MaxClients,
		Room: s.room, Transport: &s.counters, Gate: s.gate, Lines: s.accessLog, Draining: s.draining.Load,
		Carrier: s.listeners.carrier,
	}
	if s.listeners.cert != nil {
		from.Certificate = s.listeners.cert
	}
	if s.listeners.front != nil {
		from.Front = &s.listeners.front.Counters
	}
	if s.listeners.web != nil {
		from.Web = &s.listeners.web.Counters
	}
	if s.cluster != nil {
		from.Cluster = s.cluster
	}
	return from
}

// operator implements control.Operator.
type operator struct{ *Server }

var _ control.Operator = operator{}

func (o operator) Users() []core.User { return o.room.Users() }

func (o operator) Bans() []gate.Ban { return o.gate.Bans() }

func (o operator) Known(b gate.Ban) bool { return o.gate.KnownBan(b) }

func (o operator) Unban(target string) error { return o.gate.Unban(target) }

// Kick ends the session of a name. It is an error if there is none.
func (o operator) Kick(name string) (ended int, err error) {
	_, folded, err := core.CheckName(name)
	if err != nil {
		return 0, fmt.Errorf("%q is not a name: %w", name, err)
	}
	ended = o.room.Kick(func(u core.User) bool { return u.Folded == folded }, wire.Kicked)
	if ended == 0 {
		return 0, fmt.Errorf("nobody called %s is in the room: chatd ctl who lists them", name)
	}
	return ended, nil
}

// Ban bans a target, and ends the sessions of users who are banned by that.
func (o operator) Ban(target string, d time.Duration) (gate.Ban, int, error) {
	ban, err := o.gate.Ban(target, d)
	if err != nil && !errors.As(err, new(gate.NotSaved)) {
		return ban, 0, err
	}
	return ban, o.room.Kick(ban.Expels, wire.Banned), err
}

func (o operator) Say(text string) int {
	o.room.Tell(text)
	return o.room.Snapshot().Granted
}

// Drain makes Run end the server. Further calls do nothing.
func (o operator) Drain() {
	select {
	case o.drainRequested <- struct{}{}:
	default:
	}
}

// operatorStats is the output of "chatd ctl stats".
type operatorStats struct {
	Backend   string               `json:"backend"`
	Draining  bool                 `json:"draining"`
	Room      core.Stats           `json:"room"`
	Backlog   core.Backlog         `json:"backlog"`
	Logins    gate.Stats           `json:"logins"`
	Transport admin.TransportStats `json:"transport"`
	// Cluster is absent if the room is only on this server.
	Cluster *cluster.Stats `json:"cluster,omitempty"`
}

func (o operator) Stats() any {
	stats := operatorStats{
		Backend: o.opts.Backend.Name, Draining: o.draining.Load(), Room: o.Snapshot(), Backlog: o.room.Backlog(),
		Logins: o.gate.Stats(), Transport: admin.ReadTransport(&o.counters),
	}
	if o.cluster != nil {
		joined := o.cluster.Stats()
		stats.Cluster = &joined
	}
	return stats
}
