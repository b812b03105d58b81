package absence

import (
	"net"
	"testing"
	"time"

	"chatbench/core"
)

// pair is a connection: the client's end, and the descriptor of the other.
func pair(t *testing.T) (*net.TCPConn, int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	served, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	file, err := served.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	served.Close()
	t.Cleanup(func() { client.Close(); file.Close() })
	return client.(*net.TCPConn), int(file.Fd())
}

// TestFarewell: one that has sent FIN has its time from when that is noticed, also
// if a reset follows.
func TestFarewell(t *testing.T) {
	client, fd := pair(t)
	var w Watch
	now := time.Now()
	if _, over := w.Look(fd, false, now, time.Minute); over || w.Noticed() {
		t.Fatal("a client that is there has left")
	}
	client.CloseWrite()
	for end := now.Add(10 * time.Second); !w.Noticed() && time.Now().Before(end); time.Sleep(time.Millisecond) {
		if _, over := w.Look(fd, false, now, time.Minute); over {
			t.Fatal("its time is over at once")
		}
	}
	client.SetLinger(0)
	client.Close()
	for _, c := range []struct {
		after time.Duration
		over  bool
		next  time.Duration // after the time of the look
	}{{time.Second, false, Every}, {59*time.Second + Every/2, false, Every / 2}, {time.Minute, true, 0}} {
		at := now.Add(c.after)
		why, over := w.Look(fd, true, at, time.Minute)
		if over != c.over || why != core.ReasonEOF {
			t.Errorf("after %v: %v, %v", c.after, why, over)
		}
		if next := w.Next(at).Sub(at); next != c.next {
			t.Errorf("after %v it is looked at again after %v", c.after, next)
		}
	}
}

// TestReset: one that was reset has no time.
func TestReset(t *testing.T) {
	client, fd := pair(t)
	client.SetLinger(0)
	client.Close()
	var w Watch
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if why, over := w.Look(fd, false, time.Now(), time.Minute); over {
			if why != core.ReasonReset {
				t.Errorf("the reason is %v", why)
			}
			return
		}
	}
	t.Error("the reset was not noticed")
}
