// Package server composes a chat server: one room, one transport, the TLS front
// and the browser page before it, the gate that decides who comes in, the access
// log, what an operator has to look and act, the ticker that carries the time in,
// the history file, and the end, drained or cut. server/command, the command line
// of chatd, is a wrapper of Run.
//
// It refuses to know any transport by name (it is given one), to serve more
// clients than the file limit allows, and to let passwords cross a network by
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

// endTimeout bounds how long the end waits for each part that depends on others: on a
// disk, on a client of the control socket, on whoever reads the log.
const endTimeout = 2 * time.Second

// tickEvery is the grain of login deadlines, flood control and what is slow.
const tickEvery = 100 * time.Millisecond

// Server is a chat server at work.
type Server struct {
	opts     Options
	nofile   int
	room     *core.Room
	gate     *gate.Gate
	lines    *accesslog.Log
	ops      *operations
	engine   backends.Server
	counters backends.Counters
	notify   atomic.Pointer[notifier] // Run's; nil without
	history  *historyWriter           // nil: nothing is written
	cluster  *cluster.Cluster         // nil: the room is on this server alone

	listeners *listeners

	asked    chan struct{} // an operator wants the server to drain
	draining atomic.Bool
	stop     sync.Once
	stopped  error
	endFor   time.Duration // endTimeout, or less in a test
	givenUp  []string      // parts that did not end in that time
	quit     chan struct{}
	ticker   sync.WaitGroup
	peak     int // goroutines, the ticker's until it has ended
}

// Start checks the options, binds and serves in the background. ctx bounds the
// start only. An error that is a Misuse says that the options cannot be meant.
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
	if o.MaxClients, err = fitClients(o.MaxClients, o.Backend, carriedDescriptors(o), nofile, o.Log); err != nil {
		return nil, err
	}
	if o.MaxPending == 0 {
		o.MaxPending = max(o.MaxClients/4, 64)
	}
	s := &Server{opts: o, nofile: nofile, quit: make(chan struct{}), asked: make(chan struct{}, 1), endFor: endTimeout}
	if err := s.start(); err != nil {
		return nil, err
	}
	return s, nil
}

// start starts the parts, each after those it needs. An error leaves none behind.
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
	s.lines = accesslog.New(accesslog.Config{Log: o.Log, Known: s.gate.Known, RefusedOnly: o.Open})
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
	s.counters.TimeTurns = o.Admin != "" // nobody else is told
	s.engine, err = o.Backend.Start(backends.Config{
		Listen: s.listeners.transport(), Room: s.room, Counters: &s.counters, Log: o.Log, Coalesce: o.Coalesce,
		MaxClients: o.MaxClients, SendBuffer: o.SendBuffer, Backlog: o.Backlog, SpawnAhead: o.SpawnAhead, Linger: o.Linger,
		MaxFrame: o.MaxFrame,
	})
	if err != nil {
		return startError(o, err)
	}
	s.listeners.serve(s.engine.Addr(), s.gate.Banned, s.lines.Refused) // nothing fails from here on
	if file != nil {
		s.history = newHistoryWriter(s.room, file, len(before), o.Log)
	}
	s.ticker.Go(s.tick)
	s.ops.serve(s)
	return nil
}

// newRoom makes the room, joined to those of other servers if there are any.
func (s *Server) newRoom(before []core.Line) (*core.Room, error) {
	o := s.opts
	cfg := core.Config{
		MaxClients: o.MaxClients, MaxPending: o.MaxPending, MaxPerAddress: o.MaxPerAddress,
		MaxFrame: o.MaxFrame, LoginTimeout: o.LoginTimeout, LagLimit: o.LagLimit,
		LagTime: o.LagTime, LagMax: o.LagMax, Flood: o.Flood,
		Announce: o.Announce, AdvertiseClaimed: o.AdvertiseClaimed,
		Preface: s.listeners.preface(), History: o.History, Before: before,
		Authenticator: s.gate, Banned: s.gate.Banned, Observe: s.lines.Observe, Now: time.Now(),
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

// startError is why a transport did not start.
func startError(o Options, err error) error {
	if told := addressError("-listen", o.Listen, err); told != nil {
		return told
	}
	return fmt.Errorf("server: backend %s did not start: %w", o.Backend.Name, err)
}

// bindError is why an address could not be bound.
func bindError(flag, address string, err error) error {
	if told := addressError(flag, address, err); told != nil {
		return told
	}
	return fmt.Errorf("server: %s: %w", flag, err)
}

// addressError says what to do about an address that cannot be had; nil if err is
// about something else.
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

// tick carries the time into the room until the server has stopped.
func (s *Server) tick() {
	t := time.NewTicker(tickEvery)
	defer t.Stop()
	for {
		select {
		case now := <-t.C:
			s.room.Tick(now)
			s.peak = max(s.peak, runtime.NumGoroutine())
			s.notify.Load().tick(now, func() int { return s.room.Snapshot().Clients })
		case <-s.quit:
			return
		}
	}
}

// Addr is where clients connect that speak the protocol, with TLS if there is a
// certificate.
func (s *Server) Addr() netip.AddrPort {
	if addr, isFront := s.listeners.addr(); isFront {
		return addr
	}
	return s.engine.Addr()
}

// Page is where browsers find the page, "" if there is none.
func (s *Server) Page() string { return s.listeners.url() }

// Snapshot is what the room has counted.
func (s *Server) Snapshot() core.Stats { return s.room.Snapshot() }

// Reload reads the users, the bans and the certificate again; what is bad is an error
// and stays as it was. Whoever was removed, has another password now or is banned is
// told so and has to go.
func (s *Server) Reload() (ended int, err error) {
	defer s.notify.Load().reloading()()
	if s.opts.Users == "" && s.opts.Bans == "" && s.listeners.cert == nil {
		return 0, errors.New("server: there is nothing to load again: no users, no bans, no certificate")
	}
	expelled, err := s.gate.Reload()
	for _, x := range expelled {
		ended += s.room.Kick(x.Who, x.Why)
	}
	if ended > 0 {
		s.opts.Log.Info("ended for what was loaded", "sessions", ended)
	}
	if s.listeners.cert != nil {
		if bad := s.listeners.cert.Reload(); bad != nil {
			err = errors.Join(err, fmt.Errorf("server: the certificate stays as it was: %w", bad))
		}
	}
	return ended, err
}

// Done is closed when the transport has ended, by Stop or by itself.
func (s *Server) Done() <-chan struct{} { return s.engine.Done() }

// Err is why the transport ended by itself, if it did. Valid after Done.
func (s *Server) Err() error {
	if err := s.engine.Err(); err != nil {
		return fmt.Errorf("server: backend %s ended by itself: %w", s.opts.Backend.Name, err)
	}
	return fmt.Errorf("server: backend %s ended by itself", s.opts.Backend.Name)
}

// Stop sends everybody what was said before and a Close, and returns when all
// connections have ended and nothing is left behind. Those who take longer
// than Options.Drain, or than ctx lasts, are cut, and it returns ctx's error.
// What is stuck then, as the history's disk, is given up after 2 s, and the log
// and the last line say so. Later calls return the same.
func (s *Server) Stop(ctx context.Context) error {
	s.stop.Do(func() {
		ctx, cancel := context.WithTimeout(ctx, s.opts.Drain)
		defer cancel()
		s.draining.Store(true)
		s.listeners.stopAccepting()
		s.room.Drain()
		s.stopped = s.engine.Shutdown(ctx)
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

// closeGate ends what decides and tells of logins, when nobody comes any more.
func (s *Server) closeGate() {
	s.gate.Close()
	s.finish("access log", s.lines.Close)
}

// finish ends a part, but waits for it no longer than endFor. The log is told on a
// goroutine of its own, for it may be what is stuck.
func (s *Server) finish(part string, end func()) {
	done := make(chan struct{})
	go func() { defer close(done); end() }()
	late := time.NewTimer(s.endFor)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
		s.givenUp = append(s.givenUp, part)
		go s.opts.Log.Warn("the end does not wait for what is stuck", "part", part, "waited", s.endFor)
	}
}
