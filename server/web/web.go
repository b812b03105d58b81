// Package web is the browser client: one page, embedded, and the WebSocket that
// carries its frames. A message of the WebSocket is binary and holds one frame or
// more, or parts of them: octets as they would come by TCP.
//
// It refuses to look into frames, to log anybody in, and to load anything from
// elsewhere: whoever is to be served as by TCP is handed to Config.Carry, which
// carries it to the transport. A page of another site cannot connect in the name
// of its visitors: the origin is checked, and on a loopback address the host too, as
// the page may have been loaded by a name that means this machine since.
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
	// messageMost is the longest message of a browser, in octets: many frames.
	messageMost = 64 << 10
	// pingEvery keeps proxies from closing a connection on which nobody speaks.
	pingEvery = 25 * time.Second
	pongMost  = 30 * time.Second
	// headerTimeout and headerMost bound what a browser sends before it is served.
	headerTimeout = 5 * time.Second
	headerMost    = 16 << 10
	// readTimeout is for a request with what it brings along, though nothing here reads
	// that, and writeTimeout for its answer. A WebSocket has neither.
	readTimeout  = 10 * time.Second
	writeTimeout = 30 * time.Second
	idleTimeout  = time.Minute
)

// policy allows the page what it needs, all from here.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Config is what the page's server is made of.
type Config struct {
	// TLS is how browsers are spoken to; nil: without TLS. See front.Certificate.TLS;
	// the protocols it names are not used.
	TLS *tls.Config
	// Carry carries the octets of a client at peer to the transport and back until
	// both have ended, and closes the connection. See front.Front.
	Carry func(conn net.Conn, peer netip.AddrPort) error
	// Trusted are reverse proxies: what they say in X-Forwarded-For is believed.
	Trusted []netip.Prefix
	// Origins are further hosts whose pages may connect, besides the one the page
	// was loaded from; patterns, as path.Match has them. On a loopback address they
	// are also further names by which the page may be asked for.
	Origins []string
	// Banned says whether an address is banned: it is served nothing. nil: none is.
	Banned func(netip.Addr) bool
	// Refused is told of browsers that never come to the transport, and why: in one
	// word, and what was wrong if there is more to say. It must not block. nil: nobody is.
	Refused  func(peer netip.AddrPort, reason, detail string)
	MaxConns int // WebSockets at once; 10,000. Of connections there may be 64 more, others wait
	Log      *slog.Logger
}

// Counters is what a Server has counted since it was made.
type Counters struct {
	Open    atomic.Int64 // WebSockets carried now
	Opened  atomic.Int64
	Refused atomic.Int64 // requests for one that is of another origin or none, and requests by another host's name
	TooMany atomic.Int64 // as many as may be were open, or connections without one from the address
	Banned  atomic.Int64 // requests from an address that is banned
}

// Server serves the page.
type Server struct {
	Counters
	cfg   Config
	http  http.Server
	local bool           // whether it serves a loopback address, without TLS; Serve's
	lines loglimit.Limit // of browsers that cannot be carried

	mu   sync.Mutex
	over bool // guarded by mu: Shutdown waits
	work sync.WaitGroup
}

// below is where the context of a request has its connection, below TLS.
type below struct{}

// New makes a server. Serve lets it work.
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
		Handler: s.guard(mux), MaxHeaderBytes: headerMost,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if secure, ok := c.(*tls.Conn); ok {
				c = secure.NetConn()
			}
			return context.WithValue(ctx, below{}, c)
		},
		ErrorLog: slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug), // each is some client's doing
	}
	return s
}

// guard serves nothing to those who are banned, and nothing by the name of another.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, err := s.peer(r)
		switch {
		case err == nil && s.cfg.Banned(peer.Addr()):
			s.Counters.Banned.Add(1)
			s.cfg.Refused(peer, "banned", "")
			http.Error(w, "you are banned", http.StatusForbidden)
		case !s.meant(r):
			s.Counters.Refused.Add(1)
			s.cfg.Refused(peer, "host", fmt.Sprintf("%.100s", r.Host))
			http.Error(w, "ask for 127.0.0.1 or localhost; another name needs -web-origin, a proxy needs -proxy-from", http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// headers keeps the page to itself.
func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache")
		next.ServeHTTP(w, r)
	})
}

// Serve takes connections of TCP until Close. The error says why it could not go on;
// nil after Close.
func (s *Server) Serve(l net.Listener) error {
	s.local = s.cfg.TLS == nil && tcp.Bound(l).Addr().IsLoopback()
	l = limit(l, s.cfg.MaxConns+spareConns, s.trusts, func(peer netip.AddrPort) {
		s.TooMany.Add(1)
		s.cfg.Refused(peer, "pages", "")
	})
	if s.cfg.TLS != nil {
		browsers := s.cfg.TLS.Clone()
		browsers.NextProtos = []string{"http/1.1"} // HTTP/2 has another way to a WebSocket
		l = tls.NewListener(l, browsers)
	}
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close stops taking connections. WebSockets that are open are Carry's to end.
func (s *Server) Close() error { return s.http.Close() }

// Shutdown stops taking connections and waits for WebSockets to end, which is Carry's
// to see to: it ends with the last Carry, and takes goodbyeMost more at the most.
func (s *Server) Shutdown() {
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	s.http.Close()
	s.work.Wait()
}

// begin counts one more WebSocket that Shutdown waits for, unless it waits already.
func (s *Server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.work.Add(1)
	}
	return !s.over
}

// connect is a browser that wants to talk.
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
		http.Error(w, "too many are connected", http.StatusServiceUnavailable)
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
	raw := r.Context().Value(below{}).(*placed)
	defer raw.Close()
	raw.upgraded()
	ws.SetReadLimit(messageMost)
	ctx, cancel := context.WithCancel(context.Background())
	var pings sync.WaitGroup
	pings.Go(func() { ping(ctx, ws, raw) })
	if err := s.cfg.Carry(&conn{Conn: raw, ws: ws}, peer); err != nil {
		s.lines.Warn(s.cfg.Log, "a browser cannot be carried to the transport", "peer", peer, "err", err)
	}
	cancel()
	pings.Wait()
}

// ping asks whether the browser is there, and cuts it if it is not.
func ping(ctx context.Context, ws *websocket.Conn, raw net.Conn) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			within, cancel := context.WithTimeout(ctx, pongMost)
			err := ws.Ping(within)
			cancel()
			if err != nil {
				raw.Close() // whatever the WebSocket still waits for
				return
			}
		}
	}
}

var errAddress = errors.New("web: no address of yours is known")

// peer is the browser's address: what a trusted proxy says, or what it connects from.
func (s *Server) peer(r *http.Request) (netip.AddrPort, error) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return peer, errAddress
	}
	peer = netip.AddrPortFrom(peer.Addr().Unmap(), peer.Port())
	// Each proxy adds the address it was connected from at the end.
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
