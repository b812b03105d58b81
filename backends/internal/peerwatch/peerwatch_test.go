package peerwatch

import (
	"net"
	"testing"
	"time"

	"chatbench/core"
	"chatbench/internal/tcptest"
)

// pair is a connection: the client's end, and the descriptor of the other.
func pair(t *testing.T) (*net.TCPConn, int) {
	t.Helper()
	client, served := tcptest.Pair(t)
	file, err := served.File()
	if err != nil {
		t.Fatal(err)
	}
	served.Close()
	t.Cleanup(func() { file.Close() })
	return client, int(file.Fd())
}

// TestFarewell: the time of a client that has sent FIN begins when that is noticed, even if a reset
// follows.
func TestFarewell(t *testing.T) {
	client, fd := pair(t)
	var w Watch
	now := time.Now()
	if _, over := w.Check(fd, false, now, time.Minute); over || w.Left() {
		t.Fatal("a client that is there has left")
	}
	client.CloseWrite()
	for end := now.Add(time.Minute); !w.Left() && time.Now().Before(end); time.Sleep(time.Millisecond) {
		if _, over := w.Check(fd, false, now, time.Minute); over {
			t.Fatal("its time is over at once")
		}
	}
	client.SetLinger(0)
	client.Close()
	for _, c := range []struct {
		after time.Duration
		over  bool
		next  time.Duration // after the check
	}{{time.Second, false, Interval}, {59*time.Second + Interval/2, false, Interval / 2}, {time.Minute, true, 0}} {
		at := now.Add(c.after)
		why, over := w.Check(fd, true, at, time.Minute)
		if over != c.over || why != core.ReasonEOF {
			t.Errorf("after %v: %v, %v", c.after, why, over)
		}
		if next := w.NextCheck(at).Sub(at); next != c.next {
			t.Errorf("after %v it is checked again after %v", c.after, next)
		}
	}
}

// TestReset: a client that has reset the connection leaves at once.
func TestReset(t *testing.T) {
	client, fd := pair(t)
	client.SetLinger(0)
	client.Close()
	var w Watch
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if why, over := w.Check(fd, false, time.Now(), time.Minute); over {
			if why != core.ReasonReset {
				t.Errorf("the reason is %v", why)
			}
			return
		}
	}
	t.Error("the reset was not noticed")
}
