// Package placetest is where tests start processes: a thread that they die with, in
// namespaces of its own if it is to have some. It is for tests alone.
//
// It refuses to make anything that outlives the test's process: what is started in a Place
// is to be given Pdeathsig by whoever starts it, and namespaces end with the last who is in
// them. Any goroutine may call the methods of a Place; it does one thing at a time.
package placetest

import (
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

// Place is a thread that processes are started from.
type Place struct {
	jobs chan func()
	tid  int
}

// New starts the thread; namespaces is as unshare(2) takes them.
func New(namespaces int) (*Place, error) {
	p := &Place{jobs: make(chan func())}
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

// Home is the place for what needs no namespace.
var Home = sync.OnceValues(func() (*Place, error) { return New(0) })

// Thread is the thread's ID, by which ip(8) finds its network namespace.
func (p *Place) Thread() int { return p.tid }

// End ends the thread.
func (p *Place) End() { close(p.jobs) }

// Do does something there.
func (p *Place) Do(job func() error) error {
	done := make(chan error)
	p.jobs <- func() { done <- job() }
	return <-done
}

// Run runs a command line there, whose words are set apart by spaces.
func (p *Place) Run(line string) error {
	args := strings.Fields(line)
	return p.Do(func() error {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", line, err, out)
		}
		return nil
	})
}

// FreePorts is some ports of loopback on which nobody listens, below those that the
// kernel gives to clients: one that connects to a server that is down would
// otherwise be given the server's own port now and then, and talk to itself.
func FreePorts(n int) (ports []int, err error) {
	for port := 20_000 + os.Getpid()%5000; port < 32_000 && len(ports) < n; port++ {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			l.Close()
			ports = append(ports, port)
		}
	}
	if len(ports) < n {
		return nil, fmt.Errorf("%d ports are not free from 20000 to 32000", n)
	}
	return ports, nil
}
