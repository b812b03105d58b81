package server

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"chatbench/core/units"
)

// Run serves until SIGTERM, SIGINT, the drain command of the control socket or the end of
// ctx. Then it drains, and returns nil. A second signal cuts the remaining connections, a
// third one ends the process. SIGHUP loads users, bans and the certificate again. Run
// returns an error if the server cannot start or its transport ends by itself. If systemd
// has started the process, its state is reported to systemd.
func Run(ctx context.Context, o Options) error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	defer signal.Stop(signals)
	s, err := Start(ctx, o)
	if err != nil {
		return err
	}
	n := newNotifier(s.Addr(), o.Log)
	defer n.close()
	failed := s.printReady()
	if failed == nil {
		n.ready()
		s.notify.Store(n)
		failed = s.serve(ctx, signals)
	}
	before := readRuntime()
	n.stopping()
	s.stopOn(signals)
	if err := s.printStopped(before, failed); failed == nil {
		failed = err
	}
	return failed
}

// serve waits for a reason to stop. It returns an error if that is the end of the transport.
func (s *Server) serve(ctx context.Context, signals <-chan os.Signal) error {
	log := s.opts.Log
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.Done():
			log.Error("the transport has ended by itself", "err", s.Err())
			return s.Err()
		case <-s.drainRequested:
			log.Info("draining", "asked", "control", "at_most", s.opts.Drain)
			return nil
		case sig := <-signals:
			if sig != unix.SIGHUP {
				log.Info("draining", "signal", sig.String(), "at_most", s.opts.Drain)
				return nil
			}
			if _, err := s.Reload(); err != nil {
				log.Error("reload", "err", err)
			}
		}
	}
}

// stopOn stops the server. On another signal it cuts the remaining connections.
func (s *Server) stopOn(signals chan os.Signal) {
	ctx, cut := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case sig := <-signals:
				if sig != unix.SIGHUP {
					signal.Stop(signals) // the next one ends the process
					s.opts.Log.Warn("cutting the remaining connections", "signal", sig.String())
					cut()
				}
			}
		}
	}()
	if err := s.Stop(ctx); err != nil {
		s.opts.Log.Warn("connections had to be cut", "err", err)
	}
	cut()
	<-done
}

func (s *Server) printReady() error {
	if s.opts.JSON {
		return printLine(s.opts.Out, s.listening())
	}
	text := fmt.Sprintf("chatd: %s listening on %s\n", s.opts.Backend.Name, s.Addr())
	if s.opts.tls() {
		text = fmt.Sprintf("chatd: %s listening with TLS on %s\n", s.opts.Backend.Name, s.Addr())
	}
	if s.opts.Open {
		text += "chatd: any password lets in, and only this machine can connect: for others use -users and -tls-cert\n"
	}
	if s.cluster != nil {
		age, octets, replicas := s.cluster.Limits()
		text += fmt.Sprintf("chatd: room %s on several servers, the stream keeps %v and %v in %d copies\n", s.opts.Cluster.Room, age, units.Size(octets), replicas)
	}
	if page := s.Page(); page != "" {
		text += "chatd: page at " + page + "\n"
	}
	if _, err := io.WriteString(s.opts.Out, text); err != nil {
		return fmt.Errorf("server: standard output: %w", err)
	}
	return nil
}

func (s *Server) printStopped(before runtimeStats, failed error) error {
	line := s.stoppedLine(before, failed)
	if s.opts.JSON {
		return printLine(s.opts.Out, line)
	}
	s.opts.Log.Info("stopped", "messages", line.Room.Messages, "logins", line.Room.Logins,
		"accepts", line.Counters.Accepts, "bytes_out", line.Counters.BytesOut)
	return nil
}
