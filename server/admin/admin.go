// Package admin shows what goes on inside a running chatd, over HTTP on a listener of
// its own:
//
//	/metrics       for Prometheus
//	/healthz       200 while the room answers, 503 if it does not within 2 s
//	/readyz        200 while clients are let in, 503 while the server drains, or is cut off from the others of its room
//	/              a page that shows the same, live
//	/live          what the page is sent: server-sent events, one a second
//	/debug/pprof/  profiles of the process, if they are asked for
//
// It refuses to change anything, and to know any client: it reads counters through
// the interfaces of Sources, names nobody, and has no password. So it belongs on a
// loopback address; there it answers only requests for one, so that no page of
// another site reads it through a name of its own. At most 64 connections are open
// and 16 pages watched at once.
//
// Any goroutine may call the methods of a Server.
package admin

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"chatbench/server/web"
)

//go:embed page
var page embed.FS

const (
	mostConns    = 64
	mostWatchers = 16
	mostScrapes  = 4 // at once
	everySecond  = time.Second
	patience     = 10 * time.Second // for a request, and for an event to be taken
	roomPatience = 2 * time.Second  // for the room, when it is asked whether it is well
	idleTimeout  = 2 * time.Minute
	headerMost   = 16 << 10
)

// policy allows the page what it needs, all from here.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Config is what a Server is made of.
type Config struct {
	Listener net.Listener // Serve closes it
	Sources  Sources
	Profiles bool // serve /debug/pprof/
	Log      *slog.Logger
}

// Server serves. Make it with New.
type Server struct {
	cfg      Config
	http     http.Server
	conns    atomic.Int64
	watchers atomic.Int64

	mu      sync.Mutex
	answers chan struct{} // guarded by mu: closed when the room has answered who asks now; nil: nobody does
}

// New makes a server. Serve lets it work.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg}
	files, err := fs.Sub(page, "page")
	if err != nil {
		panic(err) // it is embedded
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(files))
	mux.Handle("GET /metrics", promhttp.HandlerFor(NewRegistry(cfg.Sources), promhttp.HandlerOpts{
		MaxRequestsInFlight: mostScrapes, Timeout: patience, ErrorLog: slog.NewLogLogger(cfg.Log.Handler(), slog.LevelWarn),
	}))
	mux.HandleFunc("GET /healthz", s.healthy)
	mux.HandleFunc("GET /readyz", s.ready)
	mux.HandleFunc("GET /live", s.live)
	if cfg.Profiles {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	s.http = http.Server{
		Handler: s.guard(mux), ReadHeaderTimeout: patience, ReadTimeout: patience, IdleTimeout: idleTimeout, MaxHeaderBytes: headerMost,
		ConnState: s.count, ErrorLog: slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug),
	}
	return s
}

// Addr is where it listens.
func (s *Server) Addr() netip.AddrPort { return s.cfg.Listener.Addr().(*net.TCPAddr).AddrPort() }

// Serve takes requests until Close. The error says why it could not go on.
func (s *Server) Serve() error {
	if err := s.http.Serve(s.cfg.Listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin: %w", err)
	}
	return nil
}

// Close ends all connections.
func (s *Server) Close() { s.http.Close() }

// count closes connections that are too many.
func (s *Server) count(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if s.conns.Add(1) > mostConns {
			c.Close()
		}
	case http.StateClosed, http.StateHijacked:
		s.conns.Add(-1)
	}
}

// guard answers those who mean this server, and says what its pages may do.
func (s *Server) guard(next http.Handler) http.Handler {
	own := s.Addr().Addr().Unmap().IsLoopback()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if own && !web.LoopbackHost(r.Host) {
			http.Error(w, "ask for 127.0.0.1 or localhost", http.StatusForbidden)
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// healthy says whether the room answers. Nobody is served while its lock cannot be had.
func (s *Server) healthy(w http.ResponseWriter, r *http.Request) {
	late := time.NewTimer(roomPatience)
	defer late.Stop()
	select {
	case <-s.askRoom():
		fmt.Fprintln(w, "ok")
	case <-late.C:
		http.Error(w, "the room does not answer", http.StatusServiceUnavailable)
	case <-r.Context().Done():
	}
}

// askRoom gives a channel that is closed when the room has answered. One goroutine at a
// time asks: if the room is stuck for good, those who come again and again do not pile up.
func (s *Server) askRoom() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answers == nil {
		answers := make(chan struct{})
		s.answers = answers
		go func() {
			s.cfg.Sources.Room.Snapshot()
			s.mu.Lock()
			defer s.mu.Unlock()
			s.answers = nil
			close(answers)
		}()
	}
	return s.answers
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	if s.cfg.Sources.Draining() {
		http.Error(w, "draining", http.StatusServiceUnavailable)
		return
	}
	if c := s.cfg.Sources.Cluster; c != nil {
		if st := c.Stats(); st.Lost {
			http.Error(w, "cut off from the other servers of the room, so logins are denied; connection to NATS: "+st.NATS, http.StatusServiceUnavailable)
			return
		}
	}
	fmt.Fprintln(w, "ready")
}

// live sends what the page shows, every second.
func (s *Server) live(w http.ResponseWriter, r *http.Request) {
	if s.watchers.Add(1) > mostWatchers {
		s.watchers.Add(-1)
		http.Error(w, "too many watch", http.StatusServiceUnavailable)
		return
	}
	defer s.watchers.Add(-1)
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	tick := time.NewTicker(everySecond)
	defer tick.Stop()
	for {
		text, err := json.Marshal(s.cfg.Sources.read())
		if err != nil {
			panic("admin: " + err.Error()) // nothing in it can fail
		}
		out.SetWriteDeadline(time.Now().Add(patience))
		if _, err := fmt.Fprintf(w, "data: %s\n\n", text); err != nil {
			return
		}
		if out.Flush() != nil {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}

// Check asks the chatd whose Server listens at addr whether it is well. An addr
// without a host, or with one that means all, is this machine.
func Check(ctx context.Context, addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("admin: %q is no HOST:PORT, such as 127.0.0.1:9100", addr)
	}
	if addr, err := netip.ParseAddr(host); host == "" || err == nil && addr.IsUnspecified() {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/healthz", nil)
	if err != nil {
		return fmt.Errorf("admin: %w", err)
	}
	answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(ask) // no proxy, no redirect
	if err != nil {
		return fmt.Errorf("admin: no chatd is well at %s: %w", addr, err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("admin: %s answers %s", addr, answer.Status)
	}
	return nil
}
