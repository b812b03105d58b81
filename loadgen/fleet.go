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
	loginSent bool // its login is sent
	in        bool
	started   int64
	decoder   wire.Decoder
}

// fleet brings the clients into the room.
type fleet struct {
	*generator
	addresses []endpoint // of the servers
	joining   []joining  // by client
	started   int        // how many of its clients have begun to connect
	loggedIn  int        // how many of these are in the room
	lastLogin int64      // when the last login was answered
	rampStart int64      // with a ramp: when the first client is due, moved by the length of the stop
	paused    bool       // the stop after the First clients is over
}

// endpoint is a server's address in the form that connect(2) takes.
type endpoint struct {
	unix.Sockaddr
	family int
}

// connect logs all clients in, a bounded number at a time.
func (g *generator) connect() (err error) {
	if err := allowFiles(uint64(g.otherClients + g.cfg.Clients + spareFiles)); err != nil {
		return err
	}
	f := &fleet{generator: g, joining: make([]joining, g.cfg.Clients), lastLogin: g.now(), rampStart: g.now()}
	for _, server := range g.servers {
		a, err := resolve(server)
		if err != nil {
			return err
		}
		f.addresses = append(f.addresses, a)
	}
	if g.cfg.TLS != nil {
		g.tls = newFleetTLS(g.cfg.TLS, g.servers, g.cfg.Clients)
	}
	if g.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("loadgen: epoll_create1: %w", err)
	}
	for f.loggedIn < len(f.own) {
		if f.loggedIn == f.nextStop() {
			if err := f.pause(); err != nil {
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

// mayStart says whether one more client may connect, if it is due.
func (f *fleet) mayStart() bool {
	return f.started < f.nextStop() && f.started-f.loggedIn < f.cfg.Joining
}

// nextStop is how many clients may connect before the next stop: Config.First of them, or all.
func (f *fleet) nextStop() int {
	if f.cfg.First > 0 && !f.paused {
		return f.cfg.First
	}
	return len(f.own)
}

// pause lets no client connect for Duration and calls OnFirst. Then the ramp goes on with the
// next client, as if there had been no stop.
func (f *fleet) pause() error {
	for from := f.now(); f.now()-from < int64(f.cfg.Duration); {
		if err := f.wait(); err != nil {
			return err
		}
	}
	call(f.cfg.OnFirst)
	f.rampStart += max(0, f.now()-f.due(f.cfg.First))
	f.paused = true
	return nil
}

// due returns when client i has to connect.
func (f *fleet) due(i int) int64 {
	return f.rampStart + int64(float64(f.cfg.Ramp)*float64(i)/float64(len(f.fds)))
}

// wait handles what happens in the next tenth of a second, or until the next client is due.
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
	f.shown.clients.Store(int64(f.loggedIn))
	if f.started > f.loggedIn && f.now()-max(f.lastLogin, f.joining[f.own[f.started-1]].started) > int64(f.cfg.Connect) {
		return fmt.Errorf("%w: %d of %d clients are in, and %s answered no other login for %v",
			ErrUnreachable, f.loggedIn, len(f.own), f.cfg.Server, f.cfg.Connect)
	}
	return nil
}

// start begins to connect client i.
func (f *fleet) start(i int) error {
	if f.joining[i].started = f.now(); f.cfg.Ramp > 0 {
		f.connectLag.Record(f.joining[i].started-f.due(i), 1)
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
		f.queue.enable(i, fd)
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
	case errors.Is(err, unix.ECONNREFUSED) && f.loggedIn == 0:
		return fmt.Errorf("%w: nothing listens on %s; start the server first", ErrUnreachable, f.servers[f.serverOf(i)])
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return fmt.Errorf("%w: no local port is left after %d connections; widen net.ipv4.ip_local_port_range", ErrUnreachable, i)
	}
	return fmt.Errorf("%w: connection %d to %s: %v", ErrUnreachable, i+1, f.servers[f.serverOf(i)], err)
}

// serverOf returns the index of a client's server.
func (c *common) serverOf(client int) int {
	if c.server == nil {
		return 0
	}
	return c.server[client]
}

// step handles an event of client i on its way into the room: once connected it does the TLS
// handshake if there is one, then it logs in. What comes after the login goes to the ledger.
func (f *fleet) step(i int) error {
	switch j := &f.joining[i]; {
	case !j.connected:
		return f.connected(i)
	case !j.loginSent:
		return f.handshake(i)
	case j.in:
		_, err := f.receive(i)
		return err
	}
	n, _, err := f.read(i)
	return f.readLoginAnswer(i, n, err)
}

// connected handles the end of connect(2) for client i, whether it succeeded or failed.
func (f *fleet) connected(i int) error {
	fd := f.fds[i]
	if code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil || code != 0 {
		return f.unreachable(i, errors.Join(err, unix.Errno(code)))
	}
	f.joining[i].connected = true
	if err := f.watch(unix.EPOLL_CTL_MOD, i, unix.EPOLLIN); err != nil {
		return fmt.Errorf("loadgen: epoll_ctl: %w", err)
	}
	if f.tls == nil {
		return f.login(i)
	}
	f.tls.sessions[i] = newSession(fd, f.tls.configs[f.serverOf(i)])
	return f.shake(i, nil, nil)
}

// login sends the login of client i.
func (f *fleet) login(i int) error {
	f.joining[i].loginSent = true
	if _, err := f.write(i, wire.AppendCred(nil, message.Name(i), password)); err != nil {
		return f.writeError(i, err)
	}
	return nil
}

// readLoginAnswer handles one read of client i, whose login has not been answered yet.
func (f *fleet) readLoginAnswer(i, n int, err error) error {
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return nil
	case err != nil || n == 0:
		return f.connectionLost(i, err)
	}
	return f.parseLoginAnswer(i, n)
}

// parseLoginAnswer looks for the answer to a login in the n octets from front on.
func (f *fleet) parseLoginAnswer(i, n int) error {
	j := &f.joining[i]
	for in := f.in[f.front : f.front+n]; ; {
		frame, rest, ok, err := j.decoder.Next(in)
		switch {
		case err != nil:
			return fmt.Errorf("%w: %s answers a login with something that is not a frame (%v); give the address of a chat server", ErrUnreachable, f.servers[f.serverOf(i)], err)
		case !ok:
			return nil
		case frame.Type == wire.Cred && string(frame.Body) == wire.Granted:
			j.in = true
			f.loggedIn++
			f.lastLogin = f.now()
			f.logins.Record(f.lastLogin-j.started, 1)
			if len(rest) == 0 {
				return nil
			}
			copy(f.in[f.front:], rest)
			return f.load.received(i, f.front+len(rest), f.lastLogin)
		case frame.Type == wire.Cred:
			return fmt.Errorf("%w: %s was told %q; a load takes a server that runs with -open and has room for all clients", ErrDenied, message.Name(i), frame.Body)
		case frame.Type == wire.Close:
			return f.connectionLost(i, nil)
		}
		in = rest // a notice before the answer
	}
}

// writeError returns the error for a client to which nothing can be written any more. It reads
// what the server said last first.
func (g *generator) writeError(i int, cause error) error {
	for range 1000 {
		n, now, err := g.read(i)
		if err != nil || n == 0 {
			break
		}
		if err := g.load.received(i, g.front+n, now); err != nil {
			return err
		}
	}
	return g.connectionLost(i, cause)
}

// connectionLost returns the error for a client whose connection is gone, with what the server said to it.
func (g *generator) connectionLost(i int, cause error) error {
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
		when = fmt.Sprintf("%v after the start", g.sinceStart(g.now()))
	}
	return fmt.Errorf("%w: %s %s %s%s", ErrDisconnected, how, message.Name(i), when, said)
}

// disconnect logs all clients out.
func (g *generator) disconnect() {
	goodbye := wire.AppendClose(nil)
	for i, fd := range g.fds {
		if fd < 0 {
			continue
		}
		if g.tls == nil {
			unix.Write(fd, goodbye)
		} else if s := g.tls.sessions[i]; s != nil {
			s.shutdown(goodbye)
		}
		unix.Close(fd)
	}
	if g.epoll >= 0 {
		unix.Close(g.epoll)
	}
}

// resolve turns HOST:PORT into the form that connect(2) takes.
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
