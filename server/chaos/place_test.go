package chaos

import (
	"errors"
	"os"
	"os/exec"
	"strconv"

	"golang.org/x/sys/unix"

	"chatbench/internal/spawntest"
	"chatbench/internal/tcptest"
)

// newNamespaces makes a place in namespaces of its own. If that is not possible it skips the
// experiment.
func (x *run) newNamespaces(namespaces int, what string) *spawntest.Thread {
	x.Helper()
	if os.Geteuid() != 0 {
		x.skip("only root can make " + what)
	}
	p, err := spawntest.New(namespaces)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) {
		x.skip("the kernel does not allow " + what)
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

// link makes a link. If that is not possible it skips the experiment.
func (x *run) link() *link {
	x.Helper()
	if _, err := exec.LookPath("ip"); err != nil {
		x.skip("there is no ip(8)")
	}
	l := &link{x.newNamespaces(unix.CLONE_NEWNET, "network namespaces"), x.newNamespaces(unix.CLONE_NEWNET, "network namespaces")}
	if err := l.near.Run("ip link add near type veth peer name far netns " + strconv.Itoa(l.far.ID())); err != nil {
		x.skip("cannot make a pair of linked interfaces: " + err.Error())
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

// cut makes the link lose all packets without an error; restore ends that.
func (l *link) cut() error     { return l.far.Run("ip link set far down") }
func (l *link) restore() error { return l.far.Run("ip link set far up") }

// freePort is a free port on loopback.
func (x *run) freePort() int {
	x.Helper()
	ports, err := tcptest.FreePorts(1)
	if err != nil {
		x.Fatal(err)
	}
	return ports[0]
}
