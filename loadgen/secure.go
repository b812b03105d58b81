package loadgen

import (
	"crypto/tls"
	"fmt"
	"io"
	"iter"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/core/wire"
	"chatbench/internal/tlsflags"
)

// cipherSize is of one recv of a client that speaks TLS. What that decrypts to, with a
// record whose first part came before (17 KiB at the most), fits into one read of
// readSize: decrypting takes octets away.
const cipherSize = readSize - 32<<10

// secure is the TLS of a fleet.
type secure struct {
	configs  []*tls.Config // by server
	in       []byte        // room for one recv
	sessions []*session    // by client; nil: not connected yet
}

func newSecure(cfg *tls.Config, servers []string, clients int) *secure {
	s := &secure{in: make([]byte, cipherSize), sessions: make([]*session, clients)}
	for _, server := range servers {
		own := cfg.Clone()
		own.NextProtos, own.MinVersion = []string{wire.Protocol}, tls.VersionTLS13
		if own.ServerName == "" {
			own.ServerName, _, _ = net.SplitHostPort(server) // what resolve took
		}
		s.configs = append(s.configs, own)
	}
	return s
}

// session is the TLS of one client: package tls over a socket that never blocks, on
// the generator's thread, and nowhere else. So there is no other thread, no second way
// through the kernel and no queue between a client and its server; what encrypting and
// decrypting takes is in the generator's own use of its CPU; and when the generator
// has nothing to do, nothing is under way.
//
// Package tls takes what has come from in and leaves what it has to send in out. Out
// of in it takes all, and keeps what is no whole record yet. Of a Read without input
// it gets EAGAIN, which is a timeout to it: the next Read goes on.
type session struct {
	fd      int
	conn    *tls.Conn
	in      []byte // received, not taken by conn yet
	out     []byte // encrypted, not taken by the kernel yet
	refused int    // octets of a write of which a part is in out

	// A handshake cannot go on after an error, so it is a coroutine that waits in the
	// middle of a Read, until shake has more for it. It runs on the thread of whoever
	// calls next or stop, which must be that of newSession.
	next  func() (struct{}, bool)
	stop  func()
	wait  func() bool // false: it is to end; nil: there is no handshake
	ended error       // why nothing more comes for a handshake
	err   error       // of the handshake that is over
}

// newSession makes the session of a socket that has connected; shake begins its handshake.
func newSession(fd int, cfg *tls.Config) *session {
	s := &session{fd: fd}
	s.conn = tls.Client(socket{s}, cfg)
	s.next, s.stop = iter.Pull(func(yield func(struct{}) bool) {
		s.wait = func() bool { return yield(struct{}{}) }
		s.err = s.conn.Handshake()
		if err := s.flush(); s.err == nil { // after an error it is an alert that is flushed
			s.err = err
		}
		s.wait = nil
	})
	return s
}

// shake goes on with the handshake by what has come, or says to it why nothing more
// will. When it is done, in has what came behind it.
func (s *session) shake(in []byte, ended error) (done bool, err error) {
	s.in, s.ended = in, ended
	if _, waits := s.next(); waits {
		return false, nil
	}
	return true, s.err
}

// open decrypts what has come. p has room for it, see cipherSize; the rest is as of
// read(2): no octet and no error is the end, and EAGAIN that there is no whole record.
func (s *session) open(p, in []byte) (n int, err error) {
	s.in = in
	for err == nil {
		var k int
		k, err = s.conn.Read(p[n:])
		n += k
	}
	s.flush() // an answer of TLS's own, if there is one; what is left goes with the next write
	if n > 0 || err == io.EOF {
		return n, nil // another error is there again at the next read
	}
	return 0, err
}

// write is as write(2), of writeSize octets at the most, and one call of the kernel. A
// write that the kernel takes only in part is refused with EAGAIN, and reported when it
// has taken the rest: so no message is sent before its last octet is. The next write
// must begin with what was refused, as after any refusal.
func (s *session) write(p []byte) (n int, err error) {
	if err := s.flush(); err != nil {
		return 0, err
	}
	if s.refused > 0 {
		n, s.refused = s.refused, 0
		return n, nil
	}
	p = p[:min(len(p), writeSize)]
	if _, err := s.conn.Write(p); err != nil {
		return 0, err
	}
	switch err := s.flush(); err {
	case nil:
		return len(p), nil
	case unix.EAGAIN:
		s.refused = len(p)
		fallthrough
	default:
		return 0, err
	}
}

// flush gives the kernel what is encrypted. EAGAIN: it does not take all of it now.
func (s *session) flush() error {
	for len(s.out) > 0 {
		n, err := unix.Write(s.fd, s.out)
		switch {
		case err == nil:
			s.out = s.out[:copy(s.out, s.out[n:])]
		case err != unix.EINTR:
			return err
		}
	}
	return nil
}

// leave says goodbye, and that nothing more comes, as far as the kernel takes it now.
// A handshake that is under way ends.
func (s *session) leave(goodbye []byte) {
	s.stop()
	if _, err := s.write(goodbye); err == nil && s.conn.CloseWrite() == nil {
		s.flush()
	}
}

// socket is a session as package tls sees it: the connection below.
type socket struct{ *session }

// Read gives what has come. With nothing there a handshake waits for more.
func (s socket) Read(p []byte) (int, error) {
	for len(s.in) == 0 {
		switch {
		case s.wait == nil:
			return 0, unix.EAGAIN
		case s.ended != nil:
			return 0, s.ended
		}
		if err := s.flush(); err != nil {
			return 0, err
		}
		if !s.wait() {
			return 0, net.ErrClosed
		}
	}
	n := copy(p, s.in)
	s.in = s.in[n:]
	return n, nil
}

func (s socket) Write(p []byte) (int, error) {
	s.out = append(s.out, p...)
	return len(p), nil
}

func (socket) Close() error                     { return nil } // the fleet closes it
func (socket) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (socket) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (socket) SetDeadline(time.Time) error      { return nil } // nothing here waits
func (socket) SetReadDeadline(time.Time) error  { return nil }
func (socket) SetWriteDeadline(time.Time) error { return nil }

// shake goes on with the TLS handshake of client i by what has come; when it is done
// the client logs in.
func (f *fleet) shake(i int, in []byte, ended error) error {
	s := f.secure.sessions[i]
	done, err := s.shake(in, ended)
	switch {
	case err != nil:
		k := f.serverOf(i)
		return fmt.Errorf("%w: no TLS with %s (connection %d): %w", ErrUnreachable, f.servers[k], i+1, tlsflags.Explain(err, f.secure.configs[k].ServerName))
	case !done:
		return nil
	}
	if err := f.login(i); err != nil {
		return err
	}
	n, err := s.open(f.in[f.front:], s.in) // what came right behind the handshake
	return f.got(i, n, err)
}

// handshake takes what came for client i, whose TLS handshake is under way.
func (f *fleet) handshake(i int) error {
	n, err := unix.Read(f.fds[i], f.secure.in)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return nil
	case err == nil && n == 0:
		err = io.EOF
	}
	return f.shake(i, f.secure.in[:max(n, 0)], err)
}

// TLS is what the clients and their server have agreed on.
type TLS struct {
	Version     string `json:"version"`      // "TLS 1.3"
	CipherSuite string `json:"cipher_suite"` // "TLS_AES_128_GCM_SHA256"
	KeyExchange string `json:"key_exchange"` // "X25519MLKEM768"
}

// agreed is what the first client and the server have agreed on; nil: there is no TLS.
func (g *generator) agreed() *TLS {
	if g.secure == nil || g.secure.sessions[g.own[0]] == nil {
		return nil
	}
	s := g.secure.sessions[g.own[0]].conn.ConnectionState()
	return &TLS{Version: tls.VersionName(s.Version), CipherSuite: tls.CipherSuiteName(s.CipherSuite), KeyExchange: s.CurveID.String()}
}
