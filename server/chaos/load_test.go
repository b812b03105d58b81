package chaos

import (
	"fmt"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/core/wire"
)

const (
	lagLimit   = 16 << 10 // octets
	perClient  = 64 << 10 // octets of memory that a client may cost under load
	goneWithin = 12 * time.Second
)

// load: many clients talk, then others beside them stop reading.
func load(x *run) {
	stopped := x.size.clients / 10
	s := x.serve("-open", "-lag-limit", "16KiB", "-sndbuf", "16KiB", "-lag-time", x.size.lagTime.String(),
		"-max-clients", fmt.Sprint(x.size.clients+2*stopped), "-max-pending", fmt.Sprint(x.size.clients))
	x.doing("%d clients, %v messages/s of %d octets for %v, in its second half %d more who read nothing, again and again; -lag-limit 16KiB -sndbuf 16KiB -lag-time %v",
		x.size.clients, x.size.rate, x.size.text, x.size.load, stopped, x.size.lagTime)
	empty := s.memory()
	f := x.fleet(s, x.size.clients, x.size.rate, x.size.text)
	loaded := s.memory()
	each := max(loaded-empty, 0) / int64(x.size.clients) // memory of a client
	before := f.during(func() { x.pause(x.size.load / 2) })
	var worst time.Duration
	waves := 0
	wave := func() {
		worst = max(worst, s.stopReaders(stopped, waves))
		waves++
	}
	beside := f.during(func() {
		for begun := time.Now(); waves == 0 || time.Since(begun) < x.size.load/2; {
			wave()
		}
	})
	// Reading the memory of hundreds of processes takes 0.2 s, in which messages wait. So the
	// memory is measured in a wave of its own.
	peak := watch(s)
	f.during(wave)
	grown := peak() - loaded
	f.clean()
	x.exactly("clients ended for being slow", s.stats().Room.Ends["slow"], int64(stopped*waves))
	x.within(fmt.Sprintf("p99 beside stopped readers (before: %s)", short(before)), beside, 2*before)
	x.within("stopped readers gone after", worst, goneWithin)
	x.memory(fmt.Sprintf("memory (%d KiB a client before) grown by", each>>10), grown, lagLimit+perClient*int64(x.size.clients+stopped)+each*int64(stopped))
}

// stopReaders logs in n clients that read nothing, and returns how long the last one stays.
func (s *server) stopReaders(n, wave int) time.Duration {
	s.x.Helper()
	before := s.stats().Room.Ends["slow"]
	for i := range n {
		c, err := s.enter(fmt.Sprintf("stopped%dx%d", wave, i), smallReceiveBuffer)
		if err != nil {
			s.x.Fatalf("stopped reader %d of %d: %v", i, n, err)
		}
		defer c.Close()
	}
	return s.x.wait(timeout, func() bool { return s.stats().Room.Ends["slow"] >= before+int64(n) }, "%d stopped readers are gone", n)
}

// watch measures a server's memory until the function it returns is called, which
// returns the peak.
func watch(s *server) (peak func() int64) {
	most := s.memory()
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			case <-s.ended:
				return
			case <-time.After(s.x.size.slice / 10):
				octets, _ := s.readMemory()
				most = max(most, octets)
			}
		}
	}()
	return func() int64 {
		close(stop)
		<-ended
		return max(most, s.memory())
	}
}

// smallReceiveBuffer sets a small receive buffer. It is for net.Dialer.Control.
func smallReceiveBuffer(_, _ string, raw syscall.RawConn) error {
	return raw.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<10) })
}

// enter connects and logs in, without the client library, which would go on reading.
func (s *server) enter(name string, control func(_, _ string, _ syscall.RawConn) error) (*net.TCPConn, error) {
	dialer := net.Dialer{Timeout: timeout, Control: control}
	conn, err := dialer.Dial("tcp", s.addr)
	if err != nil {
		return nil, err
	}
	if err := login(conn, name); err != nil {
		conn.Close()
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// login logs a connection in. It reads the answer and nothing after it.
func login(conn net.Conn, name string) error {
	conn.SetDeadline(time.Now().Add(timeout))
	defer conn.SetDeadline(time.Time{})
	if _, err := conn.Write(wire.AppendCred(nil, name, password)); err != nil {
		return err
	}
	granted := wire.AppendGranted(nil)
	for got := 0; got < len(granted); {
		answer := make([]byte, len(granted)-got)
		n, err := conn.Read(answer)
		if err != nil {
			return err
		}
		if string(answer[:n]) != string(granted[got:got+n]) {
			return fmt.Errorf("answered %q", answer[:n])
		}
		got += n
	}
	return nil
}

// visits: clients log in and leave.
func visits(x *run) {
	const grown = 5 << 20
	s := x.serve("-open")
	warm := x.size.visits / 10
	x.doing("%d logins and leaves, half of them by reset, after %d that do not count", x.size.visits, warm)
	s.visit(warm, "warm")
	s.waitForClients(0)
	descriptors, memory := s.descriptors(), s.memory()
	s.visit(x.size.visits, "visitor")
	s.waitForClients(0)
	more := s.descriptors() - descriptors
	for end := time.Now().Add(timeout); more > 0 && time.Now().Before(end); { // they are closed a moment after the slots are free
		more = s.descriptors() - descriptors
	}
	x.exactly("logins", s.stats().Room.Logins, int64(warm+x.size.visits))
	x.exactly("descriptors more than before", max(more, 0), 0)
	x.memory("memory grown by", s.memory()-memory, grown)
}

// visit logs in and leaves n times, every other time by a reset.
func (s *server) visit(n int, name string) {
	s.x.Helper()
	for i := range n {
		c, err := s.enter(fmt.Sprint(name, i), nil)
		if err != nil {
			s.x.Fatalf("visit %d of %d: %v", i, n, err)
		}
		if i%2 == 0 {
			c.SetLinger(0)
		}
		c.Close()
		if testContext.Err() != nil {
			s.x.Fatal("interrupted")
		}
	}
}
