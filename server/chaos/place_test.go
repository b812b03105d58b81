package chaos

import (
	"errors"
	"os"
	"os/exec"
	"strconv"

	"golang.org/x/sys/unix"

	"chatbench/internal/spawntest"
)

// apart is a place in namespaces of its own, or the experiment is left out.
func (x *run) apart(namespaces int, what string) *spawntest.Thread {
	x.Helper()
	if os.Geteuid() != 0 {
		x.skip("it takes root to make " + what)
	}
	p, err := spawntest.New(namespaces)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) {
		x.skip("this kernel makes no " + what + " for us")
	} else if err != nil {
		x.Fatal(err)
	}
	x.Cleanup(p.End)
	return p
}

// The two ends of the link.
const (
	nearAddress = "10.213.77.1"
	farAddress  = "10.213.77.2"
)

// link is two network namespaces with a link between them.
type link struct{ near, far *spawntest.Thread }

// link makes one, or the experiment is left out.
func (x *run) link() *link {
	x.Helper()
	if _, err := exec.LookPath("ip"); err != nil {
		x.skip("there is no ip(8)")
	}
	l := &link{x.apart(unix.CLONE_NEWNET, "network namespaces"), x.apart(unix.CLONE_NEWNET, "network namespaces")}
	if err := l.near.Run("ip link add near type veth peer name far netns " + strconv.Itoa(l.far.ID())); err != nil {
		x.skip("no pair of linked interfaces: " + err.Error())
	}
	for _, step := range []struct {
		at   *spawntest.Thread
		line string
	}{
		{l.near, "ip link set lo up"},
		{l.near, "ip address add " + nearAddress + "/30 dev near"},
		{l.near, "ip link set near up"},
		{l.far, "ip address add " + farAddress + "/30 dev far"},
		{l.far, "ip link set far up"},
	} {
		if err := step.at.Run(step.line); err != nil {
			x.Fatal(err)
		}
	}
	return l
}

// cut has nothing go through any more, and nobody is told; mend ends that.
func (l *link) cut() error  { return l.far.Run("ip link set far down") }
func (l *link) mend() error { return l.far.Run("ip link set far up") }

// freePort is a port of loopback on which nobody listens.
func (x *run) freePort() int {
	x.Helper()
	ports, err := spawntest.FreePorts(1)
	if err != nil {
		x.Fatal(err)
	}
	return ports[0]
}
