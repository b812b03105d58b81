// Package server composes a chat server: one room, one transport, the TLS front
// and the browser page before it, the gate that decides who may log in, the access
// log, the control socket and the admin listener, the ticker that tells the room the
// time, the history file, and the end of the server. server/command, the command line
// of chatd, calls Run.
//
// It knows no transport by name (it is given one). It refuses to serve more clients
// than the file limit allows, and to let passwords cross a network unencrypted by
// accident.
//
// Any goroutine may call the methods of a Server. Run takes over the signals
// of the process: call it once, from main or a process of a test's own.
package server

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/core"
	"chatbench/server/accesslog"
	"chatbench/server/cluster"
	"chatbench/server/gate"
	"chatbench/server/history"
)

// endTimeout bounds how long Stop waits for each part that depends on something outside:
// on a disk, on a client of the control socket, on the reader of the log.
const endTimeout = 2 * time.Second

// tickEvery is the resolution of login deadlines, flood control and the detection of slow
// clients.
const tickEvery = 100 * time.Millisecond

// Server is a running chat server.
type Server struct {
	opts      Options
	nofile    int
	room      *core.Room
	gate      *gate.Gate
	accessLog *accesslog.Log
	ops       *operations
	transport backends.Server
	counters  backends.Counters
	notify    atomic.Pointer[notifier] // set by Run
	history   *historyWriter           // nil: there is no history file
	cluster   *cluster.Cluster         // nil: the room is only on this server

	listeners *listeners

	drainRequested chan struct{} // by the control socket
	draining       atomic.Bool
	stop           sync.Once
	stopped        error
	endTimeout     time.Duration // the constant, or less in a test
	givenUp        []string      // parts that did not end in that time
	quit           chan struct{}
	ticker         sync.WaitGroup
	peakGoroutines int // belongs to the ticker until that has ended
}

// Start checks the options, binds the addresses and serves in the background. ctx is
// only for the start. An error that is a Misuse is one in the options.
func Start(ctx context.Context, o Options) (_ *Server, err error) {
	defer func() {
		if err != nil {
			o.Sockets.close()
		}
	}()
	o.useSockets()
	if err := o.check(ctx); err != nil {
		return nil, err
	}
	nofile, err := raiseFileLimit()
	if err != nil {
		return nil, err
	}
	if o.MaxClients, err = fitClients(o.MaxClients, o.Backend, o.loops(), carriedDescriptors(o), nofile, o.Log); err != nil {
		return nil, err
	}
	if o.MaxPending == 0 {
		o.MaxPending = max(o.MaxClients/4, 64)
	}
	s := &Server{opts: o, nofile: nofile, quit: make(chan struct{}), drainRequested: make(chan struct{}, 1), endTimeout: endTimeout}
	if err := s.start(); err != nil {
		return nil, err
	}
	return s, nil
}

// start starts the parts, each after those that it needs. If it fails, none is left running.
func (s *Server) start() (err error) {
	o := s.opts
	var undo []func()
	defer func() {
		for _, do := range slices.Backward(undo) {
			if err != nil {
				do()
			}
		}
	}()
	if s.ops, err = listenOperations(o); err != nil {
		return err
	}
	undo = append(undo, s.ops.abandon)
	if s.gate, err = gate.New(gate.Config{Users: o.Users, Bans: o.Bans, Throttle: o.LoginThrottle, Log: o.Log}); err != nil {
		return err
	}
	s.accessLog = accesslog.New(accesslog.Config{Log: o.Log, Known: s.gate.Known, RefusedOnly: o.Open})
	undo = append(undo, s.closeGate)
	if s.listeners, err = newListeners(o); err != nil {
		return err
	}
	undo = append(undo, s.listeners.close)
	var file *history.File
	var before []core.Line
	if o.HistoryFile != "" {
		if file, before, err = openHistory(o); err != nil {
			return err
		}
		undo = append(undo, func() { file.Close() })
	}
	if s.room, err = s.newRoom(before); err != nil {
		return err
	}
	if s.cluster != nil {
		undo = append(undo, s.cluster.Close)
	}
	s.counters.TimeTurns = o.Admin != "" // only the metrics show them
	s.transport, err = o.Backend.Start(backends.Config{
		Listen: s.listeners.transport(), Room: s.room, Counters: &s.counters, Log: o.Log,
		MaxClients: o.MaxClients, SendBuffer: o.SendBuffer, Backlog: o.Backlog, SpawnAhead: o.SpawnAhead, Loops: o.Loops, Linger: o.Linger,
		MaxFrame: o.MaxFrame, Coalesce: o.Coalesce,
	})
	if err != nil {
		return startError(o, err)
	}
	s.listeners.serve(s.transport.Addr(), s.gate.Banned, s.accessLog.Refused) // no errors from here on
	if file != nil {
		s.history = newHistoryWriter(s.room, file, len(before), o.Log)
	}
	s.ticker.Go(s.tick)
	s.ops.serve(s)
	return nil
}

// newRoom makes the room, and joins it with those of other servers if there are any.
func (s *Server) newRoom(before []core.Line) (*core.Room, error) {
	o := s.opts
	cfg := core.Config{
		MaxClients: o.MaxClients, MaxPending: o.MaxPending, MaxPerAddress: o.MaxPerAddress,
		MaxFrame: o.MaxFrame, LoginTimeout: o.LoginTimeout, LagLimit: o.LagLimit,
		LagTime: o.LagTime, LagMax: o.LagMax, Flood: o.Flood,
		Announce: o.Announce, AdvertiseClaimed: o.AdvertiseClaimed,
		Preface: s.listeners.preface(), History: o.History, Before: before,
		Authenticator: s.gate, Banned: s.gate.Banned, Observe: s.accessLog.Observe, Now: time.Now(),
	}
	if !o.clustered() {
		return core.NewRoom(cfg), nil
	}
	joined := o.Cluster
	joined.Log, joined.History, joined.Entering = o.Log, o.History, s.gate.Entering
	var err error
	if s.cluster, err = cluster.Open(context.Background(), joined); err != nil {
		return nil, err
	}
	cfg.Cluster, cfg.Node = s.cluster, s.cluster.Node()
	room := core.NewRoom(cfg)
	if err := s.cluster.Start(context.Background(), room); err != nil {
		return nil, err
	}
	age, octets, replicas := s.cluster.Limits()
	o.Log.Info("the room is on several servers", "room", joined.Room, "server", s.cluster.Node(),
		"stream_age", age, "stream_octets", octets, "replicas", replicas)
	return room, nil
}

// startError explains why a transport did not start.
func startError(o Options, err error) error {
	if explained := addressError("-listen", o.Listen, err); explained != nil {
		return explained
	}
	return fmt.Errorf("server: backend %s did not start: %w", o.Backend.Name, err)
}

// bindError explains why an address could not be bound.
func bindError(flag, address string, err error) error {
	if explained := addressError(flag, address, err); explained != nil {
		return explained
	}
	return fmt.Errorf("server: %s: %w", flag, err)
}

// addressError says what to do about an address that cannot be bound; nil if err has
// another cause.
func addressError(flag, address string, err error) error {
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("server: %s is in use: stop what listens there, or choose another %s", address, flag)
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return fmt.Errorf("server: %s is no address of this machine: choose another %s", address, flag)
	case errors.Is(err, unix.EACCES):
		return fmt.Errorf("server: %s needs privilege: choose a port from 1024 on for %s", address, flag)
	}
	return nil
}

// tick tells the room the time until the server has stopped.
func (s *Server) tick() {
	t := time.NewTicker(tickEvery)
	defer t.Stop()
	for {
		select {
		case now := <-t.C:
			s.room.Tick(now)
			s.peakGoroutines = max(s.peakGoroutines, runtime.NumGoroutine())
			s.notify.Load().tick(now, func() int { return s.room.Snapshot().Clients })
		case <-s.quit:
			return
		}
	}
}

// Addr is the address to which clients connect, with TLS if there is a certificate.
func (s *Server) Addr() netip.AddrPort {
	if addr, isFront := s.listeners.addr(); isFront {
		return addr
	}
	return s.transport.Addr()
}

// Page is the URL of the page, "" if there is none.
func (s *Server) Page() string { return s.listeners.url() }

// Snapshot returns the counters of the room.
func (s *Server) Snapshot() core.Stats { return s.room.Snapshot() }

// Reload reads the users, the bans and the certificate again. If a file is bad, that is an
// error, and its old content stays in use. Users who were removed, have another password now
// or are banned are told so, and their sessions end.
func (s *Server) Reload() (ended int, err error) {
	defer s.notify.Load().reloading()()
	if s.opts.Users == "" && s.opts.Bans == "" && s.listeners.cert == nil {
		return 0, errors.New("server: nothing to reload: the server has no users file, no bans file and no certificate")
	}
	expelled, err := s.gate.Reload()
	for _, x := range expelled {
		ended += s.room.Kick(x.Who, x.Why)
	}
	if ended > 0 {
		s.opts.Log.Info("ended sessions after the reload", "sessions", ended)
	}
	if s.listeners.cert != nil {
		if bad := s.listeners.cert.Reload(); bad != nil {
			err = errors.Join(err, fmt.Errorf("server: the certificate stays as it was: %w", bad))
		}
	}
	return ended, err
}

// Done is closed when the transport has ended, by Stop or by itself.
func (s *Server) Done() <-chan struct{} { return s.transport.Done() }

// Err is why the transport ended by itself, if it did. Valid after Done.
func (s *Server) Err() error {
	if err := s.transport.Err(); err != nil {
		return fmt.Errorf("server: backend %s ended by itself: %w", s.opts.Backend.Name, err)
	}
	return fmt.Errorf("server: backend %s ended by itself", s.opts.Backend.Name)
}

// Stop sends all clients what was said before and a Close, and returns when all
// connections and parts of the server have ended. Connections that last longer than
// Options.Drain, or than ctx, are cut, and Stop returns ctx's error. For parts that do
// not end, because of the disk of the history for example, it waits 2 s; the log and the
// last line name them. Later calls return the same.
func (s *Server) Stop(ctx context.Context) error {
	s.stop.Do(func() {
		ctx, cancel := context.WithTimeout(ctx, s.opts.Drain)
		defer cancel()
		s.draining.Store(true)
		s.listeners.stopAccepting()
		s.room.Drain()
		s.stopped = s.transport.Shutdown(ctx)
		if err := s.listeners.shutdown(ctx); s.stopped == nil {
			s.stopped = err
		}
		if s.cluster != nil {
			s.finish("other servers", s.cluster.Close)
		}
		close(s.quit)
		s.ticker.Wait()
		if s.history != nil {
			s.finish("history file", s.history.close)
		}
		s.finish("control socket", s.ops.close)
		s.closeGate()
	})
	return s.stopped
}

// closeGate ends the gate and the access log, when there are no more clients.
func (s *Server) closeGate() {
	s.gate.Close()
	s.finish("access log", s.accessLog.Close)
}

// finish ends a part, but waits for it no longer than endTimeout. It logs on a goroutine of
// its own, because it may be the log that blocks.
func (s *Server) finish(part string, end func()) {
	done := make(chan struct{})
	go func() { defer close(done); end() }()
	late := time.NewTimer(s.endTimeout)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
		s.givenUp = append(s.givenUp, part)
		go s.opts.Log.Warn("a part has not ended, and the server does not wait for it", "part", part, "waited", s.endTimeout)
	}
}
