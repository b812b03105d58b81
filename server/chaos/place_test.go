package chaos

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// place is a thread that processes are started from, in namespaces of its own if it
// is to have some. What is started dies with the thread, and so with this process
// whatever becomes of it; the namespaces end with the last who is in them.
type place struct {
	jobs chan func()
	tid  int
}

// newPlace starts the thread; namespaces is as unshare(2) takes them.
func newPlace(namespaces int) (*place, error) {
	p := &place{jobs: make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with its goroutine
		p.tid = unix.Gettid()
		err := unix.Unshare(namespaces)
		if err == nil && namespaces&unix.CLONE_NEWNS != 0 {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		ready <- err
		for job := range p.jobs {
			job()
		}
	}()
	if err := <-ready; err != nil {
		close(p.jobs)
		return nil, fmt.Errorf("unshare: %w", err)
	}
	return p, nil
}

// home is the place for what needs no namespace.
var home = sync.OnceValues(func() (*place, error) { return newPlace(0) })

// end ends the thread.
func (p *place) end() { close(p.jobs) }

// do does something there.
func (p *place) do(job func() error) error {
	done := make(chan error)
	p.jobs <- func() { done <- job() }
	return <-done
}

// run runs a command line there.
func (p *place) run(line string) error {
	args := strings.Fields(line)
	return p.do(func() error {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", line, err, out)
		}
		return nil
	})
}

// apart is a place in namespaces of its own, or the experiment is left out.
func (x *run) apart(namespaces int, what string) *place {
	x.Helper()
	if os.Geteuid() != 0 {
		x.skip("it takes root to make " + what)
	}
	p, err := newPlace(namespaces)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) {
		x.skip("this kernel makes no " + what + " for us")
	} else if err != nil {
		x.Fatal(err)
	}
	x.Cleanup(p.end)
	return p
}

// The two ends of the link.
const (
	nearAddress = "10.213.77.1"
	farAddress  = "10.213.77.2"
)

// link is two network namespaces with a link between them.
type link struct{ near, far *place }

// link makes one, or the experiment is left out.
func (x *run) link() *link {
	x.Helper()
	if _, err := exec.LookPath("ip"); err != nil {
		x.skip("there is no ip(8)")
	}
	l := &link{x.apart(unix.CLONE_NEWNET, "network namespaces"), x.apart(unix.CLONE_NEWNET, "network namespaces")}
	if err := l.near.run("ip link add near type veth peer name far netns " + strconv.Itoa(l.far.tid)); err != nil {
		x.skip("no pair of linked interfaces: " + err.Error())
	}
	for _, step := range []struct {
		at   *place
		line string
	}{
		{l.near, "ip link set lo up"},
		{l.near, "ip address add " + nearAddress + "/30 dev near"},
		{l.near, "ip link set near up"},
		{l.far, "ip address add " + farAddress + "/30 dev far"},
		{l.far, "ip link set far up"},
	} {
		if err := step.at.run(step.line); err != nil {
			x.Fatal(err)
		}
	}
	return l
}

// cut has nothing go through any more, and nobody is told; mend ends that.
func (l *link) cut() error  { return l.far.run("ip link set far down") }
func (l *link) mend() error { return l.far.run("ip link set far up") }

// freePort is a port of loopback on which nobody listens, below those that the
// kernel gives to clients: one that connects to a server that is down would
// otherwise be given the server's own port now and then, and talk to itself.
func (x *run) freePort() int {
	x.Helper()
	for port := 20_000 + os.Getpid()%5000; port < 32_000; port++ {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			l.Close()
			return port
		}
	}
	x.Fatal("no port is free from 20000 to 32000")
	return 0
}
