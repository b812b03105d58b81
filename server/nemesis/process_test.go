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

// process is a program that faults are done to: it may die and be started again.
type process struct {
	name string
	at   *spawntest.Thread
	args []string
	env  []string
	log  string               // path: of each boot, one after the other
	boot atomic.Pointer[boot] // the last
}

// boot is one run of a process.
type boot struct {
	cmd    *exec.Cmd
	killed atomic.Bool // by us
	ended  chan struct{}
	err    error // how it ended; valid after ended
}

// start starts it, and waits for its first line on standard output: it is ready. It dies with
// the test.
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
	b := &boot{cmd: exec.Command(self, p.args...), ended: make(chan struct{})}
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
	p.boot.Store(b)
	select {
	case <-ready:
		return nil
	case <-b.ended:
		return fmt.Errorf("%s did not start: %w", p.name, b.err)
	case <-time.After(patience):
		b.kill()
		return fmt.Errorf("%s was not ready within %v", p.name, patience)
	}
}

// kill is kill -9.
func (b *boot) kill() {
	b.killed.Store(true)
	b.cmd.Process.Kill()
	<-b.ended
}

func (b *boot) running() bool {
	select {
	case <-b.ended:
		return false
	default:
		return true
	}
}

// pause stops it for as long as it is not continued.
func (b *boot) pause() error { return unix.Kill(b.cmd.Process.Pid, unix.SIGSTOP) }

func (b *boot) goOn() error { return unix.Kill(b.cmd.Process.Pid, unix.SIGCONT) }

// stop ends it by SIGTERM, and says how it ended.
func (b *boot) stop() error {
	if err := unix.Kill(b.cmd.Process.Pid, unix.SIGTERM); err != nil {
		return err
	}
	select {
	case <-b.ended:
		return b.err
	case <-time.After(patience):
		b.kill()
		return fmt.Errorf("it was still there %v after SIGTERM", patience)
	}
}

// sweep ends what is left of its processes.
func (b *boot) sweep() {
	unix.Kill(-b.cmd.Process.Pid, unix.SIGKILL) // its whole group; gone already is fine
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

// natsSpec is a NATS server of several, each of which keeps a copy of what is said.
type natsSpec struct {
	Name, Host      string
	Port, RoutePort int
	Routes          string // URLs of all, with commas between them
	Store, Log      string // paths
}

// runNATS is a NATS server until it is killed.
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
	if !made.ReadyForConnections(patience) {
		return errors.New("NATS is not ready")
	}
	if _, err := fmt.Fprintln(out, "ready"); err != nil {
		return err
	}
	made.WaitForShutdown()
	return nil
}
