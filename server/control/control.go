// Package control lets an operator control a running chatd through a Unix socket, which belongs
// to the user that chatd runs as and has mode 0600.
//
// # Protocol
//
// A connection has one request and one answer, each one line of JSON. A request has at most 16
// KiB and must come within 5 s:
//
//	{"command":"ban","target":"203.0.113.0/24","for":"1h"}
//	{"text":"banned 203.0.113.0/24 until 2026-01-31 18:00:00 UTC: 2 ended","ended":2}
//
// The commands:
//
//	who                list the users in the room: "users"
//	kick target        end the sessions of a user: "ended"
//	ban target [for]   ban a name, address or prefix, for a time such as 90m, 36h or 7d, or for good: "ended"
//	unban target       lift such a ban
//	bans               list the bans: "bans"
//	say text           send a notice of at most 4,000 octets to the room
//	reload             read users and bans again, as SIGHUP does: "ended"
//	drain              send everybody what was said and end, as SIGTERM does
//	stats              the server's counters: "stats"
//
// If an answer has "error", it says what to do, and nothing was changed unless it says so.
// "text" is the answer for people.
//
// The package decides nothing: an Operator does. It serves at most 8 connections at once; others
// wait to be accepted. Any goroutine may call the methods of a Server.
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
	maxRequest = 16 << 10 // octets of a request
	maxAnswer  = 64 << 20 // octets of an answer that Ask accepts
	maxConns   = 8
	maxPath    = 107             // octets of a Unix socket's path, unix(7)
	timeout    = 5 * time.Second // to send a request, and to receive an answer
)

// Request is an operator's request.
type Request struct {
	Command string `json:"command"`
	Target  string `json:"target,omitempty"` // a name, an address or a prefix
	For     string `json:"for,omitempty"`    // how long, as in 90m, 36h or 7d; "": for good
	Text    string `json:"text,omitempty"`
}

// Answer is the answer to a request.
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
	Known(gate.Ban) bool // false if it is a ban of a name and there is no such user
	Unban(target string) error
	Bans() []gate.Ban
	Say(text string) (heard int)
	Reload() (ended int, err error)
	Drain()
	Stats() any // to be encoded as JSON
}

// Server answers requests. Make it with Listen, and run it with Serve.
type Server struct {
	listener *net.UnixListener
	log      *slog.Logger
	op       Operator

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]bool // whose request has not come yet
	work   sync.WaitGroup
}

// Listen makes the socket. It replaces a socket that another chatd has left behind. A socket at
// which another chatd listens, and a file that is not a socket, are errors.
func Listen(path string, log *slog.Logger) (*Server, error) {
	if err := removeStale(path); err != nil {
		return nil, err
	}
	// The socket's file gets the mode that the socket has when it is bound, so others can
	// never connect.
	private := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		failed := c.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) })
		return errors.Join(err, failed)
	}}
	l, err := private.Listen(context.Background(), "unix", path)
	switch {
	case errors.Is(err, unix.EINVAL) && len(path) > maxPath:
		return nil, tooLong(path)
	case err != nil:
		return nil, fmt.Errorf("control: cannot make the socket %s: %w", path, err)
	}
	return &Server{listener: l.(*net.UnixListener), log: log, conns: make(map[net.Conn]bool)}, nil
}

// Check returns the error that Listen would return, and makes nothing.
func Check(path string) error {
	if _, err := stale(path); err != nil {
		return err
	}
	if len(path) > maxPath {
		return tooLong(path)
	}
	if err := unix.Access(filepath.Dir(path), unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("control: cannot make a socket in %s: %w", filepath.Dir(path), err)
	}
	return nil
}

func tooLong(path string) error {
	return fmt.Errorf("control: %s has more than %d octets: choose a shorter path", path, maxPath)
}

// stale says whether there is a socket at which no process listens.
func stale(path string) (is bool, err error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("control: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return false, fmt.Errorf("control: %s is not a socket: choose another -control, or remove it", path)
	}
	conn, err := net.DialTimeout("unix", path, timeout)
	if err == nil {
		conn.Close()
		return false, fmt.Errorf("control: another chatd listens at %s: stop it, or choose another -control", path)
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		return false, fmt.Errorf("control: cannot find out whether another chatd listens at %s: %w", path, err)
	}
	return true, nil
}

// removeStale removes a socket at which no process listens.
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

// Serve answers requests by calling op, until Close. Call it once.
func (s *Server) Serve(op Operator) {
	s.op = op
	slots := make(chan struct{}, maxConns)
	for {
		slots <- struct{}{}
		conn, err := s.listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				break
			}
			s.log.Warn("the control socket cannot accept", "err", err)
			time.Sleep(100 * time.Millisecond) // probably out of descriptors
			<-slots
			continue
		}
		s.work.Go(func() {
			defer func() { <-slots }()
			s.serve(conn)
		})
	}
	s.work.Wait()
}

// Close removes the socket. Serve answers the requests that have come, and returns.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.listener.Close() // and removes it
	for conn := range s.conns {
		conn.Close()
	}
}

// setWaiting notes whether a connection waits for its request. It is false if the server is
// closed.
func (s *Server) setWaiting(conn net.Conn, waiting bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if waiting {
		s.conns[conn] = true
	} else {
		delete(s.conns, conn)
	}
	return !s.closed
}

// serve answers the request of one connection.
func (s *Server) serve(conn net.Conn) {
	defer conn.Close()
	if !s.setWaiting(conn, true) {
		s.setWaiting(conn, false)
		return
	}
	conn.SetDeadline(time.Now().Add(timeout))
	line, err := bufio.NewReaderSize(conn, maxRequest).ReadSlice('\n')
	s.setWaiting(conn, false)
	a := Answer{}
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		a.Error = fmt.Sprintf("a request has at most %d octets", maxRequest)
	case err != nil:
		return // it was closed without a request, or was too slow
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
		panic("control: " + err.Error()) // every Answer can be encoded
	}
	conn.SetDeadline(time.Now().Add(timeout))
	conn.Write(append(text, '\n')) // an error means that nobody waits for the answer
}

// Ask sends a request to the chatd at a socket and returns its answer. An answer that has an
// Error is not an error of Ask.
func Ask(path string, r Request) (Answer, error) {
	conn, err := net.DialTimeout("unix", path, timeout)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ECONNREFUSED):
		return Answer{}, fmt.Errorf("control: no chatd listens at %s: start it with -control %s", path, path)
	case errors.Is(err, fs.ErrPermission):
		return Answer{}, fmt.Errorf("control: only the user that chatd runs as may use %s: try sudo -u", path)
	case err != nil:
		return Answer{}, fmt.Errorf("control: %w", err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(4 * timeout))
	text, err := json.Marshal(r)
	if err != nil {
		return Answer{}, fmt.Errorf("control: %w", err)
	}
	if _, err := conn.Write(append(text, '\n')); err != nil {
		return Answer{}, fmt.Errorf("control: %w", err)
	}
	var a Answer
	if err := json.NewDecoder(io.LimitReader(conn, maxAnswer)).Decode(&a); err != nil {
		return Answer{}, fmt.Errorf("control: no answer from the chatd at %s: %w", path, err)
	}
	return a, nil
}
