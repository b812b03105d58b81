// Package control lets the operator of a running chatd act on it: through a Unix
// socket that belongs to the user chatd runs as, mode 0600.
//
// # Protocol
//
// A connection carries one request and one answer, each one line of JSON. A request
// has at most 16 KiB, and comes within 5 s:
//
//	{"command":"ban","target":"203.0.113.0/24","for":"1h"}
//	{"text":"banned 203.0.113.0/24 until 2026-01-31 18:00:00 UTC: 2 ended","ended":2}
//
// The commands:
//
//	who                who is in the room: "users"
//	kick target        end the sessions of a name: "ended"
//	ban target [for]   keep a name, address or prefix out, for a time as in 90m, 36h or 7d, or for good: "ended"
//	unban target       lift such a ban
//	bans               the bans: "bans"
//	say text           tell the room something, at most 4,000 octets
//	reload             read users and bans again, as SIGHUP does: "ended"
//	drain              send everybody what was said and end, as SIGTERM does
//	stats              what the server has counted: "stats"
//
// An answer with "error" says what to do; nothing has changed then, unless it says so.
// "text" is the answer for people.
//
// The package refuses to decide anything: an Operator does. It serves at most 8
// connections at once; more wait to be accepted. Any goroutine may call the methods
// of a Server.
package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/core"
	"chatbench/server/gate"
)

const (
	mostRequest = 16 << 10 // octets of a request
	mostAnswer  = 64 << 20 // octets of an answer that Ask takes
	mostConns   = 8
	longestPath = 107             // octets of a Unix socket's path, unix(7)
	patience    = 5 * time.Second // for a request, and for an answer to be taken
)

// Request is what an operator wants.
type Request struct {
	Command string `json:"command"`
	Target  string `json:"target,omitempty"` // a name, an address or a prefix
	For     string `json:"for,omitempty"`    // how long, as in 90m, 36h or 7d; "": for good
	Text    string `json:"text,omitempty"`
}

// Answer is what came of it.
type Answer struct {
	Error string          `json:"error,omitempty"`
	Text  string          `json:"text,omitempty"`
	Ended int             `json:"ended,omitempty"` // sessions that were ended
	Users []core.User     `json:"users,omitempty"`
	Bans  []gate.Ban      `json:"bans,omitempty"`
	Stats json.RawMessage `json:"stats,omitempty"`
}

// Operator acts on the server. Its methods are called from several goroutines.
type Operator interface {
	Users() []core.User
	Kick(name string) (ended int, err error)
	Ban(target string, d time.Duration) (ban gate.Ban, ended int, err error)
	Known(gate.Ban) bool // of a name, whether it is a user's
	Unban(target string) error
	Bans() []gate.Ban
	Say(text string) (heard int)
	Reload() (ended int, err error)
	Drain()
	Stats() any // becomes JSON
}

// Server answers requests. Listen makes it, Serve lets it work.
type Server struct {
	listener *net.UnixListener
	log      *slog.Logger
	op       Operator

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]bool // that wait for a request
	work   sync.WaitGroup
}

// Listen makes the socket. One that another chatd has left is replaced; one that
// answers, or a file that is no socket, is an error.
func Listen(path string, log *slog.Logger) (*Server, error) {
	if err := removeStale(path); err != nil {
		return nil, err
	}
	// The mode that a socket has before it is bound is the mode of its file, so there
	// is no moment at which others may connect.
	private := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		failed := c.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) })
		return errors.Join(err, failed)
	}}
	l, err := private.Listen(context.Background(), "unix", path)
	switch {
	case errors.Is(err, unix.EINVAL) && len(path) > longestPath:
		return nil, tooLong(path)
	case err != nil:
		return nil, fmt.Errorf("control: no socket %s: %w", path, err)
	}
	return &Server{listener: l.(*net.UnixListener), log: log, conns: make(map[net.Conn]bool)}, nil
}

// Check says why Listen would fail, and makes nothing.
func Check(path string) error {
	if _, err := stale(path); err != nil {
		return err
	}
	if len(path) > longestPath {
		return tooLong(path)
	}
	if err := unix.Access(filepath.Dir(path), unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("control: no socket can be made in %s: %w", filepath.Dir(path), err)
	}
	return nil
}

func tooLong(path string) error {
	return fmt.Errorf("control: %s has over %d octets: choose a shorter path", path, longestPath)
}

// stale says whether there is a socket at which nobody listens any more.
func stale(path string) (is bool, err error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("control: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return false, fmt.Errorf("control: %s is no socket: choose another -control, or remove it", path)
	}
	conn, err := net.DialTimeout("unix", path, patience)
	if err == nil {
		conn.Close()
		return false, fmt.Errorf("control: another chatd listens at %s: stop it, or choose another -control", path)
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		return false, fmt.Errorf("control: is somebody at %s? %w", path, err)
	}
	return true, nil
}

// removeStale removes a socket at which nobody listens any more.
func removeStale(path string) error {
	is, err := stale(path)
	if !is {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("control: %w", err)
	}
	return nil
}

// Serve answers requests until Close, with what op does. Call it once.
func (s *Server) Serve(op Operator) {
	s.op = op
	places := make(chan struct{}, mostConns)
	for {
		places <- struct{}{}
		conn, err := s.listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				break
			}
			s.log.Warn("the control socket cannot accept", "err", err)
			time.Sleep(100 * time.Millisecond) // out of descriptors, most likely
			<-places
			continue
		}
		s.work.Go(func() {
			defer func() { <-places }()
			s.serve(conn)
		})
	}
	s.work.Wait()
}

// Close removes the socket. Requests that have come are answered; Serve returns when
// they are.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.listener.Close() // and removes it
	for conn := range s.conns {
		conn.Close()
	}
}

// waits notes whether a connection waits for its request. It is false if the server
// has closed.
func (s *Server) waits(conn net.Conn, does bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if does {
		s.conns[conn] = true
	} else {
		delete(s.conns, conn)
	}
	return !s.closed
}

// serve answers the request of one connection.
func (s *Server) serve(conn net.Conn) {
	defer conn.Close()
	if !s.waits(conn, true) {
		s.waits(conn, false)
		return
	}
	conn.SetDeadline(time.Now().Add(patience))
	line, err := bufio.NewReaderSize(conn, mostRequest).ReadSlice('\n')
	s.waits(conn, false)
	a := Answer{}
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		a.Error = fmt.Sprintf("a request has at most %d octets", mostRequest)
	case err != nil:
		return // it has changed its mind, or was too slow
	default:
		var r Request
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&r); err != nil {
			a.Error = fmt.Sprintf(`a request is one line such as {"command":"who"}: %v`, err)
			break
		}
		a = s.do(r)
		s.log.Info("control", "command", r.Command, "target", r.Target, "for", r.For, "ended", a.Ended, "error", a.Error)
	}
	text, err := json.Marshal(a)
	if err != nil {
		panic("control: " + err.Error()) // nothing in an answer can fail
	}
	conn.SetDeadline(time.Now().Add(patience))
	conn.Write(append(text, '\n')) // who does not wait for the answer has none
}

// Ask sends a request to the chatd at a socket and gives its answer. An answer with
// an Error is no error.
func Ask(path string, r Request) (Answer, error) {
	conn, err := net.DialTimeout("unix", path, patience)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ECONNREFUSED):
		return Answer{}, fmt.Errorf("control: no chatd listens at %s: start it with -control %s", path, path)
	case errors.Is(err, fs.ErrPermission):
		return Answer{}, fmt.Errorf("control: %s may be used by the user chatd runs as: try sudo -u", path)
	case err != nil:
		return Answer{}, fmt.Errorf("control: %w", err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(4 * patience))
	text, err := json.Marshal(r)
	if err != nil {
		return Answer{}, fmt.Errorf("control: %w", err)
	}
	if _, err := conn.Write(append(text, '\n')); err != nil {
		return Answer{}, fmt.Errorf("control: %w", err)
	}
	var a Answer
	if err := json.NewDecoder(io.LimitReader(conn, mostAnswer)).Decode(&a); err != nil {
		return Answer{}, fmt.Errorf("control: no answer from the chatd at %s: %w", path, err)
	}
	return a, nil
}
