package loadgen

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"

	"chatbench/core/wire"
	"chatbench/loadgen/ledger"
	"chatbench/loadgen/message"
)

const (
	spareFiles = 32 // open files besides the clients
	password   = "load"
)

// joining is a client on its way into the room.
type joining struct {
	connected bool
	asked     bool // its login is sent
	in        bool
	started   int64
	decoder   wire.Decoder
}

// fleet brings the clients into the room.
type fleet struct {
	*generator
	addresses []endpoint // of the servers
	joining   []joining  // by client
	started   int        // of its own clients
	inside    int        // of these
	latest    int64      // when somebody last got in
	begun     int64      // with a ramp: when the first client is due, but for stops
	stopped   bool       // the first part is in, and has been held against the rest
}

// endpoint is a server's address as connect(2) takes it.
type endpoint struct {
	unix.Sockaddr
	family int
}

// connect logs all clients in, a bounded number at a time.
func (g *generator) connect() (err error) {
	if err := allowFiles(uint64(g.beside + g.cfg.Clients + spareFiles)); err != nil {
		return err
	}
	f := &fleet{generator: g, joining: make([]joining, g.cfg.Clients), latest: g.now(), begun: g.now()}
	for _, server := range g.servers {
		a, err := resolve(server)
		if err != nil {
			return err
		}
		f.addresses = append(f.addresses, a)
	}
	if g.cfg.TLS != nil {
		g.secure = newSecure(g.cfg.TLS, g.servers, g.cfg.Clients)
	}
	if g.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("loadgen: epoll_create1: %w", err)
	}
	for f.inside < len(f.own) {
		if f.inside == f.coming() {
			if err := f.stop(); err != nil {
				return err
			}
		}
		for f.mayStart() && f.now() >= f.due(f.own[f.started]) {
			if err := f.start(f.own[f.started]); err != nil {
				return err
			}
			f.started++
		}
		if err := f.wait(); err != nil {
			return err
		}
	}
	return nil
}

// mayStart says whether one more client may connect once it is due.
func (f *fleet) mayStart() bool {
	return f.started < f.coming() && f.started-f.inside < f.cfg.Joining
}

// coming is how many clients come before the next stop, if there is one.
func (f *fleet) coming() int {
	if f.cfg.First > 0 && !f.stopped {
		return f.cfg.First
	}
	return len(f.own)
}

// stop lets nobody come for Duration and calls OnFirst. Then the ramp goes on
// with the client who is next, as if there had been no stop.
func (f *fleet) stop() error {
	for from := f.now(); f.now()-from < int64(f.cfg.Duration); {
		if err := f.wait(); err != nil {
			return err
		}
	}
	call(f.cfg.OnFirst)
	f.begun += max(0, f.now()-f.due(f.cfg.First))
	f.stopped = true
	return nil
}

// due is when client i is to connect.
func (f *fleet) due(i int) int64 {
	return f.begun + int64(float64(f.cfg.Ramp)*float64(i)/float64(len(f.fds)))
}

// wait deals with what happens in the next tenth of a second, or until the next
// client is due.
func (f *fleet) wait() error {
	timeout := int64(100)
	if f.mayStart() {
		timeout = min(timeout, max(0, f.due(f.own[f.started])-f.now())/1e6)
	}
	n, err := unix.EpollWait(f.epoll, f.events, int(timeout))
	if err != nil && err != unix.EINTR {
		return fmt.Errorf("loadgen: epoll_wait: %w", err)
	}
	for i := range max(n, 0) {
		if err := f.step(int(f.events[i].Fd)); err != nil {
			return err
		}
	}
	if f.interrupted.Load() {
		return ErrInterrupted
	}
	f.shown.clients.Store(int64(f.inside))
	if f.started > f.inside && f.now()-max(f.latest, f.joining[f.own[f.started-1]].started) > int64(f.cfg.Connect) {
		return fmt.Errorf("%w: %d of %d clients are in, and %s answered no other login for %v",
			ErrUnreachable, f.inside, len(f.own), f.cfg.Server, f.cfg.Connect)
	}
	return nil
}

// start begins to connect client i.
func (f *fleet) start(i int) error {
	if f.joining[i].started = f.now(); f.cfg.Ramp > 0 {
		f.late.Record(f.joining[i].started-f.due(i), 1)
		f.joining[i].started = f.due(i)
	}
	to := f.addresses[f.serverOf(i)]
	fd, err := unix.Socket(to.family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
		return fmt.Errorf("%w: none is left for client %d; raise the limit with `ulimit -n %d`", ErrFileLimit, i+1, len(f.fds)+spareFiles+f.started)
	}
	if err != nil {
		return fmt.Errorf("loadgen: socket: %w", err)
	}
	f.fds[i] = fd
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return fmt.Errorf("loadgen: TCP_NODELAY: %w", err)
	}
	if f.cfg.Scenario != Idle {
		f.queue.ask(i, fd)
	}
	if err := unix.Connect(fd, to.Sockaddr); err != nil && err != unix.EINPROGRESS {
		return f.unreachable(i, err)
	}
	if err := f.watch(unix.EPOLL_CTL_ADD, i, unix.EPOLLIN|unix.EPOLLOUT); err != nil {
		return fmt.Errorf("loadgen: epoll_ctl: %w", err)
	}
	return nil
}

func (f *fleet) unreachable(i int, err error) error {
	switch {
	case errors.Is(err, unix.ECONNREFUSED) && f.inside == 0:
		return fmt.Errorf("%w: nothing listens on %s; start the server first", ErrUnreachable, f.servers[f.serverOf(i)])
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return fmt.Errorf("%w: no local port is left after %d connections; widen net.ipv4.ip_local_port_range", ErrUnreachable, i)
	}
	return fmt.Errorf("%w: connection %d to %s: %v", ErrUnreachable, i+1, f.servers[f.serverOf(i)], err)
}

// serverOf is the place of a client's server among the servers.
func (c *common) serverOf(client int) int {
	if c.server == nil {
		return 0
	}
	return c.server[client]
}

// step goes one step on with client i: connected, it shakes hands where there is
// TLS, then it logs in; logged in, it is in the room and what else came is the ledger's.
func (f *fleet) step(i int) error {
	switch j := &f.joining[i]; {
	case !j.connected:
		return f.connected(i)
	case !j.asked:
		return f.handshake(i)
	case j.in:
		_, err := f.receive(i)
		return err
	}
	n, _, err := f.read(i)
	return f.got(i, n, err)
}

// connected begins what follows when client i has its connection, or none.
func (f *fleet) connected(i int) error {
	fd := f.fds[i]
	if code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil || code != 0 {
		return f.unreachable(i, errors.Join(err, unix.Errno(code)))
	}
	f.joining[i].connected = true
	if err := f.watch(unix.EPOLL_CTL_MOD, i, unix.EPOLLIN); err != nil {
		return fmt.Errorf("loadgen: epoll_ctl: %w", err)
	}
	if f.secure == nil {
		return f.login(i)
	}
	f.secure.sessions[i] = newSession(fd, f.secure.configs[f.serverOf(i)])
	return f.shake(i, nil, nil)
}

// login sends the login of client i.
func (f *fleet) login(i int) error {
	f.joining[i].asked = true
	if _, err := f.write(i, wire.AppendCred(nil, message.Name(i), password)); err != nil {
		return f.last(i, err)
	}
	return nil
}

// got takes what one read brought to client i, whose login is not answered yet.
func (f *fleet) got(i, n int, err error) error {
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return nil
	case err != nil || n == 0:
		return f.lost(i, err)
	}
	return f.answer(i, n)
}

// answer looks for the answer to a login in what came, n octets from front on.
func (f *fleet) answer(i, n int) error {
	j := &f.joining[i]
	for in := f.in[f.front : f.front+n]; ; {
		frame, rest, ok, err := j.decoder.Next(in)
		switch {
		case err != nil:
			return fmt.Errorf("%w: %s answers a login with what is no frame (%v); is it a chat server?", ErrUnreachable, f.servers[f.serverOf(i)], err)
		case !ok:
			return nil
		case frame.Type == wire.Cred && string(frame.Body) == wire.Granted:
			j.in = true
			f.inside++
			f.latest = f.now()
			f.logins.Record(f.latest-j.started, 1)
			if len(rest) == 0 {
				return nil
			}
			copy(f.in[f.front:], rest)
			return f.load.take(i, f.front+len(rest), f.latest)
		case frame.Type == wire.Cred:
			return fmt.Errorf("%w: %s was told %q; is the server open to anybody (-open), and its pool large enough?", ErrDenied, message.Name(i), frame.Body)
		case frame.Type == wire.Close:
			return f.lost(i, nil)
		}
		in = rest // a notice before the answer
	}
}

// last is what to say of a client to which nothing can be written any more:
// what the server said last is read first.
func (g *generator) last(i int, cause error) error {
	for range 1000 {
		n, now, err := g.read(i)
		if err != nil || n == 0 {
			break
		}
		if err := g.load.take(i, g.front+n, now); err != nil {
			return err
		}
	}
	return g.lost(i, cause)
}

// lost says that a client's connection is gone and what the server said to it.
func (g *generator) lost(i int, cause error) error {
	how := "the server closed that of"
	if cause != nil && !errors.Is(cause, ledger.ErrClosed) {
		how = fmt.Sprintf("%v, that of", cause)
	}
	said := ""
	if n := g.load.notice(i); n != "" {
		said = fmt.Sprintf(", saying %q", n)
	}
	when := "at login"
	if g.origin > 0 {
		when = fmt.Sprintf("%v after the start", g.age(g.now()))
	}
	return fmt.Errorf("%w: %s %s %s%s", ErrDisconnected, how, message.Name(i), when, said)
}

// disconnect says goodbye for everybody.
func (g *generator) disconnect() {
	goodbye := wire.AppendClose(nil)
	for i, fd := range g.fds {
		if fd < 0 {
			continue
		}
		if g.secure == nil {
			unix.Write(fd, goodbye)
		} else if s := g.secure.sessions[i]; s != nil {
			s.leave(goodbye)
		}
		unix.Close(fd)
	}
	if g.epoll >= 0 {
		unix.Close(g.epoll)
	}
}

// resolve turns HOST:PORT into what connect(2) takes.
func resolve(server string) (endpoint, error) {
	a, err := net.ResolveTCPAddr("tcp", server)
	if err != nil {
		return endpoint{}, fmt.Errorf("%w: %v", ErrUnreachable, err)
	}
	ip := a.AddrPort().Addr().Unmap()
	switch {
	case !ip.IsValid():
		return endpoint{}, fmt.Errorf("%w: %q names no host; give HOST:PORT", ErrUnreachable, server)
	case ip.Is4():
		return endpoint{&unix.SockaddrInet4{Port: a.Port, Addr: ip.As4()}, unix.AF_INET}, nil
	}
	return endpoint{&unix.SockaddrInet6{Port: a.Port, Addr: ip.As16()}, unix.AF_INET6}, nil
}

// allowFiles raises the limit on open files as far as it is needed.
func allowFiles(need uint64) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("loadgen: getrlimit: %w", err)
	}
	if limit.Max < need {
		return fmt.Errorf("%w: %d are needed and %d allowed; raise the limit with `ulimit -n %d`", ErrFileLimit, need, limit.Max, need)
	}
	if limit.Cur >= need {
		return nil
	}
	limit.Cur = limit.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("%w: %d are needed (%v); raise the limit with `ulimit -n %d`", ErrFileLimit, need, err, need)
	}
	return nil
}
