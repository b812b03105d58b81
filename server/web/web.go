// Package web serves the browser client: one embedded page, and the WebSocket that
// carries its frames. Messages of the WebSocket are binary. Their contents are the octets
// of a TCP connection, in pieces that need not be whole frames.
//
// It does not look into frames or log anybody in: it passes connections to Config.Carry,
// which carries them to the transport. The page loads nothing from other servers. A page
// of another site cannot connect for its visitors: the origin is checked, and on a
// loopback address also the host, against DNS rebinding.
//
// A Server may be used from any goroutine.
package web

import (
	"context"
	"crypto/tls"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"chatbench/internal/loglimit"
	"chatbench/internal/tcp"
)

//go:embed page
var page embed.FS

const (
	// maxMessage is the longest message of a browser, in octets: many frames.
	maxMessage = 64 << 10
	// pingEvery keeps proxies from closing a WebSocket without traffic.
	pingEvery   = 25 * time.Second
	pongTimeout = 30 * time.Second
	// headerTimeout and maxHeader bound the header of a request.
	headerTimeout = 5 * time.Second
	maxHeader     = 16 << 10
	// readTimeout is for a request including its body, which nothing here reads, and
	// writeTimeout for the answer. A WebSocket has neither.
	readTimeout  = 10 * time.Second
	writeTimeout = 30 * time.Second
	idleTimeout  = time.Minute
)

// policy allows the page only what it needs, all from this server.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// SetSecurityHeaders sets the headers with which a page of chatd can load only its own files,
// and cannot be framed.
func SetSecurityHeaders(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
}

// Config configures a Server.
type Config struct {
	// TLS is the configuration of TLS, see front.Certificate.TLS; its protocols are not
	// used. nil: without TLS.
	TLS *tls.Config
	// Carry carries the octets of a client at peer to the transport and back until
	// both have ended, and closes the connection. See front.Carrier.
	Carry func(conn net.Conn, peer netip.AddrPort) error
	// Trusted are reverse proxies, whose X-Forwarded-For is believed.
	Trusted []netip.Prefix
	// Origins are hosts whose pages may connect, besides the one from which the page was
	// loaded. They are patterns of path.Match. On a loopback address they are also allowed
	// as the Host of requests.
	Origins []string
	// Banned says whether an address is banned: it is served nothing. nil: none is.
	Banned func(netip.Addr) bool
	// Refused, if set, is called for each browser that never reaches the transport: reason
	// is one word, detail says what was wrong, if there is more to say. It must not block.
	Refused  func(peer netip.AddrPort, reason, detail string)
	MaxConns int // WebSockets at once; default 10,000. There may be 64 more connections; others wait
	Log      *slog.Logger
}

// Counters is the counters of a Server.
type Counters struct {
	Open    atomic.Int64 // WebSockets carried now
	Opened  atomic.Int64
	Refused atomic.Int64 // requests with a wrong origin or host, and requests for /ws that are not of a WebSocket
	TooMany atomic.Int64 // too many WebSockets, or too many other connections from the address
	Banned  atomic.Int64 // requests from a banned address
}

// Server serves the page.
type Server struct {
	Counters
	cfg      Config
	http     http.Server
	local    bool           // it serves a loopback address, without TLS; set by Serve
	failures loglimit.Limit // log lines for browsers that cannot be carried

	mu   sync.Mutex
	over bool // guarded by mu: Shutdown was called
	work sync.WaitGroup
}

// connKey is the key of the connection, below TLS, in the context of a request.
type connKey struct{}

// New makes a server. Call Serve to run it.
func New(cfg Config) *Server {
	if cfg.MaxConns <= 0 {
		cfg.MaxConns = 10_000
	}
	if cfg.Banned == nil {
		cfg.Banned = func(netip.Addr) bool { return false }
	}
	if cfg.Refused == nil {
		cfg.Refused = func(netip.AddrPort, string, string) {}
	}
	s := &Server{cfg: cfg}
	files, err := fs.Sub(page, "page")
	if err != nil {
		panic(err) // it is embedded
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", headers(http.FileServerFS(files)))
	mux.HandleFunc("GET /ws", s.connect)
	s.http = http.Server{
		Handler: s.guard(mux), MaxHeaderBytes: maxHeader,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if secure, ok := c.(*tls.Conn); ok {
				c = secure.NetConn()
			}
			return context.WithValue(ctx, connKey{}, c)
		},
		ErrorLog: slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug), // clients cause all of them
	}
	return s
}

// guard refuses requests from banned addresses, and requests with a Host that is not allowed.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, err := s.peer(r)
		switch {
		case err == nil && s.cfg.Banned(peer.Addr()):
			s.Counters.Banned.Add(1)
			s.cfg.Refused(peer, "banned", "")
			http.Error(w, "you are banned", http.StatusForbidden)
		case !s.hostAllowed(r):
			s.Counters.Refused.Add(1)
			s.cfg.Refused(peer, "host", fmt.Sprintf("%.100s", r.Host))
			http.Error(w, "open 127.0.0.1 or localhost; another name needs -web-origin, a proxy needs -proxy-from", http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// headers sets the headers of the page.
func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		SetSecurityHeaders(w.Header())
		w.Header().Set("Cache-Control", "no-cache")
		next.ServeHTTP(w, r)
	})
}

// Serve accepts TCP connections until Close. The error says why it ended by itself; it is
// nil after Close.
func (s *Server) Serve(l net.Listener) error {
	s.local = s.cfg.TLS == nil && tcp.Bound(l).Addr().IsLoopback()
	l = newLimitListener(l, s.cfg.MaxConns+spareConns, s.trusts, func(peer netip.AddrPort) {
		s.TooMany.Add(1)
		s.cfg.Refused(peer, "pages", "")
	})
	if s.cfg.TLS != nil {
		browsers := s.cfg.TLS.Clone()
		browsers.NextProtos = []string{"http/1.1"} // in HTTP/2 WebSockets work differently
		l = tls.NewListener(l, browsers)
	}
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close stops accepting connections. Open WebSockets stay, until Carry ends them.
func (s *Server) Close() error { return s.http.Close() }

// Shutdown stops accepting connections and waits until all calls of Carry have returned and
// the WebSockets are closed, which takes at most closeTimeout more.
func (s *Server) Shutdown() {
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	s.http.Close()
	s.work.Wait()
}

// begin counts one more WebSocket for which Shutdown waits. It returns false after Shutdown.
func (s *Server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.work.Add(1)
	}
	return !s.over
}

// connect handles a request for a WebSocket.
func (s *Server) connect(w http.ResponseWriter, r *http.Request) {
	if !s.begin() {
		http.Error(w, "the server is going down", http.StatusServiceUnavailable)
		return
	}
	defer s.work.Done()
	if s.Open.Add(1) > int64(s.cfg.MaxConns) {
		s.Open.Add(-1)
		s.TooMany.Add(1)
		if peer, err := s.peer(r); err == nil {
			s.cfg.Refused(peer, "pages", "")
		}
		http.Error(w, "too many clients are connected: try again later", http.StatusServiceUnavailable)
		return
	}
	defer s.Open.Add(-1)
	peer, err := s.peer(r)
	if err != nil {
		s.Refused.Add(1)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{OriginPatterns: s.cfg.Origins})
	if err != nil { // Accept has answered
		s.Refused.Add(1)
		s.cfg.Refused(peer, "origin", err.Error())
		return
	}
	s.Opened.Add(1)
	raw := r.Context().Value(connKey{}).(*slotConn)
	defer raw.Close()
	raw.upgraded()
	ws.SetReadLimit(maxMessage)
	ctx, cancel := context.WithCancel(context.Background())
	var pings sync.WaitGroup
	pings.Go(func() { ping(ctx, ws, raw) })
	if err := s.cfg.Carry(&conn{Conn: raw, ws: ws}, peer); err != nil {
		s.failures.Warn(s.cfg.Log, "a browser cannot be carried to the transport", "peer", peer, "err", err)
	}
	cancel()
	pings.Wait()
}

// ping pings the browser, and closes the connection if it does not answer.
func ping(ctx context.Context, ws *websocket.Conn, raw net.Conn) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			within, cancel := context.WithTimeout(ctx, pongTimeout)
			err := ws.Ping(within)
			cancel()
			if err != nil {
				raw.Close() // ends all calls of the WebSocket
				return
			}
		}
	}
}

var errAddress = errors.New("web: the address of the client is not known")

// peer is the browser's address: the one that a trusted proxy names, or that of the connection.
func (s *Server) peer(r *http.Request) (netip.AddrPort, error) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return peer, errAddress
	}
	peer = netip.AddrPortFrom(peer.Addr().Unmap(), peer.Port())
	// Each proxy appends the address from which it was connected.
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		if !s.trusts(peer.Addr()) {
			break
		}
		addr, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			break
		}
		peer = netip.AddrPortFrom(addr.Unmap(), 0)
	}
	return peer, nil
}

func (s *Server) trusts(addr netip.Addr) bool {
	return slices.ContainsFunc(s.cfg.Trusted, func(p netip.Prefix) bool { return p.Contains(addr.WithZone("")) })
}
