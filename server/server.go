// Package server composes a chat server: one room, one transport, the gate
// that hashes passwords, the access log, what an operator has to look and act, the
// ticker that carries the time in, and the end, drained or cut. server/command, the
// command line of chatd, is a wrapper of Run.
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
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/core"
	"chatbench/server/accesslog"
	"chatbench/server/gate"
)

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

	asked    chan struct{} // an operator wants the server to drain
	draining atomic.Bool
	stop     sync.Once
	stopped  error
	quit     chan struct{}
	ticker   sync.WaitGroup
	peak     int // goroutines, the ticker's until it has ended
}

// Start checks the options, binds and serves in the background. ctx bounds the
// start only. An error that is a Misuse says that the options cannot be meant.
func Start(ctx context.Context, o Options) (*Server, error) {
	if err := o.check(ctx); err != nil {
		return nil, err
	}
	nofile, err := raiseFileLimit()
	if err != nil {
		return nil, err
	}
	if o.MaxClients, err = fitClients(o.MaxClients, o.Backend, nofile, o.Log); err != nil {
		return nil, err
	}
	if o.MaxPending == 0 {
		o.MaxPending = max(o.MaxClients/4, 64)
	}
	s := &Server{opts: o, nofile: nofile, quit: make(chan struct{}), asked: make(chan struct{}, 1)}
	if s.ops, err = listenOperations(o); err != nil {
		return nil, err
	}
	if s.gate, err = gate.New(gate.Config{Users: o.Users, Bans: o.Bans, Throttle: o.LoginThrottle, Log: o.Log}); err != nil {
		s.ops.abandon()
		return nil, err
	}
	s.lines = accesslog.New(accesslog.Config{Log: o.Log, Known: s.gate.Known, RefusedOnly: o.Open})
	s.room = newRoom(o, s.gate, s.lines)
	s.engine, err = o.Backend.Start(backends.Config{
		Listen: o.Listen, Room: s.room, Counters: &s.counters, Log: o.Log,
		MaxClients: o.MaxClients, SendBuffer: o.SendBuffer, Backlog: o.Backlog, SpawnAhead: o.SpawnAhead, Linger: o.Linger,
		MaxFrame: o.MaxFrame,
	})
	if err != nil {
		s.ops.abandon()
		s.closeGate()
		return nil, startError(o, err)
	}
	s.ticker.Go(s.tick)
	s.ops.serve(s)
	return s, nil
}

func newRoom(o Options, door *gate.Gate, lines *accesslog.Log) *core.Room {
	return core.NewRoom(core.Config{
		MaxClients: o.MaxClients, MaxPending: o.MaxPending, MaxPerAddress: o.MaxPerAddress,
		MaxFrame: o.MaxFrame, LoginTimeout: o.LoginTimeout, LagLimit: o.LagLimit,
		LagTime: o.LagTime, LagMax: o.LagMax, Flood: o.Flood,
		Announce: o.Announce, AdvertiseClaimed: o.AdvertiseClaimed,
		Authenticator: door, Banned: door.Banned, Observe: lines.Observe, Now: time.Now(),
	})
}

// startError says what to do about an address that cannot be had.
func startError(o Options, err error) error {
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("server: %s is in use: stop what listens there, or choose another -listen", o.Listen)
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return fmt.Errorf("server: %s is no address of this machine: choose another -listen", o.Listen)
	case errors.Is(err, unix.EACCES):
		return fmt.Errorf("server: %s needs privilege: choose a port from 1024 on", o.Listen)
	}
	return fmt.Errorf("server: backend %s did not start: %w", o.Backend.Name, err)
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
		case <-s.quit:
			return
		}
	}
}

// Addr is where it listens.
func (s *Server) Addr() netip.AddrPort { return s.engine.Addr() }

// Snapshot is what the room has counted.
func (s *Server) Snapshot() core.Stats { return s.room.Snapshot() }

// Reload reads the users file and the bans file again; a bad one is an error and
// changes nothing. Whoever was removed, has another password now or is banned is
// told so and has to go.
func (s *Server) Reload() (ended int, err error) {
	if s.opts.Users == "" && s.opts.Bans == "" {
		return 0, errors.New("server: there is nothing to load again, neither users nor bans")
	}
	expelled, err := s.gate.Reload()
	for _, x := range expelled {
		ended += s.room.Kick(x.Who, x.Why)
	}
	if err == nil && ended > 0 {
		s.opts.Log.Info("ended for what was loaded", "sessions", ended)
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
// Later calls return the same.
func (s *Server) Stop(ctx context.Context) error {
	s.stop.Do(func() {
		ctx, cancel := context.WithTimeout(ctx, s.opts.Drain)
		defer cancel()
		s.draining.Store(true)
		s.room.Drain()
		s.stopped = s.engine.Shutdown(ctx)
		close(s.quit)
		s.ticker.Wait()
		s.ops.close()
		s.closeGate()
	})
	return s.stopped
}

// closeGate ends what decides and tells of logins, when nobody comes any more.
func (s *Server) closeGate() {
	s.gate.Close()
	s.lines.Close()
}
