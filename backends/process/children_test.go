package process_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"chatbench/backends"
	"chatbench/backends/process"
	"chatbench/backends/process/child"
	"chatbench/core"
	"chatbench/core/wire"
)

// talk makes a client say count messages, a step ahead of the others at most, and calls halfway
// in the middle. All others have to receive all messages.
func talk(t *testing.T, talker *testClient, others []*testClient, count int, halfway func()) {
	t.Helper()
	const step = 50
	for i := 0; i < count; i += step {
		if i == count/2 {
			halfway()
		}
		var out []byte
		for n := i; n < i+step; n++ {
			out = wire.AppendChat(out, fmt.Sprint(n))
		}
		talker.Write(out)
		for k, c := range append(others, talker) {
			if err := c.hears("talker", i, step); err != nil {
				t.Fatalf("client %d: %v", k, err)
			}
		}
	}
}

// TestKilledChild: killing a child under traffic ends its client and no other.
func TestKilledChild(t *testing.T) {
	r := open(t, nil)
	talker := r.login("talker")
	var others []*testClient
	for i := range 5 {
		others = append(others, r.login(fmt.Sprint("c", i)))
	}
	before := children(os.Getpid())
	victim := r.login("victim")
	pid := r.newChild(before)
	talk(t, talker, others, 2000, func() {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	})
	r.ended(core.ReasonReset, 1)
	for {
		if _, err := victim.frame(); err != nil {
			break
		}
	}
	if n := r.room.Snapshot().Granted; n != 6 {
		t.Errorf("%d clients are in the room, 6 should be", n)
	}
	if now := children(os.Getpid()); len(now) != 6 || now[pid] {
		t.Errorf("the children are %v, without %d there should be 6", now, pid)
	}
}

// TestSignalsForTheParent: a signal that is sent to all processes of a server, to end it, ends no
// client before the server does.
func TestSignalsForTheParent(t *testing.T) {
	r := open(t, nil)
	talker := r.login("talker")
	before := children(os.Getpid())
	other := r.login("other")
	pid := r.newChild(before)
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		if err := syscall.Kill(pid, s); err != nil {
			t.Fatal(err)
		}
	}
	talk(t, talker, []*testClient{other}, 200, func() {})
	r.room.Drain()
	if got, err := other.frame(); got != "\x03\x00" {
		t.Errorf("%q, %v in place of Close", got, err)
	}
}

// TestStoppedChild: a child that is stopped delays no other client. Its own client ends as slow,
// and the child is killed.
func TestStoppedChild(t *testing.T) {
	r := open(t, func(room *core.Config, _ *backends.Config) { room.LagMax = 1 << 20 })
	talker := r.login("talker")
	other := r.login("other")
	before := children(os.Getpid())
	r.login("victim")
	if err := syscall.Kill(r.newChild(before), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("x", 4000)
	for r.room.Snapshot().Ends[core.ReasonSlow] == 0 {
		talker.say(text)
		for _, c := range []*testClient{talker, other} {
			if got, err := c.frame(); len(got) != len("\x00talker: \x00")+len(text) {
				t.Fatalf("%.20q, %v", got, err)
			}
		}
	}
	r.eventually(func() bool { return len(children(os.Getpid())) == 2 }, "the child has been reaped")
}

// TestNoZombies: clients that come and go leave no process behind, not even a zombie.
func TestNoZombies(t *testing.T) {
	r := open(t, nil)
	var group sync.WaitGroup
	for k := range 4 {
		group.Go(func() {
			for i := range 25 {
				c := dial(r, r.server.Addr().String())
				if i%3 > 0 {
					c.enter(r, fmt.Sprintf("c%d-%d", k, i))
				}
				c.Close()
			}
		})
	}
	group.Wait()
	r.eventually(func() bool { return r.room.Snapshot().Clients == 0 }, "all have left")
	r.eventually(func() bool { return len(children(os.Getpid())) == 0 }, "no child is left")
}

// TestSpawnAhead: children wait, clients are given to them, and new ones are forked.
func TestSpawnAhead(t *testing.T) {
	const ahead = 3
	r := open(t, func(_ *core.Config, cfg *backends.Config) { cfg.SpawnAhead = ahead })
	have := func(n int) { // that many children, none of them forked for a client
		t.Helper()
		var lines []string
		r.eventually(func() bool {
			lines = nil
			for pid := range children(os.Getpid()) {
				line := commandLine(pid)
				if line == commandLine(os.Getpid()) || line == "" {
					return false // it is not yet, or no longer, what it was forked for
				}
				lines = append(lines, line)
				if group, err := syscall.Getpgid(pid); group != pid {
					t.Errorf("a child is in group %d, %v: it would hear what is typed at the parent's terminal", group, err)
				}
			}
			return len(lines) == n
		}, "%d children", n)
		for _, line := range lines {
			if !strings.HasSuffix(line, "waits for a client") {
				t.Errorf("a child is %q, though others wait", line)
			}
		}
	}
	have(ahead)
	talker := r.login("talker")
	have(ahead + 1)
	other := r.login("other")
	have(ahead + 2)
	talk(t, talker, []*testClient{other}, 200, func() {})

	killed := children(os.Getpid())
	for pid := range killed { // one that waits or one with a client
		syscall.Kill(pid, syscall.SIGKILL)
	}
	r.ended(core.ReasonReset, 2)
	r.eventually(func() bool {
		for pid := range children(os.Getpid()) {
			if killed[pid] {
				return false
			}
		}
		return true
	}, "those killed are reaped")
	have(ahead)
	r.login("after").say("0")
}

// TestSpawnAheadBurst: more clients than children that wait come at once.
func TestSpawnAheadBurst(t *testing.T) {
	const clients = 30
	r := open(t, func(_ *core.Config, cfg *backends.Config) { cfg.SpawnAhead = 4 })
	var group sync.WaitGroup
	for i := range clients {
		group.Go(func() { r.login(fmt.Sprint("c", i)) })
	}
	group.Wait()
	r.eventually(func() bool { return len(children(os.Getpid())) == clients+4 }, "a child for each, and 4 that wait")
}

// TestCaughtEarly: a child initialises only the packages it uses. The last of them is syscall;
// after that the child begins. One more import, and the child of a server would first initialise a
// hundred packages, which takes twice the time and memory.
func TestCaughtEarly(t *testing.T) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(child.Environment(true, 4096, 1000), "GODEBUG=inittrace=1") // descriptor 3 is missing
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != child.BadSetup {
		t.Fatalf("the child ended with %v, want an error in its setup: %s", err, out)
	}
	last := ""
	for line := range strings.Lines(string(out)) {
		if name, _, traced := strings.Cut(strings.TrimPrefix(line, "init "), " @"); traced {
			last = name
		}
	}
	if last != "syscall" {
		t.Errorf("the last package that the child has initialised is %q, want syscall: which import of it comes later?\n%s", last, out)
	}
}

// TestNoForkWhenFull: a client that finds the server full is told so without a child.
func TestNoForkWhenFull(t *testing.T) {
	var counters *backends.Counters
	r := open(t, func(room *core.Config, cfg *backends.Config) { room.MaxClients, counters = 1, cfg.Counters })
	talker := r.login("talker")
	const late = 40
	for range late {
		c := dial(t, r.server.Addr().String())
		c.Write(wire.AppendCred(nil, "late", "x"))
		for _, want := range []string{"\x01denied server is full\x00", "\x03\x00"} {
			if got, err := c.frame(); got != want {
				t.Fatalf("%q, %v in place of %q", got, err, want)
			}
		}
		if got, err := c.in.ReadByte(); err != io.EOF {
			t.Fatalf("%q, %v in place of the end", got, err)
		}
		c.Close()
	}
	r.ended(core.ReasonFull, late)
	talk(t, talker, nil, 50, func() {})
	if n := process.Forks(r.server); n != 1 {
		t.Errorf("%d children were forked for one client", n)
	}
	if n := counters.Accepts.Load(); n != late+1 {
		t.Errorf("%d connections were accepted, %d should be", n, late+1)
	}
}

// TestNoForkBeforeTheLogin: a client that sends nothing, is denied, breaks the protocol or leaves
// gets no child; one that is granted gets one.
func TestNoForkBeforeTheLogin(t *testing.T) {
	right := authFunc(func(l *core.Login) {
		switch l.Password {
		case "later":
			time.AfterFunc(5*time.Millisecond, func() { l.Answer(errors.New("wrong")) })
		case "wrong":
			l.Answer(errors.New("wrong"))
		default:
			l.Answer(nil)
		}
	})
	r := open(t, func(room *core.Config, _ *backends.Config) { room.Authenticator = right })
	talker := r.login("talker")
	const times = 20
	var silent []*testClient
	for range times {
		silent = append(silent, dial(t, r.server.Addr().String()))
		for said, answer := range map[string]string{
			"\x01bob wrong\x00\x00undelivered\x00": "\x01denied wrong\x00\x03\x00",
			"\x01bob later\x00\x00undelivered\x00": "\x01denied wrong\x00\x03\x00",
			"\x00no login\x00":                     "\x00server: log in first\x00\x03\x00",
			"\x03\x00":                             "",
		} {
			c := dial(t, r.server.Addr().String())
			io.WriteString(c, said[:2])
			io.WriteString(c, said[2:])
			if got, err := io.ReadAll(c); err != nil || string(got) != answer {
				t.Fatalf("after %q: %q, %v in place of %q", said, got, err, answer)
			}
			c.Close()
		}
		unfinished := dial(t, r.server.Addr().String())
		io.WriteString(unfinished, "\x01bo")
		unfinished.Close()
	}
	r.ended(core.ReasonDenied, 2*times)
	r.ended(core.ReasonEOF, times)
	if n := process.Forks(r.server); n != 1 {
		t.Errorf("%d children were forked for one client in the room and %d who say nothing", n, times)
	}
	for i, c := range silent {
		c.enter(t, fmt.Sprint("late", i))
	}
	talk(t, talker, silent, 100, func() {})
	if n := process.Forks(r.server); n != 1+times {
		t.Errorf("%d children were forked for %d clients", n, 1+times)
	}
}

// authFunc is a function as an Authenticator.
type authFunc func(l *core.Login)

func (f authFunc) Authenticate(l *core.Login) { f(l) }

// TestManyAtOnce: more logins are granted at once than children are requested. What each client
// sent after its login is delivered, including a frame that was split.
func TestManyAtOnce(t *testing.T) {
	const clients = 200
	gate, answers := make(chan struct{}), make(chan *core.Login, clients)
	late := authFunc(func(l *core.Login) { answers <- l })
	r := open(t, func(room *core.Config, _ *backends.Config) { room.Authenticator = late })
	var all []*testClient
	for i := range clients {
		c := dial(t, r.server.Addr().String())
		io.WriteString(c, fmt.Sprintf("\x01c%d x\x00\x00fir", i))
		all = append(all, c)
	}
	go func() {
		<-gate
		for range clients {
			(<-answers).Answer(nil)
		}
	}()
	r.eventually(func() bool { return len(answers) == clients }, "all logins are asked about")
	close(gate)
	for _, c := range all {
		if got, err := c.frame(); got != "\x01granted\x00" {
			t.Fatalf("%q, %v in place of granted", got, err)
		}
	}
	for _, c := range all {
		io.WriteString(c, "st\x00")
	}
	for _, c := range all {
		heard := map[string]bool{}
		for range clients {
			text, err := c.frame()
			if err != nil || !strings.HasSuffix(text, ": first\x00") || heard[text] {
				t.Fatalf("%q, %v in place of the first message of another client", text, err)
			}
			heard[text] = true
		}
	}
	if n := len(children(os.Getpid())); n != clients {
		t.Errorf("%d children for %d clients", n, clients)
	}
}

// TestMuchOutputAtTheEnd: a client is granted and told to leave at once, and there is more output
// for it than its socket takes. It is sent all of it when it reads.
func TestMuchOutputAtTheEnd(t *testing.T) {
	var before []core.Line
	for i := range 20 {
		before = append(before, core.Line{At: time.Now(), Text: fmt.Appendf(nil, "bob: %d %01000d", i, 0)})
	}
	var counters *backends.Counters
	var in atomic.Pointer[core.Room]
	let := authFunc(func(l *core.Login) { l.Answer(nil); in.Load().Drain() })
	r := open(t, func(room *core.Config, cfg *backends.Config) {
		room.Authenticator, room.History, room.Before = let, len(before), before
		counters, cfg.SendBuffer = cfg.Counters, 4<<10
	})
	in.Store(r.room)
	c := dialNarrow(t, r.server.Addr().String())
	c.Write(wire.AppendCred(nil, "alice", "x"))
	r.eventually(func() bool { return counters.Stalls.Load() > 0 }, "its socket is full")
	if got, err := c.frame(); got != "\x01granted\x00" {
		t.Fatalf("%q, %v in place of granted", got, err)
	}
	for i := range before {
		if got, err := c.frame(); !strings.Contains(got, fmt.Sprintf("UTC, bob: %d 0", i)) {
			t.Fatalf("%.60q, %v in place of line %d", got, err, i)
		}
	}
	rest, err := io.ReadAll(c.in)
	if err != nil || !strings.HasSuffix(string(rest), "\x03\x00") {
		t.Fatalf("%q, %v in place of Close and the end", rest, err)
	}
}
