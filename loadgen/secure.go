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

// cipherSize is the size of one recv of a client that speaks TLS. The decrypted data, together
// with a record whose first part came before (at most 17 KiB), fits into one read of
// readSize: decrypting makes data shorter.
const cipherSize = readSize - 32<<10

// fleetTLS is the TLS of a fleet.
type fleetTLS struct {
	configs  []*tls.Config // by server
	in       []byte        // room for one recv
	sessions []*session    // by client; nil: not connected yet
}

func newFleetTLS(cfg *tls.Config, servers []string, clients int) *fleetTLS {
	s := &fleetTLS{in: make([]byte, cipherSize), sessions: make([]*session, clients)}
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

// session is the TLS of one client: package tls over a socket that never blocks, only on
// the generator's thread. So there is no other thread, no second way
// through the kernel and no queue between a client and its server; the time for encrypting and
// decrypting is in the generator's own CPU use; and when the generator
// has nothing to do, nothing is in flight.
//
// Package tls reads received data from in and writes what it has to send to out. It
// reads all of in, and keeps an incomplete record. A Read without input
// returns EAGAIN, which package tls treats as a timeout: the next Read continues.
type session struct {
	fd           int
	conn         *tls.Conn
	in           []byte // received, not taken by conn yet
	out          []byte // encrypted, not taken by the kernel yet
	pendingWrite int    // octets of a write that the kernel has taken only in part

	// A handshake cannot continue after an error, so it is a coroutine that waits inside
	// a Read until shake has more data for it. It runs on the thread that
	// calls next or stop, which must be that of newSession.
	next  func() (struct{}, bool)
	stop  func()
	wait  func() bool // returns false if the handshake has to end; nil: there is no handshake
	ended error       // why a handshake gets no more data
	err   error       // of the handshake that is over
}

// newSession makes the session of a connected socket; shake begins its handshake.
func newSession(fd int, cfg *tls.Config) *session {
	s := &session{fd: fd}
	s.conn = tls.Client(socket{s}, cfg)
	s.next, s.stop = iter.Pull(func(yield func(struct{}) bool) {
		s.wait = func() bool { return yield(struct{}{}) }
		s.err = s.conn.Handshake()
		if err := s.flush(); s.err == nil { // after an error this flushes an alert
			s.err = err
		}
		s.wait = nil
	})
	return s
}

// shake continues the handshake with received data, or tells it why no more
// will come. When the handshake is done, in has the data that followed it.
func (s *session) shake(in []byte, ended error) (done bool, err error) {
	s.in, s.ended = in, ended
	if _, waits := s.next(); waits {
		return false, nil
	}
	return true, s.err
}

// decrypt decrypts received data. p has room for it, see cipherSize. The result is that of
// read(2): no octet and no error is the end; EAGAIN means that there is no complete record.
func (s *session) decrypt(p, in []byte) (n int, err error) {
	s.in = in
	for err == nil {
		var k int
		k, err = s.conn.Read(p[n:])
		n += k
	}
	s.flush() // a TLS answer, if there is one; the next write sends what is left
	if n > 0 || err == io.EOF {
		return n, nil // the next read returns any other error again
	}
	return 0, err
}

// write is like write(2), of at most writeSize octets, and calls the kernel once. If
// the kernel takes only a part, write returns EAGAIN, and reports the octets when the kernel has
// taken the rest: so no message counts as sent before its last octet is. The next write
// must begin with the refused octets, as after any EAGAIN.
func (s *session) write(p []byte) (n int, err error) {
	if err := s.flush(); err != nil {
		return 0, err
	}
	if s.pendingWrite > 0 {
		n, s.pendingWrite = s.pendingWrite, 0
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
		s.pendingWrite = len(p)
		fallthrough
	default:
		return 0, err
	}
}

// flush gives encrypted data to the kernel. EAGAIN: the kernel does not take all of it now.
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

// shutdown sends goodbye and a TLS close notification, as far as the kernel takes them now.
// It ends a handshake that is under way.
func (s *session) shutdown(goodbye []byte) {
	s.stop()
	if _, err := s.write(goodbye); err == nil && s.conn.CloseWrite() == nil {
		s.flush()
	}
}

// socket is the connection below package tls.
type socket struct{ *session }

// Read returns received data. A handshake waits for more if there is none.
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

// shake continues the TLS handshake of client i with received data. When the handshake is done
// the client logs in.
func (f *fleet) shake(i int, in []byte, ended error) error {
	s := f.tls.sessions[i]
	done, err := s.shake(in, ended)
	switch {
	case err != nil:
		k := f.serverOf(i)
		return fmt.Errorf("%w: no TLS with %s (connection %d): %w", ErrUnreachable, f.servers[k], i+1, tlsflags.Explain(err, f.tls.configs[k].ServerName))
	case !done:
		return nil
	}
	if err := f.login(i); err != nil {
		return err
	}
	n, err := s.decrypt(f.in[f.front:], s.in) // data that followed the handshake
	return f.readLoginAnswer(i, n, err)
}

// handshake reads from client i, whose TLS handshake is under way.
func (f *fleet) handshake(i int) error {
	n, err := unix.Read(f.fds[i], f.tls.in)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return nil
	case err == nil && n == 0:
		err = io.EOF
	}
	return f.shake(i, f.tls.in[:max(n, 0)], err)
}

// TLS is what the clients and their server negotiated.
type TLS struct {
	Version     string `json:"version"`      // "TLS 1.3"
	CipherSuite string `json:"cipher_suite"` // "TLS_AES_128_GCM_SHA256"
	KeyExchange string `json:"key_exchange"` // "X25519MLKEM768"
}

// negotiated is what the first client and the server negotiated; nil without TLS.
func (g *generator) negotiated() *TLS {
	if g.tls == nil || g.tls.sessions[g.own[0]] == nil {
		return nil
	}
	s := g.tls.sessions[g.own[0]].conn.ConnectionState()
	return &TLS{Version: tls.VersionName(s.Version), CipherSuite: tls.CipherSuiteName(s.CipherSuite), KeyExchange: s.CurveID.String()}
}
