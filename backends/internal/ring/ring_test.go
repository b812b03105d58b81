package ring

import (
	"bytes"
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// timeout is how long a test waits for anything.
const timeout = time.Minute

// open makes a ring for the test's goroutine, which is locked to its thread.
func open(t *testing.T, submissions, completions int) *Ring {
	t.Helper()
	if err := Available(); err != nil {
		t.Skip(err)
	}
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	r, err := New(submissions, completions)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// openUnbound makes a ring that belongs to no thread.
func openUnbound(t *testing.T, submissions, completions int) *Ring {
	t.Helper()
	if err := Available(); err != nil {
		t.Skip(err)
	}
	r, err := NewUnbound(submissions, completions)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// one waits for the next completion.
func (r *Ring) one(t *testing.T) CQE {
	t.Helper()
	var done [1]CQE
	for end := time.Now().Add(timeout); r.Reap(done[:]) == 0; {
		if time.Now().After(end) {
			t.Fatal("no completion comes")
		}
		if err := r.Wait(time.Second, false); err != nil {
			t.Fatal(err)
		}
	}
	return done[0]
}

// none checks that there is no completion, though everything is submitted.
func (r *Ring) none(t *testing.T) {
	t.Helper()
	if err := r.Wait(0, true); err != nil {
		t.Fatal(err)
	}
	if r.Ready() {
		t.Fatalf("a completion came that was not due: %+v", r.one(t))
	}
}

func pair(t *testing.T) (ours, theirs int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Close(fds[0])
		unix.Close(fds[1])
	})
	return fds[0], fds[1]
}

func write(t *testing.T, fd int, text string) {
	t.Helper()
	if _, err := unix.Write(fd, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// The layouts have the sizes and the offsets that the kernel expects.
func TestLayouts(t *testing.T) {
	for what, sizes := range map[string][2]uintptr{
		"sqe":              {unsafe.Sizeof(sqe{}), 64},
		"sqe.userData":     {unsafe.Offsetof(sqe{}.userData), 32},
		"sqe.group":        {unsafe.Offsetof(sqe{}.group), 40},
		"CQE":              {unsafe.Sizeof(CQE{}), 16},
		"params":           {unsafe.Sizeof(params{}), 120},
		"params.sqHead":    {unsafe.Offsetof(params{}.sqHead), 40},
		"params.cqHead":    {unsafe.Offsetof(params{}.cqHead), 80},
		"eventsArg":        {unsafe.Sizeof(eventsArg{}), 24},
		"update":           {unsafe.Sizeof(update{}), 16},
		"probeOp":          {unsafe.Sizeof(probeOp{}), 8},
		"probe.ops":        {unsafe.Offsetof(probe{}.ops), 16},
		"buffer":           {unsafe.Sizeof(buffer{}), 16},
		"buffer.tail":      {unsafe.Offsetof(buffer{}.tail), 14},
		"buffersArg":       {unsafe.Sizeof(buffersArg{}), 40},
		"buffersArg.group": {unsafe.Offsetof(buffersArg{}.group), 12},
	} {
		if sizes[0] != sizes[1] {
			t.Errorf("%s: %d octets, want %d", what, sizes[0], sizes[1])
		}
	}
}

// Each operation completes once and none is lost, also when there are more than the ring
// has room for, of submissions and of completions.
func TestNop(t *testing.T) {
	const n = 1000
	r := open(t, 8, 16)
	for i := range n {
		r.Nop(uint64(i))
	}
	if err := r.Submit(); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if done := r.one(t); done.UserData != uint64(i) || done.Res != 0 || done.More() {
			t.Fatalf("completion %d is %+v", i, done)
		}
	}
	r.none(t)
}

// A send is complete when Submit returns, if the socket takes it, and its octets arrive.
func TestSend(t *testing.T) {
	r := open(t, 8, 8)
	ours, theirs := pair(t)
	text := []byte("hello")
	r.Send(ours, text, 7)
	if r.Ready() {
		t.Error("it was sent before it was submitted")
	}
	if err := r.Submit(); err != nil || !r.Ready() {
		t.Fatalf("after Submit there is no completion: %v", err)
	}
	if done := r.one(t); done.UserData != 7 || int(done.Res) != len(text) {
		t.Errorf("%+v", done)
	}
	got := make([]byte, 10)
	if n, err := unix.Read(theirs, got); string(got[:max(n, 0)]) != string(text) {
		t.Errorf("%q arrives, %v", got[:max(n, 0)], err)
	}
}

// A send that the socket does not take waits, and goes on by itself when there is room.
func TestSendWaits(t *testing.T) {
	r := open(t, 8, 8)
	ours, theirs := pair(t)
	piece := bytes.Repeat([]byte("x"), 64<<10)
	sent, taken := 0, 0
	for {
		r.Send(ours, piece, 1)
		if err := r.Submit(); err != nil {
			t.Fatal(err)
		}
		if !r.Ready() {
			break
		}
		sent += int(r.one(t).Res)
	}
	r.none(t)
	into := make([]byte, 1<<20)
	for taken < sent {
		n, err := unix.Read(theirs, into)
		if err != nil {
			t.Fatal(err)
		}
		taken += n
	}
	if done := r.one(t); done.UserData != 1 || done.Res <= 0 || int(done.Res) > len(piece) {
		t.Errorf("%+v", done)
	}
}

// SendNow never waits: on a full socket it is complete with EAGAIN when Submit returns, and the
// socket takes nothing of it later.
func TestSendNow(t *testing.T) {
	for name, r := range map[string]*Ring{"bound": open(t, 8, 8), "unbound": openUnbound(t, 8, 8)} {
		ours, theirs := pair(t)
		piece := bytes.Repeat([]byte("x"), 64<<10)
		var sent int
		for full := false; !full; {
			r.SendNow(ours, piece, 3)
			if err := r.Submit(); err != nil || !r.Ready() {
				t.Fatalf("%s: after Submit there is no completion: %v", name, err)
			}
			done := r.one(t)
			if full = done.Err() == unix.EAGAIN; !full {
				sent += int(done.Res)
			}
			if done.UserData != 3 || !full && done.Res <= 0 {
				t.Fatalf("%s: %+v", name, done)
			}
		}
		unix.Shutdown(ours, unix.SHUT_WR)
		taken, into := 0, make([]byte, 1<<20)
		for n := 1; n > 0; taken += n {
			var err error
			if n, err = unix.Read(theirs, into); err != nil {
				t.Fatal(err)
			}
		}
		if r.none(t); taken != sent {
			t.Errorf("%s: %d octets arrive of %d", name, taken, sent)
		}
	}
}

// A ring of NewUnbound works on every thread.
func TestUnbound(t *testing.T) {
	r := openUnbound(t, 8, 8)
	ours, theirs := pair(t)
	text, got := []byte("hello"), make([]byte, 10)
	failed := make(chan error)
	for range 3 {
		go func() {
			runtime.LockOSThread() // and never unlocked, so that the next has a thread of its own
			r.SendNow(ours, text, 1)
			failed <- r.Submit()
		}()
		if err := <-failed; err != nil || !r.Ready() {
			t.Fatalf("after Submit there is no completion: %v", err)
		}
		if done := r.one(t); int(done.Res) != len(text) {
			t.Errorf("%+v", done)
		}
		if n, err := unix.Read(theirs, got); string(got[:max(n, 0)]) != string(text) {
			t.Errorf("%q arrives, %v", got[:max(n, 0)], err)
		}
	}
}

// A send to a closed socket is an error, and no signal.
func TestSendToClosed(t *testing.T) {
	r := open(t, 8, 8)
	ours, theirs := pair(t)
	unix.Shutdown(theirs, unix.SHUT_RDWR)
	r.Send(ours, []byte("x"), 1)
	if done := r.one(t); done.Err() != unix.EPIPE {
		t.Errorf("%+v: %v", done, done.Err())
	}
}

// A poll completes once: when the descriptor is ready, or at once if it is.
func TestPoll(t *testing.T) {
	r := open(t, 8, 8)
	ours, theirs := pair(t)
	r.Poll(ours, unix.POLLIN, 1)
	r.none(t)
	write(t, theirs, "x")
	for userData := range uint64(2) {
		if done := r.one(t); done.UserData != userData+1 || done.Res&unix.POLLIN == 0 || done.More() {
			t.Errorf("%+v", done)
		}
		r.none(t)
		r.Poll(ours, unix.POLLIN, userData+2)
	}
}

// An operation that waits can be cancelled by its user data.
func TestCancel(t *testing.T) {
	r := open(t, 8, 8)
	b, err := r.NewBuffers(0, 4, 64)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Free)
	ours, theirs := pair(t)
	r.Receive(ours, 0, 1)
	r.Poll(ours, unix.POLLIN, 2)
	r.none(t)
	for _, userData := range []uint64{1, 2} {
		r.Cancel(userData, 10+userData)
		got := map[uint64]unix.Errno{}
		for range 2 {
			done := r.one(t)
			got[done.UserData] = done.Err()
		}
		if err, ok := got[userData]; !ok || err != unix.ECANCELED {
			t.Errorf("what was cancelled completes with %v", got)
		}
		if err, ok := got[10+userData]; !ok || err != 0 {
			t.Errorf("cancelling completes with %v", got)
		}
	}
	r.Cancel(1, 11)
	if done := r.one(t); done.UserData != 11 || done.Err() != unix.ENOENT {
		t.Errorf("what is not there is cancelled with %+v", done)
	}
	write(t, theirs, "x")
	r.none(t)
}

// A wait ends after its timeout, and one without a timeout when there is a completion.
func TestWaitEnds(t *testing.T) {
	r := open(t, 8, 8)
	for _, keep := range []bool{true, false} {
		began := time.Now()
		if err := r.Wait(5*time.Millisecond, keep); err != nil || r.Ready() {
			t.Fatalf("waiting for nothing: %v", err)
		}
		if took := time.Since(began); took > timeout {
			t.Errorf("it took %v", took)
		}
	}
	r.Nop(1)
	if err := r.Wait(-1, false); err != nil || !r.Ready() {
		t.Errorf("a wait without end: %v", err)
	}
}

// A ring works only on its own thread, and returns ErrThread on others.
func TestOtherThread(t *testing.T) {
	r := open(t, 8, 8)
	r.Nop(1)
	failed := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		failed <- r.Submit()
	}()
	if err := <-failed; !errors.Is(err, ErrThread) {
		t.Errorf("from another thread: %v", err)
	}
}

// The error of New is one line that says what to do.
func TestExplain(t *testing.T) {
	for _, c := range []struct {
		errno    unix.Errno
		disabled string
		want     string
	}{
		{unix.EPERM, "2", "kernel.io_uring_disabled is 2: set it to 0"},
		{unix.EPERM, "1", "kernel.io_uring_disabled is 1"},
		{unix.EPERM, "0", "seccomp"},
		{unix.EPERM, "", "seccomp"},
		{unix.ENOSYS, "", "has no io_uring"},
		{unix.EINVAL, "0", "Linux 6.1"},
		{unix.EMFILE, "0", "too many open files"},
	} {
		err := explain(c.errno, c.disabled)
		if !errors.Is(err, c.errno) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v with %q: %v", c.errno, c.disabled, err)
		}
	}
}

// Rings that were closed keep no descriptor.
func TestClose(t *testing.T) {
	if err := Available(); err != nil {
		t.Skip(err)
	}
	before, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		if err := Available(); err != nil {
			t.Fatal(err)
		}
	}
	after, _ := os.ReadDir("/proc/self/fd")
	if len(after) > len(before) {
		t.Errorf("%d descriptors before, %d after", len(before), len(after))
	}
}

// Neither operations nor completions allocate.
func TestNoAllocations(t *testing.T) {
	r := open(t, 8, 8)
	ours, theirs := pair(t)
	text, got := []byte("hello"), make([]byte, 10)
	var done [8]CQE
	if n := testing.AllocsPerRun(100, func() {
		r.Send(ours, text, 1)
		r.Nop(2)
		if r.Submit() != nil || r.Wait(time.Millisecond, true) != nil || r.Reap(done[:]) != 2 {
			t.Error("it does not work")
		}
		unix.Read(theirs, got)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
