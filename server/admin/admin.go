// Package admin shows the state of a running chatd, over HTTP on a listener of its own:
//
//	/metrics       for Prometheus
//	/healthz       200 while the room answers, 503 if it does not within 2 s
//	/readyz        200 while clients are let in, 503 while the server drains, or is cut off from the others of its room
//	/              a page that shows the same, live
//	/live          the data of the page: server-sent events, one a second
//	/debug/pprof/  profiles of the process, if they are enabled
//
// It changes nothing and knows no client: it reads counters through the interfaces of
// Sources. It shows no names, and has no password. So it belongs on a loopback address.
// There it answers only requests whose Host is one too, so that pages of other sites
// cannot read it (DNS rebinding). It has at most 64 connections, and 16 for /live.
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
	maxConns       = 64
	maxWatchers    = 16 // requests for /live at once
	maxScrapes     = 4  // at once
	liveInterval   = time.Second
	requestTimeout = 10 * time.Second // to send a request, and to receive an event
	roomTimeout    = 2 * time.Second  // of /healthz, for the answer of the room
	idleTimeout    = 2 * time.Minute
	maxHeader      = 16 << 10
)

// Config configures a Server.
type Config struct {
	Listener net.Listener // Serve closes it
	Sources  Sources
	Profiles bool // serve /debug/pprof/
	Log      *slog.Logger
}

// Server answers the requests. Make it with New.
type Server struct {
	cfg      Config
	http     http.Server
	conns    atomic.Int64
	watchers atomic.Int64

	mu         sync.Mutex
	roomAnswer chan struct{} // guarded by mu: closed when the room has answered; nil: it is not being asked
}

// New makes a server. Call Serve to run it.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg}
	files, err := fs.Sub(page, "page")
	if err != nil {
		panic(err) // it is embedded
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(files))
	mux.Handle("GET /metrics", promhttp.HandlerFor(NewRegistry(cfg.Sources), promhttp.HandlerOpts{
		MaxRequestsInFlight: maxScrapes, Timeout: requestTimeout, ErrorLog: slog.NewLogLogger(cfg.Log.Handler(), slog.LevelWarn),
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
		Handler: s.guard(mux), ReadHeaderTimeout: requestTimeout, ReadTimeout: requestTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ConnState: s.count, ErrorLog: slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug),
	}
	return s
}

// Addr is where it listens.
func (s *Server) Addr() netip.AddrPort { return s.cfg.Listener.Addr().(*net.TCPAddr).AddrPort() }

// Serve answers requests until Close. The error says why it ended by itself.
func (s *Server) Serve() error {
	if err := s.http.Serve(s.cfg.Listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin: %w", err)
	}
	return nil
}

// Close ends all connections.
func (s *Server) Close() { s.http.Close() }

// count closes connections beyond maxConns.
func (s *Server) count(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if s.conns.Add(1) > maxConns {
			c.Close()
		}
	case http.StateClosed, http.StateHijacked:
		s.conns.Add(-1)
	}
}

// guard refuses requests with a Host that is not allowed, and sets the security headers.
func (s *Server) guard(next http.Handler) http.Handler {
	own := s.Addr().Addr().Unmap().IsLoopback()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if own && !web.LoopbackHost(r.Host) {
			http.Error(w, "open 127.0.0.1 or localhost", http.StatusForbidden)
			return
		}
		web.SetSecurityHeaders(w.Header())
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// healthy says whether the room answers. It does not if its lock is never released.
func (s *Server) healthy(w http.ResponseWriter, r *http.Request) {
	late := time.NewTimer(roomTimeout)
	defer late.Stop()
	select {
	case <-s.askRoom():
		fmt.Fprintln(w, "ok")
	case <-late.C:
		http.Error(w, "the room does not answer", http.StatusServiceUnavailable)
	case <-r.Context().Done():
	}
}

// askRoom returns a channel that is closed when the room has answered. Only one goroutine at
// a time asks the room, so that goroutines do not pile up if the room is stuck.
func (s *Server) askRoom() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.roomAnswer == nil {
		answer := make(chan struct{})
		s.roomAnswer = answer
		go func() {
			s.cfg.Sources.Room.Snapshot()
			s.mu.Lock()
			defer s.mu.Unlock()
			s.roomAnswer = nil
			close(answer)
		}()
	}
	return s.roomAnswer
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	if s.cfg.Sources.Draining() {
		http.Error(w, "draining", http.StatusServiceUnavailable)
		return
	}
	if c := s.cfg.Sources.Cluster; c != nil {
		if st := c.Stats(); st.CutOff {
			http.Error(w, "cut off from the other servers of the room, so logins are denied; connection to NATS: "+st.NATS, http.StatusServiceUnavailable)
			return
		}
	}
	fmt.Fprintln(w, "ready")
}

// live sends the data of the page every second.
func (s *Server) live(w http.ResponseWriter, r *http.Request) {
	if s.watchers.Add(1) > maxWatchers {
		s.watchers.Add(-1)
		http.Error(w, "too many live pages are open", http.StatusServiceUnavailable)
		return
	}
	defer s.watchers.Add(-1)
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	tick := time.NewTicker(liveInterval)
	defer tick.Stop()
	for {
		text, err := json.Marshal(s.cfg.Sources.read())
		if err != nil {
			panic("admin: " + err.Error()) // nothing in it can fail
		}
		out.SetWriteDeadline(time.Now().Add(requestTimeout))
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

// Check requests /healthz from the Server that listens at addr. If the host of addr is empty or
// unspecified, that is 127.0.0.1.
func Check(ctx context.Context, addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("admin: %q is not HOST:PORT, such as 127.0.0.1:9100", addr)
	}
	if addr, err := netip.ParseAddr(host); host == "" || err == nil && addr.IsUnspecified() {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/healthz", nil)
	if err != nil {
		return fmt.Errorf("admin: %w", err)
	}
	answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request) // no proxy, no redirect
	if err != nil {
		return fmt.Errorf("admin: no chatd answers at %s: %w", addr, err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("admin: %s answers %s", addr, answer.Status)
	}
	return nil
}
