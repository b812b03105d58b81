package uringsend

import (
	"bytes"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"chatbench/backends/internal/readiness"
	"chatbench/backends/internal/readiness/pollertest"
	"chatbench/backends/internal/ring/ringtest"
)

func TestMain(m *testing.M) { ringtest.Main(m) }

func TestForbidden(t *testing.T) { ringtest.Forbidden(t, Backend) }

func TestPoller(t *testing.T) {
	available(t)
	pollertest.Run(t, newPoller)
}

func available(t *testing.T) {
	if err := Backend.Runs(); err != nil {
		t.Skip(err)
	}
}

// TestWriteAll: each of many writes, more than fit in one call, has its own result, and the octets
// that were taken arrive.
func TestWriteAll(t *testing.T) {
	available(t)
	opened, err := newPoller()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { opened.Close() })
	p := opened.(readiness.BatchWriter)
	const sockets = 3*sendsAtOnce + 5
	much := bytes.Repeat([]byte("x"), 1<<20)
	var writes []readiness.Write
	var peers []int
	for i := range sockets {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fds[0]); unix.Close(fds[1]) })
		w := readiness.Write{FD: fds[0], Data: fmt.Append(nil, "no ", i)}
		switch i % 10 {
		case 1: // more than it takes
			w.Data = much
		case 2: // full
			for err := error(nil); err == nil; {
				err = unix.Sendto(fds[0], much[:1<<10], unix.MSG_DONTWAIT, nil)
			}
		case 3: // gone
			unix.Shutdown(fds[1], unix.SHUT_RDWR)
		}
		writes, peers = append(writes, w), append(peers, fds[1])
	}
	p.WriteAll(writes)
	got := make([]byte, len(much))
	for i, w := range writes {
		var taken int
		switch {
		case i%10 == 2 && w.Err == unix.EAGAIN && w.N == 0, i%10 == 3 && w.Err == unix.EPIPE && w.N == 0:
			continue
		case i%10 == 2, i%10 == 3, w.Err != nil, i%10 == 1 && w.N == len(much), i%10 != 1 && w.N != len(w.Data):
			t.Fatalf("write %d: %d of %d octets, %v", i, w.N, len(w.Data), w.Err)
		}
		for taken < w.N {
			n, err := unix.Read(peers[i], got[taken:])
			if err != nil {
				t.Fatal(err)
			}
			taken += n
		}
		if !bytes.Equal(got[:taken], w.Data[:w.N]) {
			t.Errorf("write %d: something else arrives", i)
		}
	}
}
