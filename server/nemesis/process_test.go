package nemesis

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	"golang.org/x/sys/unix"

	"chatbench/internal/spawntest"
)

// process is a program into which faults are injected: it may be killed and started again.
type process struct {
	name string
	at   *spawntest.Thread
	args []string
	env  []string
	log  string                     // path of the log of all runs
	run  atomic.Pointer[processRun] // the last run
}

// processRun is one run of a process.
type processRun struct {
	cmd    *exec.Cmd
	killed atomic.Bool // by the test
	ended  chan struct{}
	err    error // how it ended; valid after ended is closed
}

// start starts the process, and waits until it is ready: it writes a line to standard output. The
// process dies with the test.
func (p *process) start() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(p.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	b := &processRun{cmd: exec.Command(self, p.args...), ended: make(chan struct{})}
	b.cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "CHATD_") })
	b.cmd.Env = append(b.cmd.Env, p.env...)
	b.cmd.Stderr = log
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out, err := b.cmd.StdoutPipe()
	if err == nil {
		err = p.at.Do(b.cmd.Start)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	ready := make(chan struct{})
	go func() {
		defer close(b.ended)
		if _, err := bufio.NewReader(out).ReadString('\n'); err == nil {
			close(ready)
		}
		b.err = b.cmd.Wait()
	}()
	p.run.Store(b)
	select {
	case <-ready:
		return nil
	case <-b.ended:
		return fmt.Errorf("%s did not start: %w", p.name, b.err)
	case <-time.After(timeout):
		b.kill()
		return fmt.Errorf("%s was not ready within %v", p.name, timeout)
	}
}

// kill is kill -9.
func (b *processRun) kill() {
	b.killed.Store(true)
	b.cmd.Process.Kill()
	<-b.ended
}

func (b *processRun) running() bool {
	select {
	case <-b.ended:
		return false
	default:
		return true
	}
}

// pause stops the process until resume.
func (b *processRun) pause() error { return unix.Kill(b.cmd.Process.Pid, unix.SIGSTOP) }

func (b *processRun) resume() error { return unix.Kill(b.cmd.Process.Pid, unix.SIGCONT) }

// stop ends the process with SIGTERM, and returns how it ended.
func (b *processRun) stop() error {
	if err := unix.Kill(b.cmd.Process.Pid, unix.SIGTERM); err != nil {
		return err
	}
	select {
	case <-b.ended:
		return b.err
	case <-time.After(timeout):
		b.kill()
		return fmt.Errorf("still running %v after SIGTERM", timeout)
	}
}

// killGroup kills the process and its children, if any are left.
func (b *processRun) killGroup() {
	unix.Kill(-b.cmd.Process.Pid, unix.SIGKILL) // the whole group; an error means that it has ended
	<-b.ended
}

// tail is the end of the log.
func (p *process) tail() string {
	const most = 3 << 10
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-most):])
}

// natsSpec configures a NATS server of a cluster.
type natsSpec struct {
	Name, Host      string
	Port, RoutePort int
	Routes          string // URLs of all servers, separated by commas
	Store, Log      string // paths
}

// runNATS runs a NATS server until it is killed.
func runNATS(spec string, out io.Writer) error {
	var s natsSpec
	if err := json.Unmarshal([]byte(spec), &s); err != nil {
		return err
	}
	made, err := natsd.NewServer(&natsd.Options{
		ServerName: s.Name, Host: s.Host, Port: s.Port, JetStream: true, StoreDir: s.Store,
		NoSigs: true, LogFile: s.Log, Logtime: true,
		Cluster: natsd.ClusterOpts{Name: "chat", Host: s.Host, Port: s.RoutePort, NoAdvertise: true},
		Routes:  natsd.RoutesFromStr(s.Routes),
	})
	if err != nil {
		return err
	}
	made.ConfigureLogger()
	made.Start()
	if !made.ReadyForConnections(timeout) {
		return errors.New("NATS is not ready")
	}
	if _, err := fmt.Fprintln(out, "ready"); err != nil {
		return err
	}
	made.WaitForShutdown()
	return nil
}
