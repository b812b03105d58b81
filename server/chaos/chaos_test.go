// Package chaos injects faults into a whole chatd, the program as an operator runs
// it, in one experiment after the other: processes are killed, links are cut, disks
// and descriptors run out, clients misbehave. Each experiment compares what it
// measures with a bound, and prints one row of a Markdown table on standard output.
//
// With -chaos (make chaos) the sizes and bounds are those of docs/reliability.md,
// and each backend takes about fifteen minutes. Without it all sizes are small, for
// every run of the tests: then counts must be exact too, but times and sizes are
// only compared with a hundred times their bound, times with a minute at least.
//
// The server is not linked: chatd is a process, started and stopped as by an
// operator, and the load comes from a process of its own. Addresses are on
// loopback, or in network namespaces that end with the test. Even if the test is
// interrupted it leaves nothing behind: directories are removed, and processes,
// namespaces and mounts end with the thread that made them.
//
// An experiment belongs to the goroutine of its test.
package chaos

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/backends/all"
)

var (
	full     = flag.Bool("chaos", false, "full sizes and bounds, fifteen minutes for each backend")
	backend  = flag.String("backend", "epoll", "`NAME,…` of backends, or all")
	loadTime = flag.Duration("time", 10*time.Minute, "`TIME` that the experiment load takes with -chaos")
	soakTime = flag.Duration("soak", 0, "`TIME` for TestSoak; 0: two seconds, without a bound")
)

// testContext ends when the tests are interrupted.
var testContext context.Context

// bin is the directory with chatd, once program has been called.
var bin string

func TestMain(m *testing.M) {
	if spec := os.Getenv(fleetVariable); spec != "" {
		os.Exit(driveFleet(spec))
	}
	var stop context.CancelFunc
	testContext, stop = signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	context.AfterFunc(testContext, stop) // a second signal ends the process at once
	status := m.Run()
	if bin != "" {
		os.RemoveAll(bin)
	}
	os.Exit(status)
}

// program builds chatd as make does and gives its path.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "chaos-bin-*")
	if err != nil {
		return "", err
	}
	bin = dir
	build := exec.CommandContext(testContext, "go", "build", "-o", bin+"/", "chatbench/cmd/chatd")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return filepath.Join(bin, "chatd"), nil
})

// experiment is one kind of fault.
type experiment struct {
	name        string
	description string // what it does and its bounds, for the documentation
	run         func(*run)
}

var experiments = []experiment{
	{"load", "5,000 clients (500 with a process or thread for each), every delivery checked: none lost, doubled, reordered or altered. " +
		"For half of the time a tenth as many again stop reading, in waves: p99 at most twice what it was, they are gone within 12 s, " +
		"memory grows by at most the lag limit, 64 KiB a client, and what as many more cost that read", load},
	{"kill", "kill -9 and a restart: of clients that reconnect with backoff 95 % are back within 10 s of it, no process is left", kill},
	{"term", "SIGTERM while people talk: everybody is sent all that was said and Close, exit status 0 within 5 s", term},
	{"silence", "the link to clients is cut, in clear and by TLS, with nothing to send and with data that nobody acknowledges: they are gone within 105 s", silence},
	{"descriptors", "no descriptor is free while clients knock: nothing is lost, CPU below 20 %, a login is granted within 1 s of their return", descriptors},
	{"disk", "the disk is full for the history, the bans and a download: nothing is lost in the room, one line in the log, nothing half written, all goes on when there is room", disk},
	{"reload", "100 SIGHUP, half of them with bad users or a bad certificate: nobody is disconnected, each is in the log", reload},
	{"handshakes", "1,000 TLS connections from one address that send an octet a second or nothing: logins by TLS from another within 1 s, the slow ones are gone within 6 s", handshakes},
	{"forgeries", "PROXY headers that are forged, wrong, cut off or missing, to the transport's own port and beside -proxy-from: all ended and counted, nothing lost in the room, no forged address in the log", forgeries},
	{"storm", "500 clients log in wrongly at once, and again and again: the p99 of those who talk stays below 50 ms", storm},
	{"visits", "10,000 logins and leaves, half of them by reset: as many descriptors as before, memory grows by less than 5 MiB", visits},
}

// TestChaos runs every experiment with every backend of -backend.
func TestChaos(t *testing.T) {
	if *full {
		fmt.Print(heading)
	}
	for _, b := range chosen(t) {
		t.Run(b.Name, func(t *testing.T) {
			for _, e := range experiments {
				t.Run(e.name, func(t *testing.T) { runExperiment(t, b, e, *full) })
			}
		})
	}
}

// chosen is the backends of -backend.
func chosen(t *testing.T) (list []backends.Backend) {
	t.Helper()
	for name := range strings.SplitSeq(*backend, ",") {
		found := len(list)
		for _, b := range all.All() {
			if b.Name == name || name == "all" {
				list = append(list, b)
			}
		}
		if len(list) == found {
			t.Fatalf("there is no backend %q: chatd -list lists them", name)
		}
	}
	return list
}

// runExperiment runs one experiment, and prints its row if printed is set, or else logs it.
func runExperiment(t *testing.T, b backends.Backend, e experiment, printed bool) {
	if testContext.Err() != nil {
		t.Skip("interrupted")
	}
	x := &run{T: t, backend: b, size: shortSizes}
	if printed {
		x.size, x.bound = fullSizes(b), true
	}
	t.Cleanup(func() { // runs after all other cleanups
		if row := x.row(e.name); printed {
			fmt.Print(row)
		} else {
			t.Log(row)
		}
	})
	e.run(x)
}
